"""Masked words: what a text leaves open, read from a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.tasks.fusion import fuse
from tuwen.tasks.sides import Fuser, image_state, text_state

if TYPE_CHECKING:
    from tuwen.types import Picture

MASKS = ("<mask>", "[MASK]")  # what people write, whatever the model's own tokenizer calls it


@dataclass(frozen=True)
class Word:
    """One candidate for a masked place, with its softmax among the whole vocabulary."""

    text: str
    probability: float


def fill(model: Fuser, image: Picture, text: str, top_k: int = 5) -> list[list[Word]]:
    """For each gap in the text, in order: words, best first. `<mask>` and `[MASK]` are both understood.

    UsageError for a text without a gap.
    """
    if top_k < 1:
        raise UsageError(f"top_k is {top_k}: it must be at least 1")
    spelled = with_mask(model, text)
    tokenizer = model.processor.tokenizer
    places = [place for place, number in enumerate(model.processor.ids([spelled])[0]) if number == tokenizer.mask_id]
    if not places:
        raise UsageError(f"the text {text!r} leaves nothing open: write {MASKS[0]} where a word is missing")
    fused = fuse(model, image_state(model, image), text_state(model, spelled), last="text")
    with torch.no_grad():
        logits = model.fusing.words(cast(Tensor, fused.text)[0, places])  # (masks, V)
    known = tokenizer.vocabulary_size  # the word table may have more rows, which no token has
    values, best = logits.float().softmax(-1)[:, :known].topk(min(top_k, known), dim=-1)
    return [
        [Word(tokenizer.decode([number]).strip(), value) for number, value in zip(row, chances, strict=True)]
        for row, chances in zip(best.tolist(), values.tolist(), strict=True)
    ]


def with_mask(model: Fuser, text: str) -> str:
    """The text with the model's own word for what is missing in place of the common ones."""
    if not isinstance(text, str):
        raise InputError(f"the text is a {type(text).__name__}: fill takes one text, a str")
    for common in MASKS:
        text = text.replace(common, model.processor.tokenizer.mask_token)
    return text
