"""The names of the tensors in ERNIE-ViL 2.0's files, and ours for them; their linear weights are (in, out)."""

from __future__ import annotations

from collections.abc import Iterable

from tuwen.keymap import Key, StackTransposed, Transpose, Unwrap


def _linear(theirs: str, ours: str) -> tuple[Key, Key]:
    """A linear layer as Paddle stores it."""
    return Key(f"{theirs}.weight", f"{ours}.weight", Transpose()), Key(f"{theirs}.bias", f"{ours}.bias")


def _attention(theirs: tuple[str, str, str], ours: str) -> tuple[Key, Key]:
    """Queries, keys and values apart there, together here."""
    return (
        Key(tuple(f"{part}.weight" for part in theirs), f"{ours}.weight", StackTransposed(3)),
        Key(tuple(f"{part}.bias" for part in theirs), f"{ours}.bias"),
    )


def _research() -> tuple[Key, ...]:
    """The state dict of the research release."""
    image, block = "visual.blocks.{i}", "image.blocks.{i}"
    text, layer = "text_model.encoder_stack.block.{i}", "text.blocks.{i}"
    return (
        Key("visual.class_embedding", "image.class_token", Unwrap(2)),
        Key("visual.positional_embedding", "image.positions", Unwrap(1)),
        Key("visual.patch_embed.proj.weight", "image.patches.weight"),
        Key("visual.norm_pre.{w}", "image.norm_in.{w}"),
        Key(f"{image}.norm1.{{w}}", f"{block}.norm_attention.{{w}}"),
        *_linear(f"{image}.attn.qkv", f"{block}.attention.qkv"),
        *_linear(f"{image}.attn.proj", f"{block}.attention.output"),
        Key(f"{image}.norm2.{{w}}", f"{block}.norm_mlp.{{w}}"),
        *_linear(f"{image}.mlp.fc1", f"{block}.mlp.expand"),
        *_linear(f"{image}.mlp.fc2", f"{block}.mlp.reduce"),
        Key("visual.norm_post.{w}", "image.norm_out.{w}"),
        Key("text_model.ln.{w}", "text.embeddings.norm.{w}"),
        Key("text_model.word_emb.weight", "text.embeddings.words.weight"),
        Key("text_model.pos_emb.weight", "text.embeddings.positions.weight"),
        *_attention((f"{text}.attn.q", f"{text}.attn.k", f"{text}.attn.v"), f"{layer}.attention.qkv"),
        *_linear(f"{text}.attn.o", f"{layer}.attention.output"),
        Key(f"{text}.ln1.{{w}}", f"{layer}.norm_attention.{{w}}"),
        *_linear(f"{text}.ffn.i", f"{layer}.mlp.expand"),
        *_linear(f"{text}.ffn.o", f"{layer}.mlp.reduce"),
        Key(f"{text}.ln2.{{w}}", f"{layer}.norm_mlp.{{w}}"),
        *_linear("text_model.pooler", "text.pooler"),
        Key("contrastive_loss_mm.temperature_b", "log_scale", Unwrap(1)),
    )


def _port_layer(theirs: str, ours: str, first_norm: str, second_norm: str) -> tuple[Key, ...]:
    attention = f"{theirs}.self_attn"
    return (
        *_attention((f"{attention}.q_proj", f"{attention}.k_proj", f"{attention}.v_proj"), f"{ours}.attention.qkv"),
        *_linear(f"{attention}.out_proj", f"{ours}.attention.output"),
        *_linear(f"{theirs}.linear1", f"{ours}.mlp.expand"),
        *_linear(f"{theirs}.linear2", f"{ours}.mlp.reduce"),
        Key(f"{theirs}.norm1.{{w}}", f"{ours}.{first_norm}.{{w}}"),
        Key(f"{theirs}.norm2.{{w}}", f"{ours}.{second_norm}.{{w}}"),
    )


def _paddlenlp() -> tuple[Key, ...]:
    """The state dict of PaddleNLP's port, whatever container holds it."""
    embeddings = "text_model.embeddings"
    return (
        Key("temperature", "log_scale", Unwrap(1)),
        Key(f"{embeddings}.word_embeddings.weight", "text.embeddings.words.weight"),
        Key(f"{embeddings}.position_embeddings.weight", "text.embeddings.positions.weight"),
        Key(f"{embeddings}.token_type_embeddings.weight", "text.embeddings.segments.weight"),
        Key(f"{embeddings}.task_type_embeddings.weight", "text.embeddings.tasks.weight"),
        Key(f"{embeddings}.layer_norm.{{w}}", "text.embeddings.norm.{w}"),
        *_port_layer("text_model.encoder.layers.{i}", "text.blocks.{i}", "norm_attention", "norm_mlp"),
        *_linear("text_model.pooler.dense", "text.pooler"),
        Key("vision_model.class_embedding", "image.class_token"),
        Key("vision_model.conv1.weight", "image.patches.weight"),
        Key("vision_model.positional_embedding.weight", "image.positions"),
        Key("vision_model.ln_pre.{w}", "image.norm_in.{w}"),
        *_port_layer("vision_model.transformer.layers.{i}", "image.blocks.{i}", "norm_attention", "norm_mlp"),
        Key("vision_model.ln_post.{w}", "image.norm_out.{w}"),
    )


KEYS = {"research": _research(), "paddlenlp": _paddlenlp()}

DROP = (
    "visual.classfy.{w}",  # a head that the real file holds and nothing uses; their spelling
    "text_model.sent_emb.weight",  # ERNIE 3.0's tables, which this model switches off
    "text_model.task_emb.weight",
)


def recognise(names: Iterable[str]) -> str | None:
    """Which of the formats in KEYS a state dict is in, by its names; None if it is not ERNIE-ViL 2.0's."""
    present = set(names)
    if {"visual.patch_embed.proj.weight", "text_model.word_emb.weight"} <= present:
        return "research"
    if {"vision_model.conv1.weight", "text_model.embeddings.word_embeddings.weight"} <= present:
        return "paddlenlp"
    return None
