"""Pure functions of scores, labels and ranks.

A rank is a place, from 1, in all answers by score downwards. What equal scores mean is said by each function; of ranks,
by whoever counted them: `places` knows the three rules that are in use.

Where a query has several right answers, ranks are given flat: `ranks` (P,) of right answers and `owners` (P,), the
query of each, in any order; every query has at least one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuwen.errors import UsageError

Array = np.ndarray[Any, Any]

CUTS = (1, 5, 10)  # recall is told at these
TIES = ("order", "for", "against")


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


def places(scores: Array, relevant: Array, ties: str = "order") -> tuple[Array, Array]:
    """(ranks, owners), both (P,) int64, of the right answers of a whole table of scores; for what fits into memory.

    scores (Q, G); relevant (Q, G) bool. ties: "order", equal scores stand in the order of their columns, as in a stable
    sort; "for", an answer stands before all that score the same; "against", behind them.
    """
    if ties not in TIES:
        raise UsageError(f"ties is {ties!r}: it must be one of {', '.join(TIES)}")
    owners, columns = np.nonzero(relevant)
    own = scores[owners, columns][:, None]
    rivals = scores[owners]  # (P, G)
    better = (rivals > own).sum(1)
    if ties == "order":
        better += ((rivals == own) & (np.arange(scores.shape[1]) < columns[:, None])).sum(1)
    elif ties == "against":
        better += (rivals == own).sum(1) - 1
    return better + 1, owners


def first_ranks(ranks: Array, owners: Array, queries: int) -> Array:
    """(Q,) int64: the rank of each query's best right answer."""
    _check(ranks, owners, queries)
    first = np.full(queries, np.iinfo(np.int64).max)
    np.minimum.at(first, owners, ranks)
    return first


def hits(first: Array, k: int) -> Array:
    """(Q,) bool: whether a right answer, any of them, is among the k best. Their mean is recall@k, the hit rate."""
    found: Array = first <= k
    return found


def recall(first: Array, k: int) -> float:
    """Share of the queries with a right answer among the k best; first (Q,), as `first_ranks` gives it."""
    return float(hits(first, k).mean())


def mean_recall(first: Array) -> float:
    """The mean of recall at 1, 5 and 10."""
    return sum(recall(first, k) for k in CUTS) / len(CUTS)


def median_rank(first: Array) -> float:
    """The middle of the best ranks; of an even number of queries, half-way between the two in the middle."""
    return float(np.median(first))


def average_precisions(ranks: Array, owners: Array, queries: int) -> Array:
    """(Q,) float64: the mean, over a query's right answers, of the share of right ones down to each. Mean: mAP.

    Right answers of one query must not share a rank, so ties are counted with "order".
    """
    order, position, counts = _by_query(ranks, owners, queries)
    precision = (position + 1) / ranks[order]
    return np.bincount(owners[order], precision, queries) / counts


def ndcgs(ranks: Array, owners: Array, queries: int, k: int) -> Array:
    """(Q,) float64: NDCG@k with gain 1 of a right answer, discounted by log2(rank + 1), over the best possible.

    Jarvelin and Kekalainen 2002 in the form in use today (rank 1 is not discounted).
    """
    order, position, _ = _by_query(ranks, owners, queries)
    owner = owners[order]
    gain = np.where(ranks[order] <= k, 1 / np.log2(ranks[order] + 1), 0)
    best = np.where(position < k, 1 / np.log2(position + 2), 0)
    return np.bincount(owner, gain, queries) / np.bincount(owner, best, queries)


def _by_query(ranks: Array, owners: Array, queries: int) -> tuple[Array, Array, Array]:
    """Right answers sorted by query, then rank; the place, from 0, of each within its query; how many each has."""
    _check(ranks, owners, queries)
    order = np.lexsort((ranks, owners))
    counts = np.bincount(owners, minlength=queries)
    starts = np.cumsum(counts) - counts
    return order, np.arange(len(order)) - starts[owners[order]], counts


def _check(ranks: Array, owners: Array, queries: int) -> None:
    if ranks.shape != owners.shape or ranks.ndim != 1:
        raise UsageError(f"ranks and owners must be equally long lists, found {ranks.shape} and {owners.shape}")
    without = np.flatnonzero(np.bincount(owners, minlength=queries) == 0)
    if len(without):
        raise UsageError(f"query {without[0]} has no right answer: leave out the queries that have none")
