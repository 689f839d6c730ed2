"""The names and shapes of published files, spelled out from their description and not from our tables."""

from __future__ import annotations

from tuwen.models.chinese_clip import Config
from tuwen.nn.bert import BertConfig
from tuwen.nn.resnet import ResNetConfig
from tuwen.nn.vit import ViTConfig

Shapes = dict[str, tuple[int, ...]]


def original(config: Config) -> Shapes:
    """A `.pt` file of the original."""
    shapes: Shapes = {"text_projection": (config.text.width, config.embedding), "logit_scale": ()}
    if isinstance(config.image, ViTConfig):
        shapes |= _original_vit(config.image, config.embedding)
    else:
        shapes |= _original_resnet(config.image)
    return shapes | _bert("bert", config.text)


def transformers(config: Config) -> Shapes:
    """A Hugging Face folder."""
    image = config.image
    assert isinstance(image, ViTConfig)
    width, hidden = image.width, image.hidden or 4 * image.width
    shapes: Shapes = {
        "logit_scale": (),
        "text_projection.weight": (config.embedding, config.text.width),
        "visual_projection.weight": (config.embedding, width),
        "vision_model.embeddings.class_embedding": (width,),
        "vision_model.embeddings.patch_embedding.weight": (width, 3, image.patch_size, image.patch_size),
        "vision_model.embeddings.position_embedding.weight": (1 + image.side**2, width),
        **_norm("vision_model.pre_layrnorm", width),
        **_norm("vision_model.post_layernorm", width),
    }
    for layer in range(image.layers):
        start = f"vision_model.encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{start}.self_attn.{part}", width, width)
        shapes |= _norm(f"{start}.layer_norm1", width) | _norm(f"{start}.layer_norm2", width)
        shapes |= _linear(f"{start}.mlp.fc1", width, hidden) | _linear(f"{start}.mlp.fc2", hidden, width)
    return shapes | _bert("text_model", config.text)


def _linear(name: str, width_in: int, width_out: int) -> Shapes:
    return {f"{name}.weight": (width_out, width_in), f"{name}.bias": (width_out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _batch_norm(name: str, width: int) -> Shapes:
    statistics: Shapes = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return statistics | {f"{name}.num_batches_tracked": ()}


def _bert(start: str, text: BertConfig) -> Shapes:
    width = text.width
    shapes: Shapes = {
        f"{start}.embeddings.word_embeddings.weight": (text.vocabulary, width),
        f"{start}.embeddings.position_embeddings.weight": (text.positions, width),
        f"{start}.embeddings.token_type_embeddings.weight": (text.segments, width),
        **_norm(f"{start}.embeddings.LayerNorm", width),
    }
    for number in range(text.layers):
        layer = f"{start}.encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= _linear(f"{layer}.attention.{part}", width, width)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm", width) | _norm(f"{layer}.output.LayerNorm", width)
        shapes |= _linear(f"{layer}.intermediate.dense", width, text.hidden)
        shapes |= _linear(f"{layer}.output.dense", text.hidden, width)
    return shapes


def _original_vit(image: ViTConfig, embedding: int) -> Shapes:
    width = image.width
    shapes: Shapes = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (1 + image.side**2, width),
        "visual.proj": (width, embedding),
        "visual.conv1.weight": (width, 3, image.patch_size, image.patch_size),
        **_norm("visual.ln_pre", width),
        **_norm("visual.ln_post", width),
    }
    for number in range(image.layers):
        block = f"visual.transformer.resblocks.{number}"
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        shapes |= _linear(f"{block}.attn.out_proj", width, width)
        shapes |= _norm(f"{block}.ln_1", width) | _norm(f"{block}.ln_2", width)
        shapes |= _linear(f"{block}.mlp.c_fc", width, 4 * width) | _linear(f"{block}.mlp.c_proj", 4 * width, width)
    return shapes


def _original_resnet(image: ResNetConfig) -> Shapes:
    width = image.width
    half = width // 2
    shapes: Shapes = {}
    for number, (before, after) in enumerate(((3, half), (half, half), (half, width)), 1):
        shapes |= {f"visual.conv{number}.weight": (after, before, 3, 3)} | _batch_norm(f"visual.bn{number}", after)
    before = width
    for stage, count in enumerate(image.blocks, 1):
        inner = width * 2 ** (stage - 1)
        for number in range(count):
            block = f"visual.layer{stage}.{number}"
            for conv, shape in ((1, (inner, before, 1, 1)), (2, (inner, inner, 3, 3)), (3, (4 * inner, inner, 1, 1))):
                shapes |= {f"{block}.conv{conv}.weight": shape} | _batch_norm(f"{block}.bn{conv}", shape[0])
            if number == 0:
                shapes |= {f"{block}.downsample.0.weight": (4 * inner, before, 1, 1)}
                shapes |= _batch_norm(f"{block}.downsample.1", 4 * inner)
            before = 4 * inner
    shapes["visual.attnpool.positional_embedding"] = (1 + image.side**2, 32 * width)
    for part in ("k_proj", "q_proj", "v_proj"):
        shapes |= _linear(f"visual.attnpool.{part}", 32 * width, 32 * width)
    return shapes | _linear("visual.attnpool.c_proj", 32 * width, image.embedding)
