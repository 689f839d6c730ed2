"""The names of the tensors in published files, and ours for them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from tuwen.keymap import Key, Transpose
from tuwen.models.chinese_clip.towers import Config
from tuwen.models.towers import bert_keys, clip_keys, published_names, transformers_clip_keys
from tuwen.nn.resnet import ResNet, ResNetConfig


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


def _fused(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """The table of the FlashAttention layout: q, k and v in one tensor, under other names."""
    changed = {
        "text.blocks.{i}.attention.qkv.{w}": "bert.encoder.layer.{i}.attention.self.Wqkv.{w}",
        "text.blocks.{i}.attention.output.{w}": "bert.encoder.layer.{i}.attention.self.out_proj.{w}",
        "image.blocks.{i}.attention.qkv.{w}": "visual.transformer.resblocks.{i}.attn.Wqkv.{w}",
    }
    return tuple(Key(changed[str(key.ours)], key.ours) if key.ours in changed else key for key in keys)


_TOP = (Key("text_projection", "text_projection.weight"), Key("logit_scale", "log_scale"))
_TABLES, _PROJECTION = clip_keys("visual"), Key("visual.proj", "image_projection.weight")
_ORIGINAL_VIT = (*_TOP, *_TABLES[:2], _PROJECTION, *_TABLES[2:], *bert_keys("bert"))  # in the order of the files
_ORIGINAL_RESNET = (*_TOP, *_resnet_keys(), *bert_keys("bert"))
_TRANSFORMERS = (
    Key("logit_scale", "log_scale"),
    *bert_keys("text_model"),
    *transformers_clip_keys("vision_model"),
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
    return published_names(module, keys)
