"""The names of the tensors in BridgeTower's and METER's published files, and ours for them."""

from __future__ import annotations

from collections.abc import Iterable

from tuwen.keymap import Key
from tuwen.models.towers import bert_keys, clip_blocks_keys, clip_keys, co_attention_keys

BODY = "bridgetower."  # before the body's names in transformers' files with heads
# Heads by the first part of their names, and ours.
HEADS = {
    "mlm_score": "fill",
    "itm_score": "match",
    "itc_text_head": "contrast",
    "itc_image_head": "contrast",
    "itc_cross_modal_head": "contrast",
    "logit_scale": "contrast",
    "vqa_classifier": "answer",
    "nlvr2_classifier": "pair",
    "snli_classifier": "entail",
    "rank_output": "rank",
}


def _fusion_keys(prefix: str) -> tuple[Key, ...]:
    keys = [Key(f"{prefix}token_type_embeddings.weight", "types.weight"), *co_attention_keys(prefix)]
    for stream in ("text", "image"):
        theirs = f"{prefix}cross_modal_{stream}"
        bridge, ours = f"{theirs}_link_tower.{{i}}", f"fusion.{stream}_bridges.{{i}}"
        keys += [
            Key(f"{theirs}_transform.{{w}}", f"{stream}_transform.{{w}}"),
            Key(f"{theirs}_transform.{{i}}.{{w}}", f"{stream}_transform.{{i}}.{{w}}"),
            Key(f"{theirs}_layernorm.{{w}}", f"norm_{stream}.{{w}}"),
            Key(f"{bridge}.LayerNorm.{{w}}", f"{ours}.norm.{{w}}"),
            Key(f"{bridge}.scaled_factor", f"{ours}.factor"),
            Key(f"{bridge}.beta", f"{ours}.beta"),
        ]
    return tuple(keys)


_HEADS = (
    Key("mlm_score.transform.dense.{w}", "heads.fill.transform.dense.{w}"),
    Key("mlm_score.transform.LayerNorm.{w}", "heads.fill.transform.norm.{w}"),
    Key("mlm_score.decoder.weight", "heads.fill.decoder.weight"),
    Key("mlm_score.bias", "heads.fill.decoder.bias"),
    Key("itm_score.fc.{w}", "heads.match.{w}"),
    Key("itc_text_head.fc.{w}", "heads.contrast.text.{w}"),
    Key("itc_image_head.fc.{w}", "heads.contrast.image.{w}"),
)


def _transformers(prefix: str) -> tuple[Key, ...]:
    image = f"{prefix}vision_model.visual"
    return (
        *bert_keys(f"{prefix}text_model"),
        Key(f"{prefix}text_model.pooler.dense.{{w}}", "text.pooler.{w}"),
        Key(f"{image}.embeddings.class_embedding", "image.class_token"),
        Key(f"{image}.embeddings.position_embedding.weight", "image.positions"),
        Key(f"{image}.embeddings.patch_embedding.weight", "image.patches.weight"),
        *clip_blocks_keys(image),
        *_fusion_keys(prefix),
        *_HEADS,
        Key("itc_cross_modal_head.fc.{w}", "heads.contrast.cross.{w}"),
        Key("logit_scale", "heads.contrast.log_scale"),
    )


_ORIGINAL = (
    *bert_keys("text_transformer"),
    Key("text_transformer.pooler.dense.{w}", "text.pooler.{w}"),
    *clip_keys("vit_model.visual"),
    *_fusion_keys(""),
    Key("text_gate.{w}", "text_gate.{w}"),
    Key("image_gate.{w}", "image_gate.{w}"),
    Key("temperature", "temperature"),
    *_HEADS,
    Key("vqa_classifier.{i}.{w}", "heads.answer.{i}.{w}"),
    Key("nlvr2_classifier.{i}.{w}", "heads.pair.{i}.{w}"),
    Key("snli_classifier.{i}.{w}", "heads.entail.{i}.{w}"),
    Key("rank_output.{w}", "heads.rank.{w}"),
)

# format -> its table; "transformers-bare" is a file of the body alone, without the prefix.
KEYS = {"transformers": _transformers(BODY), "transformers-bare": _transformers(""), "original": _ORIGINAL}

DROP = (
    f"{BODY}text_model.embeddings.position_ids",  # counting rows that 2022 files carry
    f"{BODY}vision_model.visual.embeddings.position_ids",
    "text_model.embeddings.position_ids",
    "vision_model.visual.embeddings.position_ids",
    f"{BODY}vision_model.visual.ln_separate.{{i}}.{{w}}",  # where share_layernorm is off; the fused forward skips them
    "vision_model.visual.ln_separate.{i}.{w}",
    "vit_model.visual.ln_separate.{i}.{w}",
    "vit_model.visual.proj",
    "text_transformer.embeddings.position_ids",
    "vit_model.positional_embedding",  # what CLIP's text side left behind
    "vit_model.ln_final.{w}",
)


def recognise(names: Iterable[str]) -> str | None:
    """Which of the formats in KEYS a state dict is in, by its names; None if it is not BridgeTower's."""
    present = set(names)
    if "text_transformer.embeddings.word_embeddings.weight" in present:
        return "original" if "cross_modal_text_transform.weight" in present else None
    for prefix, form in ((BODY, "transformers"), ("", "transformers-bare")):
        if f"{prefix}vision_model.visual.embeddings.class_embedding" in present:
            return form
    return None


def split_heads(names: Iterable[str]) -> tuple[set[str], list[str]]:
    """Names of a state dict -> our names of the heads in it, and the tensors of heads that nobody knows."""
    body = ("text_", "image_", "vision_", "vit_", "cross_modal_", "token_type_", BODY)
    known, strange = set(), []
    for name in names:
        start = name.partition(".")[0]
        if start in HEADS:
            known.add(HEADS[start])
        elif start != "temperature" and not name.startswith(body):
            strange.append(name)
    return known, strange
