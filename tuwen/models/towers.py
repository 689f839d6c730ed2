"""Names that several families share: of a BERT's, a CLIP tower's and a co-attention's published tensors, and ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from tuwen import keymap
from tuwen.keymap import Key
from tuwen.nn.bert import BertConfig


def bert_keys(theirs: str, ours: str = "text") -> tuple[Key, ...]:
    """A BERT under the prefix `theirs`."""
    tables = (
        Key(f"{theirs}.embeddings.word_embeddings.weight", f"{ours}.embeddings.words.weight"),
        Key(f"{theirs}.embeddings.position_embeddings.weight", f"{ours}.embeddings.positions.weight"),
        Key(f"{theirs}.embeddings.token_type_embeddings.weight", f"{ours}.embeddings.segments.weight"),
    )
    layer, block = f"{theirs}.encoder.layer.{{i}}", f"{ours}.blocks.{{i}}"
    attention = tuple(f"{layer}.attention.self.{part}.{{w}}" for part in ("query", "key", "value"))
    return (
        *tables,
        Key(f"{theirs}.embeddings.LayerNorm.{{w}}", f"{ours}.embeddings.norm.{{w}}"),
        Key(attention, f"{block}.attention.qkv.{{w}}"),
        *after_attention_keys(layer, block),
    )


def bert_sizes(text: BertConfig) -> dict[str, Any]:
    """What every config.json says of a BERT in the same words; each family adds its own."""
    return {
        "vocab_size": text.vocabulary,
        "hidden_size": text.width,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.heads,
        "intermediate_size": text.hidden,
        "hidden_act": text.activation,
        "hidden_dropout_prob": text.dropout,
        "attention_probs_dropout_prob": text.attention_dropout,
    }


def after_attention_keys(layer: str, block: str) -> tuple[Key, ...]:
    """What follows queries, keys and values in a post-norm layer."""
    return (
        Key(f"{layer}.attention.output.dense.{{w}}", f"{block}.attention.output.{{w}}"),
        Key(f"{layer}.attention.output.LayerNorm.{{w}}", f"{block}.norm_attention.{{w}}"),
        Key(f"{layer}.intermediate.dense.{{w}}", f"{block}.mlp.expand.{{w}}"),
        Key(f"{layer}.output.dense.{{w}}", f"{block}.mlp.reduce.{{w}}"),
        Key(f"{layer}.output.LayerNorm.{{w}}", f"{block}.norm_mlp.{{w}}"),
    )


def clip_blocks_keys(theirs: str, ours: str = "image") -> tuple[Key, ...]:
    """The norms and blocks of OpenAI's CLIP picture tower under the prefix `theirs`."""
    block, our_block = f"{theirs}.transformer.resblocks.{{i}}", f"{ours}.blocks.{{i}}"
    return (
        Key(f"{theirs}.ln_pre.{{w}}", f"{ours}.norm_in.{{w}}"),
        Key(f"{block}.attn.in_proj_{{w}}", f"{our_block}.attention.qkv.{{w}}"),
        Key(f"{block}.attn.out_proj.{{w}}", f"{our_block}.attention.output.{{w}}"),
        Key(f"{block}.ln_1.{{w}}", f"{our_block}.norm_attention.{{w}}"),
        Key(f"{block}.mlp.c_fc.{{w}}", f"{our_block}.mlp.expand.{{w}}"),
        Key(f"{block}.mlp.c_proj.{{w}}", f"{our_block}.mlp.reduce.{{w}}"),
        Key(f"{block}.ln_2.{{w}}", f"{our_block}.norm_mlp.{{w}}"),
        Key(f"{theirs}.ln_post.{{w}}", f"{ours}.norm_out.{{w}}"),
    )


def clip_keys(theirs: str, ours: str = "image") -> tuple[Key, ...]:
    """OpenAI's CLIP picture tower, without its projection."""
    return (
        Key(f"{theirs}.class_embedding", f"{ours}.class_token"),
        Key(f"{theirs}.positional_embedding", f"{ours}.positions"),
        Key(f"{theirs}.conv1.weight", f"{ours}.patches.weight"),
        *clip_blocks_keys(theirs, ours),
    )


def transformers_clip_keys(theirs: str, ours: str = "image") -> tuple[Key, ...]:
    """The same tower under transformers' names."""
    layer, block = f"{theirs}.encoder.layers.{{i}}", f"{ours}.blocks.{{i}}"
    attention = tuple(f"{layer}.self_attn.{part}_proj.{{w}}" for part in ("q", "k", "v"))
    return (
        Key(f"{theirs}.embeddings.class_embedding", f"{ours}.class_token"),
        Key(f"{theirs}.embeddings.patch_embedding.weight", f"{ours}.patches.weight"),
        Key(f"{theirs}.embeddings.position_embedding.weight", f"{ours}.positions"),
        Key(f"{theirs}.pre_layrnorm.{{w}}", f"{ours}.norm_in.{{w}}"),  # their spelling
        Key(attention, f"{block}.attention.qkv.{{w}}"),
        Key(f"{layer}.self_attn.out_proj.{{w}}", f"{block}.attention.output.{{w}}"),
        Key(f"{layer}.layer_norm1.{{w}}", f"{block}.norm_attention.{{w}}"),
        Key(f"{layer}.mlp.fc1.{{w}}", f"{block}.mlp.expand.{{w}}"),
        Key(f"{layer}.mlp.fc2.{{w}}", f"{block}.mlp.reduce.{{w}}"),
        Key(f"{layer}.layer_norm2.{{w}}", f"{block}.norm_mlp.{{w}}"),
        Key(f"{theirs}.post_layernorm.{{w}}", f"{ours}.norm_out.{{w}}"),
    )


def co_attention_keys(theirs: str) -> tuple[Key, ...]:
    """METER's two stacks of co-attention layers under the prefix `theirs`, which BridgeTower and VLE keep."""
    keys: list[Key] = []
    for stream in ("text", "image"):
        layer, ours = f"{theirs}cross_modal_{stream}_layers.{{i}}", f"fusion.{stream}_layers.{{i}}"
        for part, own in (("attention", "own"), ("crossattention", "other")):
            memory = tuple(f"{layer}.{part}.self.{name}.{{w}}" for name in ("key", "value"))
            keys += [
                Key(f"{layer}.{part}.self.query.{{w}}", f"{ours}.{own}.query.{{w}}"),
                Key(memory, f"{ours}.{own}.memory.{{w}}"),
                Key(f"{layer}.{part}.output.dense.{{w}}", f"{ours}.{own}.output.{{w}}"),
                Key(f"{layer}.{part}.output.LayerNorm.{{w}}", f"{ours}.norm_{own}.{{w}}"),
            ]
        keys += [
            Key(f"{layer}.intermediate.dense.{{w}}", f"{ours}.mlp.expand.{{w}}"),
            Key(f"{layer}.output.dense.{{w}}", f"{ours}.mlp.reduce.{{w}}"),
            Key(f"{layer}.output.LayerNorm.{{w}}", f"{ours}.norm_mlp.{{w}}"),
            Key(f"{theirs}cross_modal_{stream}_pooler.dense.{{w}}", f"fusion.{stream}_pooler.dense.{{w}}"),
        ]
    return tuple(keys)


def published_names(module: nn.Module, keys: Sequence[Key]) -> dict[str, nn.Parameter]:
    """A module's parameters under a format's names; what the format keeps apart (query, key, value) under the first."""
    named = {}
    for ours, parameter in module.named_parameters():
        named[next(iter(keymap.store({ours: parameter.detach()}, keys)))] = parameter
    return named
