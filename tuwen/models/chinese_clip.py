"""Chinese-CLIP: a CLIP image tower (ViT or ResNet) and a Chinese BERT, arXiv 2211.01335, OFA-Sys/Chinese-CLIP."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tuwen import keymap
from tuwen.errors import CheckpointError, UsageError
from tuwen.keymap import Key, Transpose
from tuwen.nn.attention import ACTIVATIONS
from tuwen.nn.bert import Bert, BertConfig
from tuwen.nn.heads import Projection
from tuwen.nn.positions import resize_grid
from tuwen.nn.resnet import ResNet, ResNetConfig
from tuwen.nn.vit import ViT, ViTConfig
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.wordpiece import WordPiece
from tuwen.types import Images, PackedTexts, Texts

CONTEXT_LENGTH = 52  # tokens; longer texts lose their end, as in the original
START_SCALE = math.log(1 / 0.07)
MAX_LOG_SCALE = (
    4.6052  # training clamps the scale's logarithm to [0, ln 100]; the published models sit at the upper end
)


@dataclass(frozen=True)
class Config:
    """Everything that fixes the shape of a model; `embedding` is the width of the shared space."""

    image: ViTConfig | ResNetConfig
    text: BertConfig
    embedding: int


RBT3 = BertConfig(vocabulary=21128, width=768, layers=3, heads=12, hidden=3072)
BASE = BertConfig(vocabulary=21128, width=768, layers=12, heads=12, hidden=3072)
LARGE = BertConfig(vocabulary=21128, width=1024, layers=24, heads=16, hidden=4096)

VARIANTS = {
    "rn50": Config(ResNetConfig(224, blocks=(3, 4, 6, 3), width=64, heads=32, embedding=1024), RBT3, 1024),
    "vit-b-16": Config(ViTConfig(224, patch_size=16, width=768, layers=12, heads=12), BASE, 512),
    "vit-b-32": Config(ViTConfig(224, patch_size=32, width=768, layers=12, heads=12), BASE, 512),
    "vit-l-14": Config(ViTConfig(224, patch_size=14, width=1024, layers=24, heads=16), BASE, 768),
    "vit-l-14-336": Config(ViTConfig(336, patch_size=14, width=1024, layers=24, heads=16), BASE, 768),
    "vit-h-14": Config(ViTConfig(224, patch_size=14, width=1280, layers=32, heads=16), LARGE, 1024),  # heads of 80
}


class ChineseCLIP(nn.Module):
    """Two towers into one space."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.text = Bert(config.text)
        self.text_projection = Projection(config.text.width, config.embedding)
        self.image: ViT | ResNet
        self.image_projection: nn.Module
        if isinstance(config.image, ViTConfig):
            self.image = ViT(config.image)
            self.image_projection = Projection(config.image.width, config.embedding)
        else:
            self.image = ResNet(config.image)
            self.image_projection = nn.Identity()  # its attention pooling already ends in the shared space
        self.log_scale = nn.Parameter(torch.tensor(START_SCALE))

    def encode_image(self, images: Images, patch_dropout: float = 0.0) -> Tensor:
        """images -> features (B, E), not normalised; patch_dropout is for training, and for the ViT towers only."""
        if patch_dropout and isinstance(self.image, ViT):
            return self.image_projection(self.image(images.pixels, patch_dropout))
        return self.image_projection(self.image(images.pixels))

    def encode_text(self, texts: Texts | PackedTexts) -> Tensor:
        """texts -> features (B, E), not normalised; the [CLS] state, no pooler."""
        return self.text_projection(self.text(texts))

    def scale(self) -> Tensor:
        """What multiplies the cosine."""
        return self.log_scale.exp()

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep the scale's logarithm within [0, ln 100], after every optimizer step as the original does."""
        self.log_scale.clamp_(0, MAX_LOG_SCALE)


def build(config: Config) -> ChineseCLIP:
    """A module of these sizes."""
    return ChineseCLIP(config)


# -- names in published files ----------------------------------------------------------------------------------------


def _text_keys(theirs: str) -> tuple[Key, ...]:
    """A BERT under the prefix `theirs`; its layers."""
    layer, block = f"{theirs}.encoder.layer.{{i}}", "text.blocks.{i}"
    attention = tuple(f"{layer}.attention.self.{part}.{{w}}" for part in ("query", "key", "value"))
    return (
        Key(f"{theirs}.embeddings.word_embeddings.weight", "text.embeddings.words.weight"),
        Key(f"{theirs}.embeddings.position_embeddings.weight", "text.embeddings.positions.weight"),
        Key(f"{theirs}.embeddings.token_type_embeddings.weight", "text.embeddings.segments.weight"),
        Key(f"{theirs}.embeddings.LayerNorm.{{w}}", "text.embeddings.norm.{w}"),
        Key(attention, f"{block}.attention.qkv.{{w}}"),
        Key(f"{layer}.attention.output.dense.{{w}}", f"{block}.attention.output.{{w}}"),
        Key(f"{layer}.attention.output.LayerNorm.{{w}}", f"{block}.norm_attention.{{w}}"),
        Key(f"{layer}.intermediate.dense.{{w}}", f"{block}.mlp.expand.{{w}}"),
        Key(f"{layer}.output.dense.{{w}}", f"{block}.mlp.reduce.{{w}}"),
        Key(f"{layer}.output.LayerNorm.{{w}}", f"{block}.norm_mlp.{{w}}"),
    )


def _vit_keys() -> tuple[Key, ...]:
    block, ours = "visual.transformer.resblocks.{i}", "image.blocks.{i}"
    return (
        Key("visual.class_embedding", "image.class_token"),
        Key("visual.positional_embedding", "image.positions"),
        Key("visual.proj", "image_projection.weight"),
        Key("visual.conv1.weight", "image.patches.weight"),
        Key("visual.ln_pre.{w}", "image.norm_in.{w}"),
        Key(f"{block}.attn.in_proj_{{w}}", f"{ours}.attention.qkv.{{w}}"),
        Key(f"{block}.attn.out_proj.{{w}}", f"{ours}.attention.output.{{w}}"),
        Key(f"{block}.ln_1.{{w}}", f"{ours}.norm_attention.{{w}}"),
        Key(f"{block}.mlp.c_fc.{{w}}", f"{ours}.mlp.expand.{{w}}"),
        Key(f"{block}.mlp.c_proj.{{w}}", f"{ours}.mlp.reduce.{{w}}"),
        Key(f"{block}.ln_2.{{w}}", f"{ours}.norm_mlp.{{w}}"),
        Key("visual.ln_post.{w}", "image.norm_out.{w}"),
    )


def _resnet_keys() -> tuple[Key, ...]:
    """The stem and four stages; their layers count from 1, our stages from 0."""
    stem = [
        key
        for n in (1, 2, 3)
        for key in (
            Key(f"visual.conv{n}.weight", f"image.conv{n}.weight"),
            Key(f"visual.bn{n}.{{w}}", f"image.norm{n}.{{w}}"),
        )
    ]
    stages = []
    for stage in range(4):
        theirs, ours = f"visual.layer{stage + 1}.{{i}}", f"image.stages.{stage}.{{i}}"
        for n in (1, 2, 3):
            stages.append(Key(f"{theirs}.conv{n}.weight", f"{ours}.conv{n}.weight"))
            stages.append(Key(f"{theirs}.bn{n}.{{w}}", f"{ours}.norm{n}.{{w}}"))
        stages.append(Key(f"{theirs}.downsample.0.weight", f"{ours}.shortcut.conv.weight"))
        stages.append(Key(f"{theirs}.downsample.1.{{w}}", f"{ours}.shortcut.norm.{{w}}"))
    pool = [Key("visual.attnpool.positional_embedding", "image.pool.positions")]
    for theirs, ours in (("k_proj", "key"), ("q_proj", "query"), ("v_proj", "value"), ("c_proj", "output")):
        pool.append(Key(f"visual.attnpool.{theirs}.{{w}}", f"image.pool.{ours}.{{w}}"))
    return (*stem, *stages, *pool)


def _transformers_image_keys() -> tuple[Key, ...]:
    layer, block = "vision_model.encoder.layers.{i}", "image.blocks.{i}"
    attention = tuple(f"{layer}.self_attn.{part}_proj.{{w}}" for part in ("q", "k", "v"))
    return (
        Key("vision_model.embeddings.class_embedding", "image.class_token"),
        Key("vision_model.embeddings.patch_embedding.weight", "image.patches.weight"),
        Key("vision_model.embeddings.position_embedding.weight", "image.positions"),
        Key("vision_model.pre_layrnorm.{w}", "image.norm_in.{w}"),  # their spelling
        Key(attention, f"{block}.attention.qkv.{{w}}"),
        Key(f"{layer}.self_attn.out_proj.{{w}}", f"{block}.attention.output.{{w}}"),
        Key(f"{layer}.layer_norm1.{{w}}", f"{block}.norm_attention.{{w}}"),
        Key(f"{layer}.mlp.fc1.{{w}}", f"{block}.mlp.expand.{{w}}"),
        Key(f"{layer}.mlp.fc2.{{w}}", f"{block}.mlp.reduce.{{w}}"),
        Key(f"{layer}.layer_norm2.{{w}}", f"{block}.norm_mlp.{{w}}"),
        Key("vision_model.post_layernorm.{w}", "image.norm_out.{w}"),
    )


def _fused(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """The table of the FlashAttention layout: q, k and v in one tensor, under other names."""
    changed = {
        "text.blocks.{i}.attention.qkv.{w}": "bert.encoder.layer.{i}.attention.self.Wqkv.{w}",
        "text.blocks.{i}.attention.output.{w}": "bert.encoder.layer.{i}.attention.self.out_proj.{w}",
        "image.blocks.{i}.attention.qkv.{w}": "visual.transformer.resblocks.{i}.attn.Wqkv.{w}",
    }
    return tuple(Key(changed[str(key.ours)], key.ours) if key.ours in changed else key for key in keys)


_TOP = (Key("text_projection", "text_projection.weight"), Key("logit_scale", "log_scale"))
_ORIGINAL_VIT = (*_TOP, *_vit_keys(), *_text_keys("bert"))
_ORIGINAL_RESNET = (*_TOP, *_resnet_keys(), *_text_keys("bert"))
_TRANSFORMERS = (
    Key("logit_scale", "log_scale"),
    *_text_keys("text_model"),
    *_transformers_image_keys(),
    Key("visual_projection.weight", "image_projection.weight", Transpose()),
    Key("text_projection.weight", "text_projection.weight", Transpose()),
)

# format -> its table. "flash" is what a run of the original with --use-flash-attention holds in memory.
KEYS = {
    "original": _ORIGINAL_VIT,
    "original-resnet": _ORIGINAL_RESNET,
    "flash": _fused(_ORIGINAL_VIT),
    "flash-resnet": _fused(_ORIGINAL_RESNET),
    "transformers": _TRANSFORMERS,
}
DROP = (
    "bert.pooler.dense.{w}",  # in some files, never used: the feature is the [CLS] state itself
    "text_model.pooler.dense.{w}",
    "text_model.embeddings.position_ids",  # counting rows that 2022 files of transformers carry
    "text_model.embeddings.token_type_ids",
    "vision_model.embeddings.position_ids",
)


def recognise(names: Iterable[str]) -> str | None:
    """Which of the formats in KEYS a state dict is in, by its names; None if it is not Chinese-CLIP's."""
    present = set(names)
    if (
        "vision_model.embeddings.class_embedding" in present
        and "text_model.embeddings.word_embeddings.weight" in present
    ):
        return "transformers"
    if "text_projection" not in present or "bert.embeddings.word_embeddings.weight" not in present:
        return None
    layout = "flash" if any(".Wqkv." in name for name in present) else "original"
    return layout if "visual.class_embedding" in present else f"{layout}-resnet"


def original_form(config: Config) -> str:
    """The key of KEYS that the original's files of these sizes use."""
    return "original-resnet" if isinstance(config.image, ResNetConfig) else "original"


def published_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The module's parameters under the original's names: what it keeps apart (query, key, value) under the first."""
    keys = KEYS["original-resnet" if isinstance(module.image, ResNet) else "original"]
    named = {}
    for ours, parameter in module.named_parameters():
        named[next(iter(keymap.store({ours: parameter.detach()}, keys)))] = parameter
    return named


# -- sizes from published files --------------------------------------------------------------------------------------


def config_from(settings: Mapping[str, Any]) -> Config:
    """Sizes from tuwen's own description, the original's two merged JSON files, or transformers' config.json."""
    if "vision_config" in settings or settings.get("model_type") == "chinese_clip":
        return _from_transformers(settings)
    if "embed_dim" in settings:
        return _from_original(settings)
    if "embedding" in settings:
        return _from_own(settings)
    raise UsageError(
        f"this is no Chinese-CLIP config: its keys are {', '.join(sorted(settings)[:6])}; expected the original's "
        "pair of JSON files (embed_dim, ...), transformers' config.json (vision_config, ...) or a tuwen config.json"
    )


def _from_own(settings: Mapping[str, Any]) -> Config:
    image = dict(settings["image"])
    kind = ResNetConfig if "blocks" in image else ViTConfig
    if "blocks" in image:
        image["blocks"] = tuple(image["blocks"])
    try:
        return Config(kind(**image), BertConfig(**settings["text"]), settings["embedding"])
    except (KeyError, TypeError) as error:
        raise UsageError(f"the sizes of a Chinese-CLIP model are incomplete or misspelt: {error}") from None


def _from_original(settings: Mapping[str, Any]) -> Config:
    """`model_configs/VISION.json` and `TEXT.json` in one mapping, the text's keys winning."""
    text = BertConfig(
        vocabulary=settings["vocab_size"],
        width=settings["text_hidden_size"],
        layers=settings["text_num_hidden_layers"],
        heads=settings["text_num_attention_heads"],
        hidden=settings["text_intermediate_size"],
        positions=settings["text_max_position_embeddings"],
        segments=settings["text_type_vocab_size"],
        activation=_activation(settings["text_hidden_act"]),
        dropout=settings["text_hidden_dropout_prob"],
        attention_dropout=settings["text_attention_probs_dropout_prob"],
        initializer_range=settings["text_initializer_range"],
    )
    width, head = settings["vision_width"], settings.get("vision_head_width") or 64
    layers = settings["vision_layers"]
    layers = json.loads(layers) if isinstance(layers, str) else layers  # RN50.json has "[3,4,6,3]", a string
    size, embedding = settings["image_resolution"], settings["embed_dim"]
    if isinstance(layers, int):
        image: ViTConfig | ResNetConfig = ViTConfig(size, settings["vision_patch_size"], width, layers, width // head)
    else:
        image = ResNetConfig(size, tuple(layers), width, heads=width * 32 // head, embedding=embedding)
    return Config(image, text, embedding)


# What transformers' configuration classes hold where a config.json is silent.
_TRANSFORMERS_TEXT = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}
_TRANSFORMERS_IMAGE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


def _from_transformers(settings: Mapping[str, Any]) -> Config:
    text = {**_TRANSFORMERS_TEXT, **(settings.get("text_config") or {})}
    image = {**_TRANSFORMERS_IMAGE, **(settings.get("vision_config") or {})}
    return Config(
        ViTConfig(
            image_size=image["image_size"],
            patch_size=image["patch_size"],
            width=image["hidden_size"],
            layers=image["num_hidden_layers"],
            heads=image["num_attention_heads"],
            hidden=image["intermediate_size"],
            activation=_activation(image["hidden_act"]),
            eps=image["layer_norm_eps"],
        ),
        BertConfig(
            vocabulary=text["vocab_size"],
            width=text["hidden_size"],
            layers=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            hidden=text["intermediate_size"],
            positions=text["max_position_embeddings"],
            segments=text["type_vocab_size"],
            activation=_activation(text["hidden_act"]),
            eps=text["layer_norm_eps"],
            dropout=text["hidden_dropout_prob"],
            attention_dropout=text["attention_probs_dropout_prob"],
            initializer_range=text["initializer_range"],
        ),
        settings.get("projection_dim", 512),
    )


def _activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UsageError(f"the config asks for the activation {name!r}; known are {', '.join(ACTIVATIONS)}")
    return name


def config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    """Sizes from the tensors of an original file, which carries no config.

    Only the numbers of heads are not in the shapes: they are taken from the published variants (64 wide; 80 in
    ViT-H-14), so a model of any other width needs its config files.
    """
    table = shapes["bert.embeddings.word_embeddings.weight"]
    layers = _count(shapes, "bert.encoder.layer.")
    text = BertConfig(
        vocabulary=table[0],
        width=table[1],
        layers=layers,
        heads=_heads(table[1], "text"),
        hidden=shapes["bert.encoder.layer.0.intermediate.dense.weight"][0],
        positions=shapes["bert.embeddings.position_embeddings.weight"][0],
        segments=shapes["bert.embeddings.token_type_embeddings.weight"][0],
    )
    embedding = shapes["text_projection"][1]
    if "visual.proj" in shapes:
        width, _, patch, _ = shapes["visual.conv1.weight"]
        side = math.isqrt(shapes["visual.positional_embedding"][0] - 1)
        blocks = _count(shapes, "visual.transformer.resblocks.")
        return Config(ViTConfig(side * patch, patch, width, blocks, _heads(width, "image")), text, embedding)
    width = shapes["visual.conv3.weight"][0]
    first, second, third, fourth = (_count(shapes, f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
    side = math.isqrt(shapes["visual.attnpool.positional_embedding"][0] - 1)
    image = ResNetConfig(side * 32, (first, second, third, fourth), width, _heads(width * 32, "image"), embedding)
    return Config(image, text, embedding)


def _count(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in shapes if name.startswith(prefix))


def _heads(width: int, tower: str) -> int:
    if width == 1280:
        return 16  # ViT-H-14 alone has heads of 80
    if width % 64 or width < 512:
        raise CheckpointError(
            f"the weights do not tell how many heads the {tower} tower of width {width} has: pass config= with the "
            "model's own config files (the original's VISION.json and TEXT.json, or a folder that holds them)"
        )
    return width // 64


def config_to_dict(config: Config) -> dict[str, Any]:
    """Plain data for tuwen's config.json; `config_from` reads it back."""
    return asdict(config)


def variant_of(config: Config) -> str | None:
    """The published variant of these sizes, if there is one."""
    return next((name for name, known in VARIANTS.items() if known == config), None)


@torch.no_grad()
def round_to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors rounded to half precision where cn_clip's `load_from_name` rounds them, in the type they had.

    It turns the empty model to half precision before it loads: every convolution and linear layer, attention
    projections, all of the text tower, both projections. Image norms, class token, position tables and the scale keep
    their values.
    """
    return {name: tensor.half().to(tensor.dtype) if _is_rounded(name) else tensor for name, tensor in tensors.items()}


def _is_rounded(name: str) -> bool:
    if name.startswith("image."):
        return not any(part in name for part in ("norm", "class_token", "positions"))
    return name != "log_scale"


# -- a start for pretraining -----------------------------------------------------------------------------------------


def initialise(config: Config, clip: Mapping[str, Tensor], bert: Mapping[str, Tensor]) -> ChineseCLIP:
    """A model to pretrain: image tower and scale of an OpenAI CLIP, text tower of a Chinese BERT; float32, eval mode.

    clip, bert: bare state dicts. `visual.*` and `logit_scale` are taken from the first, `bert.*` from the second,
    rounded to half precision as the original's `load` does. Positions of another grid are resized; the text projection
    keeps its random start.
    CheckpointError names what is missing, has no place, or has another shape.
    """
    image = {name: value for name, value in clip.items() if name.startswith("visual.") or name == "logit_scale"}
    text = {name: value for name, value in bert.items() if name.startswith("bert.")}
    # BERT files of transformers may carry counting rows too.
    drop = (*DROP, "bert.embeddings.position_ids", "bert.embeddings.token_type_ids")
    form = "original" if "visual.class_embedding" in image else "original-resnet"
    ours, _ = keymap.load(image | text, KEYS[form], drop)
    module = build(config)
    if isinstance(module.image, ViT) and "image.positions" in ours:
        ours["image.positions"] = resize_grid(ours["image.positions"], config.image.side)
    start = module.state_dict()
    kept = {"text_projection.weight": start["text_projection.weight"]}
    problem = keymap.describe_mismatch(_shapes(ours | kept), _shapes(start))
    if problem:
        raise CheckpointError(f"these weights do not start a model of this config: {problem}")
    module.load_state_dict(round_to_half(ours) | kept)
    return module.eval()


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


# -- what it can do, and what goes in --------------------------------------------------------------------------------

TASKS = ("embed", "search", "classify")
LANGUAGES = ("zh",)


def processor(form: str, config: Config, tokenizer: WordPiece, preprocessor: Mapping[str, Any] | None) -> Processor:
    """Tokenizer and picture pipeline as the format's own code has them: the original's, or transformers'."""
    if form == "transformers":
        size = {"height": config.image.image_size, "width": config.image.image_size}
        pipeline = ImagePipeline.from_transformers(dict(preprocessor or {"size": size, "do_center_crop": False}))
    else:
        pipeline = ImagePipeline(size=(config.image.image_size, config.image.image_size))
    return Processor(tokenizer, pipeline, context_length=min(CONTEXT_LENGTH, config.text.positions))


# -- config files of the two published formats -----------------------------------------------------------------------


def original_settings(config: Config) -> dict[str, dict[str, Any]]:
    """The original's two JSON files, "image" and "text"; CheckpointError for sizes that it cannot express."""
    image, text = config.image, config.text
    vision: dict[str, Any] = {"embed_dim": config.embedding, "image_resolution": image.image_size}
    if isinstance(image, ResNetConfig):
        vision |= {"vision_layers": str(list(image.blocks)), "vision_width": image.width, "vision_patch_size": None}
        vision["vision_head_width"] = image.width * 32 // image.heads
    else:
        vision |= {"vision_layers": image.layers, "vision_width": image.width, "vision_patch_size": image.patch_size}
        vision["vision_head_width"] = image.width // image.heads
        plain = ViTConfig(image.image_size, image.patch_size, image.width, image.layers, image.heads)
        if replace(image, hidden=None if image.hidden == 4 * image.width else image.hidden) != plain:
            raise CheckpointError("the original's format has no place for this image tower's activation, eps or width")
    if text.eps != BASE.eps:
        raise CheckpointError(f"the original's format has no place for a text eps of {text.eps}")
    words = {
        "vocab_size": text.vocabulary,
        "text_attention_probs_dropout_prob": text.attention_dropout,
        "text_hidden_act": text.activation,
        "text_hidden_dropout_prob": text.dropout,
        "text_hidden_size": text.width,
        "text_initializer_range": text.initializer_range,
        "text_intermediate_size": text.hidden,
        "text_max_position_embeddings": text.positions,
        "text_num_attention_heads": text.heads,
        "text_num_hidden_layers": text.layers,
        "text_type_vocab_size": text.segments,
    }
    return {"image": vision, "text": words}


def transformers_settings(config: Config) -> dict[str, Any]:
    """config.json of a transformers folder; CheckpointError for the ResNet tower, which has no class there."""
    image, text = config.image, config.text
    if isinstance(image, ResNetConfig):
        raise CheckpointError("transformers has no Chinese-CLIP with a ResNet image tower: RN50 exists as .pt only")
    return {
        "architectures": ["ChineseCLIPModel"],
        "model_type": "chinese_clip",
        "projection_dim": config.embedding,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            "model_type": "chinese_clip_text_model",
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "intermediate_size": text.hidden,
            "max_position_embeddings": text.positions,
            "type_vocab_size": text.segments,
            "hidden_act": text.activation,
            "layer_norm_eps": text.eps,
            "hidden_dropout_prob": text.dropout,
            "attention_probs_dropout_prob": text.attention_dropout,
            "initializer_range": text.initializer_range,
            "pad_token_id": 0,
        },
        "vision_config": {
            "model_type": "chinese_clip_vision_model",
            "hidden_size": image.width,
            "num_hidden_layers": image.layers,
            "num_attention_heads": image.heads,
            "intermediate_size": image.hidden or 4 * image.width,
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            "hidden_act": image.activation,
            "layer_norm_eps": image.eps,
            "projection_dim": config.embedding,
        },
    }
