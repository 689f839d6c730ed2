"""Does a picture entail a sentence, contradict it, or leave it open?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tuwen.errors import InputError
from tuwen.states import State
from tuwen.tasks.fusion import MEMORY_GB, fused_pairs, paired
from tuwen.tasks.sides import Fuser, check_pictures, check_texts, distinct

if TYPE_CHECKING:
    from tuwen.types import Picture

LABELS = ("contradiction", "neutral", "entailment")  # in the order of the published heads


def entail_rows(
    model: Fuser,
    images: State | Sequence[Picture],
    texts: State | Sequence[str],
    wanted: Callable[[int], Sequence[int]] | None = None,
    workers: int = 4,
    progress: bool = False,
    memory_gb: float = MEMORY_GB,
) -> Iterator[tuple[int, Tensor | InputError]]:
    """Picture after picture: (its number, probabilities (M, 3) float32 of LABELS for each text), or its error.

    Texts that `wanted` does not name for a picture have NaN. The other settings are those of `fused_pairs`.
    """
    head = model.fusing.heads["entail"]
    for number, blocks in fused_pairs(model, images, texts, wanted, "first", workers, progress, memory_gb):
        if isinstance(blocks, InputError):
            yield number, blocks
            continue
        rows = torch.full((len(texts), len(LABELS)), torch.nan)
        with torch.no_grad():
            for numbers, fused in blocks:
                rows[numbers] = head(fused.pooled).float().softmax(-1).cpu()
        yield number, rows


def entail(model: Fuser, images: State | Sequence[Picture], texts: State | Sequence[str]) -> Tensor:
    """-> (N, 3) float32, probabilities of LABELS for every pair.

    One picture and any number of texts, one text and any number of pictures, or as many of both, in pairs. Texts are
    hypotheses: a premise that describes the picture is not shown. UsageError for other numbers; InputError names a
    picture that cannot be read.
    """
    check_pictures(images)
    if not isinstance(texts, State):
        check_texts(texts)
    count = paired(len(images), len(texts), "texts")
    pictures, first = distinct(images)
    sentences, second = distinct(texts)
    pairs = list(zip(first * (count // len(first)), second * (count // len(second)), strict=True))
    asked: dict[int, list[int]] = {}
    for picture, text in pairs:
        asked.setdefault(picture, []).append(text)
    found: dict[int, Tensor] = {}
    for number, rows in entail_rows(model, pictures, sentences, asked.__getitem__):
        if isinstance(rows, InputError):
            raise rows
        found[number] = rows
    return torch.stack([found[picture][text] for picture, text in pairs])
