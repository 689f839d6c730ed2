"""The names of the tensors in VLE's published files, and ours for them."""

from __future__ import annotations

from collections.abc import Iterable

from tuwen.keymap import Key
from tuwen.models.towers import after_attention_keys, co_attention_keys, transformers_clip_keys

BODY = "vle."  # before the body's names in files with heads
HEADS = {
    "vqa_classifier": "answer",
    "itm_score": "match",
    "pbc_classifier": "ground",
    "mlm_score": "fill",
    "vcr_q2a_logit": "choose",
    "vcr_qa2r_logit": "choose",
}
_BODY_STARTS = ("text_", "image_", "vision_", "cross_modal_", "token_type_", BODY)


def _keys(prefix: str, choose: str) -> tuple[Key, ...]:
    text, block = f"{prefix}text_model", "text.blocks.{i}"
    layer = f"{text}.encoder.layer.{{i}}"
    attention = tuple(f"{layer}.attention.self.{part}_proj.{{w}}" for part in ("query", "key", "value"))
    return (
        *transformers_clip_keys(f"{prefix}vision_model.vision_model"),
        Key(f"{text}.embeddings.word_embeddings.weight", "text.embeddings.words.weight"),
        Key(f"{text}.embeddings.LayerNorm.{{w}}", "text.embeddings.norm.{w}"),
        Key(f"{text}.encoder.rel_embeddings.weight", "text.distances.weight"),
        Key(f"{text}.encoder.LayerNorm.{{w}}", "text.norm_distances.{w}"),
        Key(attention, f"{block}.attention.qkv.{{w}}"),
        *after_attention_keys(layer, block),
        Key(f"{prefix}text_projection_layer.{{w}}", "text_projection.{w}"),
        Key(f"{prefix}image_projection_layer.{{w}}", "image_projection.{w}"),
        Key(f"{prefix}token_type_embeddings.weight", "types.weight"),
        *co_attention_keys(prefix),
        Key("vqa_classifier.{i}.{w}", "heads.answer.{i}.{w}"),
        Key("itm_score.fc.{w}", "heads.match.{w}"),
        Key("pbc_classifier.{i}.{w}", "heads.ground.{i}.{w}"),
        Key("mlm_score.0.{w}", "heads.fill.project.{w}"),
        Key("mlm_score.1.predictions.transform.dense.{w}", "heads.fill.transform.dense.{w}"),
        Key("mlm_score.1.predictions.transform.LayerNorm.{w}", "heads.fill.transform.norm.{w}"),
        Key("mlm_score.1.predictions.bias", "heads.fill.bias"),
        Key(f"vcr_{choose}_logit.{{i}}.{{w}}", "heads.choose.{i}.{w}"),
    )


# format -> its table: "bare" is a file of the body alone, "qa2r" one whose VCR head chooses reasons.
KEYS = {
    "transformers": _keys(BODY, "q2a"),
    "transformers-qa2r": _keys(BODY, "qa2r"),
    "transformers-bare": _keys("", "q2a"),
}

DROP = (
    *(
        f"{prefix}{name}"  # counting rows of old files; DeepSpeed's tool writes them as floats
        for prefix in (BODY, "")
        for name in ("vision_model.vision_model.embeddings.position_ids", "text_model.embeddings.position_ids")
    ),
    "mlm_score.1.predictions.decoder.{w}",  # the decoder is the word table, its bias stands beside it
)


def recognise(names: Iterable[str]) -> str | None:
    """Which of the formats in KEYS a state dict is in, by its names; None if it is not VLE's."""
    present = set(names)
    for prefix, form in ((BODY, "transformers"), ("", "transformers-bare")):
        if f"{prefix}text_model.encoder.rel_embeddings.weight" in present:
            reasons = "vcr_qa2r_logit.0.weight" in present and "vcr_q2a_logit.0.weight" not in present
            return "transformers-qa2r" if reasons and prefix else form
    return None


def split_heads(names: Iterable[str]) -> tuple[set[str], list[str]]:
    """Names of a state dict -> our names of the heads in it, and the tensors of heads that nobody knows."""
    known, strange = set(), []
    for name in names:
        start = name.partition(".")[0]
        if start in HEADS:
            known.add(HEADS[start])
        elif not name.startswith(_BODY_STARTS):
            strange.append(name)
    return known, strange
