"""Inner products of many vectors in a precision of choice, with a proven bound on how far each may be off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from tuwen.nn.linear import pack, packing_wins

SCANS = ("float32", "bfloat16", "float16", "int8")
AUTO = "auto"
UNIT = 2.0**-24  # of float32: a rounded result is off by at most this share of itself
# Of the types that products come out in: half the distance of neighbours, as a share, doubled for safety.
ROUNDED = {"float32": 0.0, "bfloat16": 2.0**-8, "float16": 2.0**-10, "int8": 4 * UNIT}
SAFETY = 1.01  # the bounds themselves are computed with rounding
WORTH_IT = 1.3  # what bfloat16 must gain on a trial, because it leaves more rows to be scored again
LARGEST_HALF = 2.0**14  # products of longer vectors may leave float16


@dataclass(frozen=True)
class Side:
    """Vectors (N, E) as the scan sees them.

    seen: in the type of the scan; scale: (N,) what multiplies int8 numbers, else None; norm: (N,) float64 lengths of
    the vectors; lost: (N,) float64 lengths of what `seen` leaves out.
    """

    scan: str
    seen: Tensor
    scale: Tensor | None
    norm: Tensor
    lost: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Side:
        scale = None if self.scale is None else self.scale[rows]
        return Side(self.scan, self.seen[rows], scale, self.norm[rows], self.lost[rows])


def side(vectors: Tensor, scan: str) -> Side:
    """float32 vectors (N, E) prepared for a scan."""
    norm = _lengths(vectors)
    if scan == "float32":
        return Side(scan, vectors, None, norm, torch.zeros_like(norm))
    if scan == "int8":
        scale = (vectors.abs().amax(dim=1) / 127).clamp(min=1e-30)
        seen = (vectors / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        return Side(scan, seen, scale, norm, _lengths(vectors - seen.float() * scale[:, None]))
    seen = vectors.to(torch.bfloat16 if scan == "bfloat16" else torch.float16)
    return Side(scan, seen, None, norm, _lengths(vectors - seen.float()))


def _lengths(vectors: Tensor) -> Tensor:
    """(N,) float64, never too small."""
    return torch.linalg.vector_norm(vectors, dim=1).double() * SAFETY


def possible(scan: str, queries: Tensor, part: Tensor) -> str:
    """The scan that was asked for, or float32 where this machine or these vectors have no exact way to do it."""
    if not len(queries) or not len(part) or (scan == "int8" and not _int8_is_exact()):
        return "float32"
    largest = float(_lengths(queries).max() * _lengths(part).max()) if scan == "float16" else 0.0
    return "float32" if largest > LARGEST_HALF else scan


def product(part: Side) -> Callable[[Side], Tensor]:
    """What multiplies queries (Q, E) with these rows (b, E): float32 (Q, b), or the half type of the scan."""
    if part.scan == "int8":
        return lambda queries: _int8(queries, part)
    if part.scan == "float32" and packing_wins(torch.float32):
        packed = pack(part.seen)
        return lambda queries: torch.ops.mkldnn._linear_pointwise(queries.seen, packed, None, "none", [], "")
    return lambda queries: queries.seen @ part.seen.T


def _int8(queries: Side, part: Side) -> Tensor:
    assert queries.scale is not None and part.scale is not None
    products = torch._int_mm(queries.seen, part.seen.T).float()
    return products.mul_(queries.scale[:, None]).mul_(part.scale)


def bound(queries: Side, part: Side) -> Tensor:
    """(Q,) float64: no product with a row of `part` is further than this from the float32 nearest the true one.

    What the two sides leave out adds at most |q| |r - r'| + |q - q'| |r'|; a sum of E products in float32, in whatever
    order, is off by at most E u / (1 - E u) of the sum of their sizes, which is at most |q'| |r'|; then the result is
    rounded, and so is the true one.
    """
    width = part.seen.shape[1]
    norm, lost = float(part.norm.max()), float(part.lost.max())
    theirs, ours = norm + lost, queries.norm + queries.lost  # lengths of what is multiplied
    off = queries.norm * lost + queries.lost * theirs
    summed = 0.0 if part.scan == "int8" else (width + 2) * UNIT / (1 - (width + 2) * UNIT)
    return ((summed + ROUNDED[part.scan] + UNIT) * theirs * ours + off) * SAFETY + 1e-30


@cache
def bfloat16_wins() -> bool:
    """Whether this machine multiplies bfloat16 so much faster that it is worth a try; measured once per process."""
    noise = torch.Generator().manual_seed(0)
    queries, part = (torch.randn(rows, 512, generator=noise) for rows in (256, 1024))
    with torch.inference_mode():
        rivals = [(product(side(part, scan)), side(queries, scan)) for scan in ("float32", "bfloat16")]
        rounds = [[_seconds(multiply, asked) for multiply, asked in rivals]]
        if rounds[0][1] > 10 * rounds[0][0]:  # some processors need hundreds of times as long
            return False
        rounds += [[_seconds(multiply, asked) for multiply, asked in rivals] for _ in range(5)]
    return min(single for single, _ in rounds) > WORTH_IT * min(half for _, half in rounds)


def _seconds(multiply: Callable[[Side], Tensor], queries: Side) -> float:
    start = time.perf_counter()
    multiply(queries)
    return time.perf_counter() - start


@cache
def _int8_is_exact() -> bool:
    """Whether whole numbers are multiplied without saturation; some processors' fast paths have none."""
    noise = torch.Generator().manual_seed(0)
    rows = torch.randint(-127, 128, (64, 128), generator=noise, dtype=torch.int8)
    rows[:32] = torch.where(rows[:32] < 0, -127, 127).to(torch.int8)
    try:
        found = torch._int_mm(rows, rows.T.contiguous())
    except (AttributeError, RuntimeError):
        return False
    return bool(torch.equal(found.long(), rows.long() @ rows.long().T))
