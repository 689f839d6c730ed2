"""Names and shapes of BridgeTower's, METER's and VLE's published files, spelled out from their descriptions."""

from __future__ import annotations

from tests.models.published import Shapes
from tuwen.models import bridgetower, vle
from tuwen.nn.bert import BertConfig
from tuwen.nn.fusion import FusionConfig
from tuwen.nn.vit import ViTConfig


def linear(name: str, width_in: int, width_out: int) -> Shapes:
    return {f"{name}.weight": (width_out, width_in), f"{name}.bias": (width_out,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


# -- BridgeTower -----------------------------------------------------------------------------------------------------


def transformers(config: bridgetower.Config, prefix: str = "bridgetower.") -> Shapes:
    """A folder of transformers; without prefix it is one of the body alone, whatever heads it also holds."""
    image, fusion = f"{prefix}vision_model.visual", config.fusion
    shapes = roberta(f"{prefix}text_model", config.text)
    shapes |= clip(image, config.image, ("embeddings.position_embedding.weight", "embeddings.patch_embedding.weight"))
    shapes[f"{image}.embeddings.class_embedding"] = (config.image.width,)
    shapes |= body(config, prefix) | common_heads(config)
    for stream in ("text", "image"):
        for number in range(fusion.layers - 1):
            bridge = f"{prefix}cross_modal_{stream}_link_tower.{number}"
            if fusion.bridge == "scaled_add":
                shapes[f"{bridge}.scaled_factor"] = ()
            if fusion.bridge == "interpolate":
                shapes[f"{bridge}.beta"] = ()
    if "contrast" in config.heads:
        first, second = config.heads["contrast"]
        shapes |= linear("itc_text_head.fc", fusion.width, first) | linear("itc_image_head.fc", fusion.width, first)
        shapes |= linear("itc_cross_modal_head.fc", 2 * fusion.width, second) | {"logit_scale": ()}
    return shapes


def original(config: bridgetower.Config) -> Shapes:
    """The state dict of a Lightning checkpoint of the original, without what CLIP's text side left in it."""
    image, width = "vit_model.visual", config.fusion.width
    shapes = roberta("text_transformer", config.text)
    shapes |= clip(image, config.image, ("positional_embedding", "conv1.weight"))
    shapes[f"{image}.class_embedding"] = (config.image.width,)
    shapes |= body(config, "") | common_heads(config) | {"temperature": ()}
    if config.gates:
        shapes |= linear("text_gate", config.text.width, config.text.width)
        shapes |= linear("image_gate", config.image.width, config.image.width)
    if "contrast" in config.heads:
        (outputs,) = config.heads["contrast"]
        shapes |= linear("itc_text_head.fc", width, outputs) | linear("itc_image_head.fc", width, outputs)
    for ours, theirs, times in (
        ("answer", "vqa_classifier", 2),
        ("pair", "nlvr2_classifier", 4),
        ("entail", "snli_classifier", 2),
    ):
        if ours in config.heads:
            shapes |= classifier(theirs, times * width, config.heads[ours])
    if "rank" in config.heads:
        shapes |= linear("rank_output", 2 * width, 1)
    return shapes


def classifier(name: str, width: int, outputs: tuple[int, ...]) -> Shapes:
    """One layer, or a hidden one with a norm and the scores."""
    if len(outputs) == 1:
        return linear(f"{name}.0", width, outputs[0])
    hidden, classes = outputs
    return linear(f"{name}.0", width, hidden) | norm(f"{name}.1", hidden) | linear(f"{name}.3", hidden, classes)


def common_heads(config: bridgetower.Config) -> Shapes:
    """Words and matching, which both formats name alike."""
    shapes: Shapes = {}
    width, vocabulary = config.fusion.width, config.text.vocabulary
    if "fill" in config.heads:
        shapes |= linear("mlm_score.transform.dense", width, width) | norm("mlm_score.transform.LayerNorm", width)
        shapes |= {"mlm_score.decoder.weight": (vocabulary, width), "mlm_score.bias": (vocabulary,)}
    if "match" in config.heads:
        shapes |= linear("itm_score.fc", 2 * width, 2)
    return shapes


def body(config: bridgetower.Config, prefix: str) -> Shapes:
    """Transforms, token types, co-attention, poolers, first norms and bridges."""
    fusion = config.fusion
    shapes = co_attention(fusion, prefix) | {f"{prefix}token_type_embeddings.weight": (config.types, fusion.width)}
    for stream, width in (("text", config.text.width), ("image", config.image.width)):
        start = f"{prefix}cross_modal_{stream}"
        levels = [""] if config.shared_transforms else [f".{number}" for number in range(fusion.layers)]
        for level in levels:
            shapes |= linear(f"{start}_transform{level}", width, fusion.width)
        if config.norm_inputs:
            shapes |= norm(f"{start}_layernorm", fusion.width)
        for number in range(fusion.layers - 1 if fusion.bridge else 0):
            shapes |= norm(f"{start}_link_tower.{number}.LayerNorm", fusion.width)
    return shapes


def co_attention(fusion: FusionConfig, prefix: str) -> Shapes:
    """Layers and poolers of both streams, as all three families name them."""
    width, shapes = fusion.width, Shapes()
    for stream in ("text", "image"):
        for number in range(fusion.layers):
            layer = f"{prefix}cross_modal_{stream}_layers.{number}"
            for part in ("attention", "crossattention"):
                for name in ("self.query", "self.key", "self.value", "output.dense"):
                    shapes |= linear(f"{layer}.{part}.{name}", width, width)
                shapes |= norm(f"{layer}.{part}.output.LayerNorm", width)
            shapes |= linear(f"{layer}.intermediate.dense", width, fusion.hidden)
            shapes |= linear(f"{layer}.output.dense", fusion.hidden, width) | norm(f"{layer}.output.LayerNorm", width)
        shapes |= linear(f"{prefix}cross_modal_{stream}_pooler.dense", width, width)
    return shapes


def roberta(start: str, text: BertConfig) -> Shapes:
    """A RoBERTa with the pooler that nobody uses."""
    width = text.width
    shapes: Shapes = {
        f"{start}.embeddings.word_embeddings.weight": (text.vocabulary, width),
        f"{start}.embeddings.position_embeddings.weight": (text.positions, width),
        f"{start}.embeddings.token_type_embeddings.weight": (1, width),
        **norm(f"{start}.embeddings.LayerNorm", width),
        **linear(f"{start}.pooler.dense", width, width),
    }
    for number in range(text.layers):
        layer = f"{start}.encoder.layer.{number}"
        shapes |= bert_layer(layer, width, text.hidden, "attention.self.{}")
    return shapes


def bert_layer(layer: str, width: int, hidden: int, part: str) -> Shapes:
    """A post-norm layer; `part` is how queries, keys and values are named."""
    shapes: Shapes = {}
    for name in ("query", "key", "value"):
        shapes |= linear(f"{layer}.{part.format(name)}", width, width)
    shapes |= linear(f"{layer}.attention.output.dense", width, width) | norm(
        f"{layer}.attention.output.LayerNorm", width
    )
    shapes |= linear(f"{layer}.intermediate.dense", width, hidden) | linear(f"{layer}.output.dense", hidden, width)
    return shapes | norm(f"{layer}.output.LayerNorm", width)


def clip(start: str, image: ViTConfig, tables: tuple[str, str]) -> Shapes:
    """CLIP's picture tower with fused projections; `tables`: its names of positions and patches."""
    width, (positions, patches) = image.width, tables
    shapes: Shapes = {
        f"{start}.{positions}": (1 + image.side**2, width),
        f"{start}.{patches}": (width, 3, image.patch_size, image.patch_size),
        **norm(f"{start}.ln_pre", width),
        **norm(f"{start}.ln_post", width),
    }
    for number in range(image.layers):
        block = f"{start}.transformer.resblocks.{number}"
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        shapes |= linear(f"{block}.attn.out_proj", width, width)
        shapes |= norm(f"{block}.ln_1", width) | norm(f"{block}.ln_2", width)
        shapes |= linear(f"{block}.mlp.c_fc", width, 4 * width) | linear(f"{block}.mlp.c_proj", 4 * width, width)
    return shapes


# -- VLE -------------------------------------------------------------------------------------------------------------


def vle_folder(config: vle.Config, prefix: str = "vle.") -> Shapes:
    """A published folder; without prefix one of the body alone."""
    width, text = config.fusion.width, config.text
    shapes = vle_image(f"{prefix}vision_model.vision_model", config.image) | co_attention(config.fusion, prefix)
    shapes |= {
        f"{prefix}text_model.embeddings.word_embeddings.weight": (text.vocabulary, text.width),
        f"{prefix}text_model.encoder.rel_embeddings.weight": (2 * text.buckets, text.width),
        f"{prefix}token_type_embeddings.weight": (config.types, width),
        **norm(f"{prefix}text_model.embeddings.LayerNorm", text.width),
        **norm(f"{prefix}text_model.encoder.LayerNorm", text.width),
        **linear(f"{prefix}text_projection_layer", text.width, width),
        **linear(f"{prefix}image_projection_layer", config.image.width, width),
    }
    for number in range(text.layers):
        layer = f"{prefix}text_model.encoder.layer.{number}"
        shapes |= bert_layer(layer, text.width, text.hidden, "attention.self.{}_proj")
    return shapes | vle_heads(config)


def vle_image(start: str, image: ViTConfig) -> Shapes:
    width, hidden = image.width, image.hidden or 4 * image.width
    shapes: Shapes = {
        f"{start}.embeddings.class_embedding": (width,),
        f"{start}.embeddings.patch_embedding.weight": (width, 3, image.patch_size, image.patch_size),
        f"{start}.embeddings.position_embedding.weight": (1 + image.side**2, width),
        **norm(f"{start}.pre_layrnorm", width),
        **norm(f"{start}.post_layernorm", width),
    }
    for number in range(image.layers):
        layer = f"{start}.encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear(f"{layer}.self_attn.{part}", width, width)
        shapes |= norm(f"{layer}.layer_norm1", width) | norm(f"{layer}.layer_norm2", width)
        shapes |= linear(f"{layer}.mlp.fc1", width, hidden) | linear(f"{layer}.mlp.fc2", hidden, width)
    return shapes


def vle_heads(config: vle.Config) -> Shapes:
    shapes: Shapes = {}
    width, text = config.fusion.width, config.text
    if "match" in config.heads:
        shapes |= linear("itm_score.fc", 2 * width, 2)
    for ours, theirs, times in (
        ("answer", "vqa_classifier", 2),
        ("ground", "pbc_classifier", 1),
        ("choose", f"vcr_{config.choose}_logit", 2),
    ):
        if ours in config.heads:
            shapes |= classifier(theirs, times * width, config.heads[ours])
    if "fill" in config.heads:
        start = "mlm_score.1.predictions"
        shapes |= linear("mlm_score.0", width, text.width) | linear(f"{start}.transform.dense", text.width, text.width)
        shapes |= norm(f"{start}.transform.LayerNorm", text.width) | {f"{start}.bias": (text.vocabulary,)}
    return shapes
