"""The names of the tensors in published files, and ours for them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from tuwen import keymap
from tuwen.keymap import Key, Transpose
from tuwen.models.chinese_clip.towers import Config
from tuwen.nn.resnet import ResNet, ResNetConfig


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
