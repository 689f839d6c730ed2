"""Does a text describe a picture? Scored for all pictures and texts, each encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tuwen.errors import InputError
from tuwen.states import State
from tuwen.tasks.fusion import MEMORY_GB, fused_pairs
from tuwen.tasks.sides import Fuser

if TYPE_CHECKING:
    from tuwen.types import Picture


def match_rows(
    model: Fuser,
    images: State | Sequence[Picture],
    texts: State | Sequence[str],
    wanted: Callable[[int], Sequence[int]] | None = None,
    workers: int = 4,
    progress: bool = False,
    memory_gb: float = MEMORY_GB,
    batch_tokens: int | None = None,
    state_dtype: str | None = None,
    logits: bool = False,
) -> Iterator[tuple[int, Tensor | InputError]]:
    """Picture after picture: (its number, probabilities (M,) float32 that each text describes it), or its error.

    Texts that `wanted` does not name for a picture have NaN. logits: the raw score of "match" minus that of "no match"
    instead. The other settings are those of `fused_pairs`.
    """
    head = model.fusing.heads["match"]
    stream = fused_pairs(model, images, texts, wanted, "first", workers, progress, memory_gb, batch_tokens, state_dtype)
    for number, blocks in stream:
        if isinstance(blocks, InputError):
            yield number, blocks
            continue
        row = torch.full((len(texts),), torch.nan)
        with torch.no_grad():
            for numbers, fused in blocks:
                scores = head(fused.pooled).float()  # (n, 2)
                scores = scores[:, 1] - scores[:, 0] if logits else scores.softmax(-1)[:, 1]
                row[numbers] = scores.cpu()
        yield number, row


def match(model: Fuser, images: State | Sequence[Picture], texts: State | Sequence[str], **settings: Any) -> Tensor:
    """-> (N, M) probabilities, float32, pictures down, texts across; settings are those of `match_rows`.

    InputError names a picture that cannot be read.
    """
    rows = []
    for _, row in match_rows(model, images, texts, **settings):
        if isinstance(row, InputError):
            raise row
        rows.append(row)
    return torch.stack(rows)
