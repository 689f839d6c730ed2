"""Exact search: every query against every row of a gallery, block by block, without ever holding all scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuwen.errors import InputError, UsageError

QUERIES_AT_ONCE = 1024  # with a block of 16,384 rows: 64 MiB of scores


def top_k(
    queries: Tensor, gallery: Tensor | np.ndarray[Any, Any], k: int, block: int = 16_384
) -> tuple[Tensor, Tensor]:
    """The k best rows for each query -> (scores (Q, k) float32, rows (Q, k) int64), best first.

    queries (Q, E); gallery (G, E), a tensor or an array, also one mapped from a file, of single or half precision:
    products are taken in single precision. Equal scores come in order of their rows, whatever the block size. If k > G
    there are G columns. UsageError for sizes that do not fit, InputError where a feature is not finite.
    """
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        found = f"{tuple(queries.shape)} and {tuple(gallery.shape)}"
        raise UsageError(f"queries (Q, E) and gallery (G, E) must be equally wide tables, found {found}")
    if k < 1 or block < 1:
        raise UsageError(f"k is {k} and block {block}: both must be at least 1")
    queries = queries.detach().to("cpu", torch.float32)
    _check_finite(queries, "query", 0)
    scores, rows = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(gallery), block):
        part = _single(gallery[start : start + block])  # (b, E)
        _check_finite(part, "row", start)
        found_scores, found_rows = _best_of_block(queries, part, min(k, len(part)))
        scores = torch.cat([scores, found_scores], dim=1)
        rows = torch.cat([rows, found_rows + start], dim=1)
        # A stable sort: what came from earlier blocks stands first and stays first among equals.
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        scores, rows = scores[:, :k], rows.gather(1, order[:, :k])
    return scores, rows


def _single(part: Tensor | np.ndarray[Any, Any]) -> Tensor:
    if isinstance(part, Tensor):
        return part.detach().to("cpu", torch.float32)
    return torch.from_numpy(np.array(part, dtype=np.float32))  # a copy: what is mapped from a file may be read-only


def _check_finite(features: Tensor, what: str, start: int) -> None:
    if not torch.isfinite(features).all():
        wrong = int((~torch.isfinite(features)).any(dim=1).nonzero()[0]) + start
        raise InputError(f"{what} {wrong} has a feature that is not a finite number: embed it again")


def _best_of_block(queries: Tensor, part: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(scores, rows within the block), both (Q, k), by score downwards, then by row upwards."""
    done = [_best(chunk @ part.T, k) for chunk in queries.split(QUERIES_AT_ONCE)]
    if not done:
        return torch.empty(0, k), torch.empty(0, k, dtype=torch.int64)
    return torch.cat([scores for scores, _ in done]), torch.cat([rows for _, rows in done])


def _best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """scores (Q, b) -> the k best of each line, equal ones in order of their columns."""
    best, rows = scores.topk(k, dim=1)
    # `topk` takes any of the columns that tie for the last places: where there are more than places, choose again.
    for line in (scores >= best[:, -1:]).sum(dim=1).gt(k).nonzero().flatten().tolist():
        candidates = (scores[line] >= best[line, -1]).nonzero().flatten()  # upwards
        order = scores[line, candidates].sort(descending=True, stable=True).indices[:k]
        rows[line] = candidates[order]
    rows = rows.sort(dim=1).values
    best, order = scores.gather(1, rows).sort(dim=1, descending=True, stable=True)
    return best, rows.gather(1, order)
