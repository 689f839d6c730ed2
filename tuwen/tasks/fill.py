"""Masked words: what a text leaves open, read from a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.tasks.fusion import Fuser, fuse, image_state, text_state

if TYPE_CHECKING:
    from tuwen.types import Picture

MASK = "<mask>"  # what people write, whatever the model's own tokenizer calls it


@dataclass(frozen=True)
class Word:
    """One candidate for a masked place, with its softmax among the whole vocabulary."""

    text: str
    probability: float


def fill(model: Fuser, image: Picture, text: str, top_k: int = 5) -> list[list[Word]]:
    """For each <mask> in the text, in order: words, best first.

    `<mask>` and `[MASK]` are both understood. UsageError for a text without one.
    """
    if top_k < 1:
        raise UsageError(f"top_k is {top_k}, expected at least 1")
    tokenizer = model.processor.tokenizer
    ids = model.processor.ids([with_mask(model, text)])[0]
    places = [place for place, number in enumerate(ids) if number == tokenizer.mask_id]
    if not places:
        raise UsageError(f"the text {text!r} leaves nothing open: write {MASK} where a word is missing")
    fused = fuse(model, image_state(model, image), text_state(model, with_mask(model, text)), last="text")
    with torch.no_grad():
        logits = model.fusing.words(cast(Tensor, fused.text)[0, places])  # (masks, V)
    known = tokenizer.vocabulary_size
    values, best = logits.float().softmax(-1)[:, :known].topk(min(top_k, known), dim=-1)
    return [
        [Word(tokenizer.decode([number]).strip(), value) for number, value in zip(row, chances, strict=True)]
        for row, chances in zip(best.tolist(), values.tolist(), strict=True)
    ]


def with_mask(model: Fuser, text: str) -> str:
    """The text with the model's own word for what is missing in place of the common ones."""
    if not isinstance(text, str):
        raise InputError(f"the text is {type(text).__name__}, expected a str")
    own = model.processor.tokenizer.mask_token
    for common in (MASK, "[MASK]"):
        text = text.replace(common, own)
    return text
