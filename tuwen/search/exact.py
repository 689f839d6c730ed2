"""Exact search: every query against every row of a gallery, block by block, without ever holding all scores.

The score of a query and a row is their inner product rounded to float32, and equal scores stand in order of their rows:
so the result is that of a full sort, and does not depend on blocks, threads or the matrix product of the machine. A
fast scan, whose error has a bound, finds the few rows that could matter; these are scored again, exactly. Where the
bound leaves a query in doubt, all of its rows within the doubt are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.metrics import TIES
from tuwen.search.scan import AUTO, SCANS, Side, bfloat16_wins, bound, possible, product, side

QUERIES_AT_ONCE = 512  # with a block of 16,384 rows: 32 MiB of scores
PAIRS_AT_ONCE = 8_192  # of 512 numbers, in double precision twice: 64 MiB
TRIED = 256  # queries that show whether bfloat16 is enough
DOUBT = 0.1  # the share of them that may be scanned again
SPARE = {"float32": 8, "bfloat16": 38, "float16": 22, "int8": 246}  # rows scored again beyond the k of the result

Array = np.ndarray[Any, Any]
Gallery = Tensor | Array


@dataclass(frozen=True)
class Found:
    """scores (Q, k) float32 and rows (Q, k) int64, best first; ranks (P,) int64, from 1, of the pairs asked for."""

    scores: Tensor
    rows: Tensor
    ranks: Tensor


def top_k(queries: Tensor, gallery: Gallery, k: int, block: int = 16_384, scan: str = AUTO) -> tuple[Tensor, Tensor]:
    """The k best rows for each query -> (scores (Q, k) float32, rows (Q, k) int64), best first.

    queries (Q, E); gallery (G, E), a tensor or an array, also one mapped from a file, of single or half precision.
    Equal scores come in order of their rows. If k > G there are G columns. scan: one of SCANS, the precision of the
    first look; it changes how long this takes and nothing else. UsageError for sizes that do not fit, InputError where
    a feature is not finite.

    scan "auto" tries bfloat16 on the first queries, where this machine is fast at it and there are many queries, and
    stays with it unless the features lie too close together for it.
    """
    if k < 1:
        raise UsageError(f"k is {k}: it must be at least 1")
    found = find(queries, gallery, k, block=block, scan=scan)
    return found.scores, found.rows


def ranks_of(
    queries: Tensor, gallery: Gallery, owners: Tensor, rows: Tensor, block: int = 16_384, ties: str = "order"
) -> Tensor:
    """The place, from 1, of row `rows[p]` among all rows for query `owners[p]` -> (P,) int64.

    Counted are the rows that score higher, and of those that score the same: with ties "order" the ones that stand
    before it, with "for" none, with "against" all. The rest as of `top_k`.
    """
    return find(queries, gallery, 0, owners, rows, block, ties=ties).ranks


def find(
    queries: Tensor,
    gallery: Gallery,
    k: int,
    owners: Tensor | None = None,
    rows: Tensor | None = None,
    block: int = 16_384,
    scan: str = AUTO,
    ties: str = "order",
) -> Found:
    """`top_k` and `ranks_of` from one pass over the scores."""
    if ties not in TIES:
        raise UsageError(f"ties is {ties!r}: it must be one of {', '.join(TIES)}")
    if scan == AUTO:
        if owners is None and len(queries) >= 4 * TRIED and bfloat16_wins():
            return _tried(queries, gallery, k, block)
        scan = "float32"
    search = _Search(queries, gallery, k, owners, rows, block, scan, ties)
    return search.run()


def _tried(queries: Tensor, gallery: Gallery, k: int, block: int) -> Found:
    """bfloat16 for some queries, and for the others if it left few of these in doubt."""
    _check_finite(_single(queries), "query", 0)
    first = _Search(queries[:TRIED], gallery, k, None, None, block, "bfloat16")
    found = first.run()
    scan = "bfloat16" if first.doubtful <= DOUBT * TRIED else "float32"
    rest = find(queries[TRIED:], gallery, k, block=block, scan=scan)
    scores, rows = torch.cat([found.scores, rest.scores]), torch.cat([found.rows, rest.rows])
    return Found(scores, rows, found.ranks)


def pair_scores(queries: Tensor, gallery: Gallery, owners: Tensor | Array, rows: Tensor | Array) -> Tensor:
    """(P,) float32: the inner product of query `owners[p]` and row `rows[p]`, rounded once."""
    return torch.from_numpy(_scores(_single(queries).numpy(), gallery, np.asarray(owners), np.asarray(rows)))


def _scores(queries: Array, gallery: Gallery, owners: Array, rows: Array) -> Array:
    scores = np.empty(len(owners), dtype=np.float32)
    for start in range(0, len(owners), PAIRS_AT_ONCE):
        here = slice(start, start + PAIRS_AT_ONCE)
        chosen = gallery[rows[here]] if isinstance(gallery, np.ndarray) else _single(gallery[rows[here]]).numpy()
        theirs, ours = chosen.astype(np.float64), queries[owners[here]].astype(np.float64)
        scores[here] = np.einsum("pe,pe->p", theirs, ours)  # products of float32 numbers are exact in float64
    return scores


@dataclass(frozen=True)
class _Chunk:
    """Approximate scores (q, b) of queries `first` and on with rows `start` and on, and their errors (q,)."""

    first: int
    start: int
    scores: Tensor
    errors: Tensor


class _Search:
    def __init__(
        self,
        queries: Tensor,
        gallery: Gallery,
        k: int,
        owners: Tensor | None,
        rows: Tensor | None,
        block: int,
        scan: str,
        ties: str = "order",
    ) -> None:
        _check(queries, gallery, block, scan)
        self.queries = _single(queries)
        self.gallery = gallery
        _check_finite(self.queries, "query", 0)
        self.ties = ties
        # For a pair in the middle a coarse scan leaves many rows in doubt: ranks are counted with the fine one.
        self.k, self.block, self.scan = min(k, len(gallery)), block, "float32" if owners is not None else scan
        self.kept = min(self.k + SPARE[self.scan], len(gallery)) if self.k else 0
        self.doubtful = 0  # queries that had to be scanned again
        self.scores = torch.full((len(queries), self.kept), -torch.inf)
        self.rows = torch.zeros(len(queries), self.kept, dtype=torch.int64)
        self.errors = torch.zeros(len(queries), dtype=torch.float64)
        self._take_pairs(owners, rows)

    def _take_pairs(self, owners: Tensor | None, rows: Tensor | None) -> None:
        empty = torch.empty(0, dtype=torch.int64)
        owners, rows = (empty, empty) if owners is None or rows is None else (owners, rows)
        _check_pairs(owners, rows, len(self.queries), len(self.gallery))
        self.order = owners.argsort(stable=True)
        self.owners, self.right = owners[self.order].numpy(), rows[self.order].numpy()
        self.right_scores = _scores(self.queries.numpy(), self.gallery, self.owners, self.right)
        self.before = np.zeros(len(owners), dtype=np.int64)  # rows that stand before each pair's

    def run(self) -> Found:
        """Look at everything."""
        for part in self.parts():
            for chunk in part:
                self.keep(chunk)
                self.count(chunk)
        return self.finish()

    # -- the scan ----------------------------------------------------------------------------------------------------

    def parts(self, only: Tensor | None = None) -> Iterator[Iterator[_Chunk]]:
        """Block by block of the gallery, chunk by chunk of the queries, of all or `only` these."""
        queries = self.queries if only is None else self.queries[only]
        prepared: dict[str, Side] = {}
        for start in range(0, len(self.gallery), self.block):
            part = _single(self.gallery[start : start + self.block])  # (b, E)
            _check_finite(part, "row", start)
            scan = possible(self.scan, queries, part)
            if scan not in prepared:
                prepared[scan] = side(queries, scan)
            yield _chunks(prepared[scan], side(part, scan), start)

    def keep(self, chunk: _Chunk) -> None:
        """Merge the best of a chunk into the best so far."""
        if not self.kept:
            return
        here = slice(chunk.first, chunk.first + len(chunk.scores))
        self.errors[here] = torch.maximum(self.errors[here], chunk.errors)
        scores, rows = chunk.scores.topk(min(self.kept, chunk.scores.shape[1]), dim=1)
        scores = torch.cat([self.scores[here], scores.float()], dim=1)
        rows = torch.cat([self.rows[here], rows + chunk.start], dim=1)
        self.scores[here], best = scores.topk(self.kept, dim=1)
        self.rows[here] = rows.gather(1, best)

    def count(self, chunk: _Chunk) -> None:
        """Count the rows of a chunk that stand before each of its queries' pairs; those in doubt are scored exactly."""
        first, last = np.searchsorted(self.owners, (chunk.first, chunk.first + len(chunk.scores)))
        if first == last:
            return
        scores, errors = chunk.scores.float().numpy(), chunk.errors.numpy()
        pairs, rows = [], []
        for pair in range(first, last):
            line, own = self.owners[pair] - chunk.first, float(self.right_scores[pair])
            above = scores[line] > _up(own + errors[line])
            near = scores[line] >= _down(own - errors[line])
            certain = int(np.count_nonzero(above))
            self.before[pair] += certain
            if int(np.count_nonzero(near)) > certain:
                doubtful = np.flatnonzero(near & ~above)
                rows.append(doubtful + chunk.start)
                pairs.append(np.full(len(doubtful), pair))
        if pairs:
            self._settle(np.concatenate(pairs), np.concatenate(rows))

    def _settle(self, pairs: Array, rows: Array) -> None:
        scores = _scores(self.queries.numpy(), self.gallery, self.owners[pairs], rows)
        own = self.right_scores[pairs]
        before = scores > own
        if self.ties == "order":
            before |= (scores == own) & (rows < self.right[pairs])
        elif self.ties == "against":
            before |= (scores == own) & (rows != self.right[pairs])
        np.add.at(self.before, pairs, before)

    # -- the result --------------------------------------------------------------------------------------------------

    def finish(self) -> Found:
        """Score again what was kept; queries that this does not settle are scanned again."""
        ranks = torch.empty(len(self.owners), dtype=torch.int64)
        ranks[self.order] = torch.from_numpy(self.before) + 1
        if not self.kept:
            nothing = torch.empty(len(self.queries), 0)
            return Found(nothing, nothing.long(), ranks)
        # Of the k best by the scan, the worst may truly be this low; what may not reach it need not be scored again.
        lowest = self.scores[:, self.k - 1].double() - 2 * self.errors
        owners, columns = (self.scores >= lowest[:, None]).nonzero(as_tuple=True)
        scores, rows = self._best(len(self.queries), owners.numpy(), self.rows[owners, columns].numpy())
        if self.kept < len(self.gallery):
            unseen = self.scores[:, -1].double() + self.errors  # as high as a row that was not kept may truly be
            doubtful = (unseen >= scores[:, -1].double()).nonzero().flatten()
            self.doubtful = len(doubtful)
            if self.doubtful:
                scores[doubtful], rows[doubtful] = self._again(doubtful, scores[doubtful, -1].double())
        return Found(scores, rows, ranks)

    def _again(self, only: Tensor, reached: Tensor) -> tuple[Tensor, Tensor]:
        """A few queries once more, each with all rows that may score as high as what it has `reached` (q,) already."""
        if self.scan != "float32":
            found = find(self.queries[only], self.gallery, self.k, block=self.block, scan="float32")
            return found.scores, found.rows
        scores = torch.full((len(only), self.k), -torch.inf)
        rows = torch.full((len(only), self.k), len(self.gallery))
        every = np.arange(QUERIES_AT_ONCE).repeat(self.k)
        for part in self.parts(only):
            for chunk in part:
                count = len(chunk.scores)
                here = slice(chunk.first, chunk.first + count)
                lowest = torch.maximum(reached[here], scores[here, -1].double()) - chunk.errors
                owners, columns = (axis.numpy() for axis in (chunk.scores >= lowest[:, None]).nonzero(as_tuple=True))
                numbers = columns + chunk.start
                more = _scores(self.queries.numpy(), self.gallery, only[owners + chunk.first].numpy(), numbers)
                scores[here], rows[here] = _ordered(
                    count,
                    self.k,
                    np.concatenate([every[: count * self.k], owners]),
                    np.concatenate([scores[here].flatten().numpy(), more]),
                    np.concatenate([rows[here].flatten().numpy(), numbers]),
                )
        return scores, rows

    def _best(self, count: int, owners: Array, rows: Array) -> tuple[Tensor, Tensor]:
        return _ordered(count, self.k, owners, _scores(self.queries.numpy(), self.gallery, owners, rows), rows)


def _chunks(queries: Side, part: Side, start: int) -> Iterator[_Chunk]:
    multiply = product(part)
    for first in range(0, len(queries.seen), QUERIES_AT_ONCE):
        some = queries[first : first + QUERIES_AT_ONCE]
        yield _Chunk(first, start, multiply(some), bound(some, part))


def _ordered(count: int, k: int, owners: Array, scores: Array, rows: Array) -> tuple[Tensor, Tensor]:
    """Pairs in any order, at least k of each of `count` queries -> its k best (count, k), equal ones by their rows."""
    order = np.lexsort((rows, -scores, owners))
    starts = np.searchsorted(owners[order], np.arange(count))
    chosen = order[starts[:, None] + np.arange(k)]
    return torch.from_numpy(scores[chosen]), torch.from_numpy(rows[chosen])


def _up(value: float) -> np.float32:
    """The next float32 above: thresholds are compared in single precision and must not be rounded the wrong way."""
    return np.nextafter(np.float32(value), np.float32(np.inf))


def _down(value: float) -> np.float32:
    return np.nextafter(np.float32(value), np.float32(-np.inf))


def _single(part: Gallery) -> Tensor:
    if isinstance(part, Tensor):
        return part.detach().to("cpu", torch.float32)
    return torch.from_numpy(np.array(part, dtype=np.float32))  # a copy: what is mapped from a file may be read-only


def _check(queries: Tensor, gallery: Gallery, block: int, scan: str) -> None:
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        found = f"{tuple(queries.shape)} and {tuple(gallery.shape)}"
        raise UsageError(f"queries (Q, E) and gallery (G, E) must be equally wide tables, found {found}")
    if block < 1:
        raise UsageError(f"block is {block}: it must be at least 1")
    if scan not in SCANS:
        raise UsageError(f"scan is {scan!r}: it must be one of {', '.join((AUTO, *SCANS))}")


def _check_pairs(owners: Tensor, rows: Tensor, queries: int, gallery: int) -> None:
    if owners.shape != rows.shape or owners.ndim != 1:
        found = f"{tuple(owners.shape)} and {tuple(rows.shape)}"
        raise UsageError(f"owners and rows must be two equally long lists (P,), found {found}")
    for what, numbers, limit in (("query", owners, queries), ("row", rows, gallery)):
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < limit:
            raise UsageError(f"a pair names {what} {int(numbers.max())} of {limit}")


def _check_finite(features: Tensor, what: str, start: int) -> None:
    # A length is finite only where every feature is: one pass instead of two.
    if not torch.isfinite(torch.linalg.vector_norm(features, dim=1)).all() and not torch.isfinite(features).all():
        wrong = int((~torch.isfinite(features)).any(dim=1).nonzero()[0]) + start
        raise InputError(f"{what} {wrong} has a feature that is not a finite number: embed it again")
