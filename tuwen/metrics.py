"""Pure functions of scores and labels."""

from __future__ import annotations

import torch
from torch import Tensor


def recall_at(scores: Tensor, k: int, gold: Tensor | None = None) -> float:
    """Share of the queries whose right answer is among the k best.

    scores (Q, G), queries down; gold (Q,) the row number of each query's answer, by default its own number.
    An answer that ties with others counts as found only where fewer than k score at least as high: ties never help.
    """
    gold = torch.arange(len(scores)) if gold is None else gold
    answer = scores.gather(1, gold[:, None])  # (Q, 1)
    better_or_equal = (scores >= answer).sum(dim=1) - 1  # the answer itself is not its own rival
    return (better_or_equal < k).float().mean().item()


def ranks(scores: Tensor, gold: Tensor | None = None) -> Tensor:
    """How many answers score strictly better than each query's right one, (Q,) int64: 0 is first, ties favour it.

    scores and gold as of `recall_at`. ERNIE-ViL 2.0's own evaluation counts so.
    """
    gold = torch.arange(len(scores)) if gold is None else gold
    return (scores > scores.gather(1, gold[:, None])).sum(dim=1)
