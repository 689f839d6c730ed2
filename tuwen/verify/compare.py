"""Our numbers beside theirs: how far they are apart, and how far they may be."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    """How far floats may be apart: atol + rtol * |theirs|, entry by entry, or of the largest entry; others not at all.

    Entries that are nan or infinite must be the same.
    """

    atol: float = 0.0
    rtol: float = 0.0
    of_largest: bool = False

    def bound(self, theirs: Tensor) -> Tensor:
        """What each entry may be off by, float64 in the shape of `theirs`."""
        if not theirs.is_floating_point() or not theirs.numel():
            return torch.zeros(theirs.shape, dtype=torch.float64)
        size = theirs.double().abs().nan_to_num(0, 0, 0)
        return self.atol + self.rtol * (size.max().expand(size.shape) if self.of_largest else size)


@dataclass(frozen=True)
class Stage:
    """One recorded number or tensor. deviation: the largest difference; relative: that by the largest recorded entry;
    allowed: the largest difference that its entries may have; problem: why nothing could be compared."""

    name: str
    deviation: float = 0.0
    relative: float = 0.0
    allowed: float = 0.0
    ok: bool = True
    problem: str = ""


@dataclass
class Report:
    """Every stage that was recomputed, and the names of those that were not."""

    stages: list[Stage] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every stage is as it should be."""
        return all(stage.ok for stage in self.stages)


def compared(name: str, ours: Tensor, theirs: Tensor, tolerance: Tolerance, mask: Tensor | None = None) -> Stage:
    """The stage of two tensors. mask: of the first axes, True where they are compared: nobody reads the rest."""
    ours, theirs = ours.detach().cpu(), theirs.cpu()
    if ours.shape != theirs.shape:
        return Stage(name, ok=False, problem=f"shape {tuple(ours.shape)} instead of {tuple(theirs.shape)}")
    if mask is not None:
        ours, theirs = ours[mask.cpu()], theirs[mask.cpu()]
    if not theirs.numel():
        return Stage(name)
    bound = tolerance.bound(theirs)
    apart = (ours.double() - theirs.double()).abs()
    apart = torch.where(ours.double() == theirs.double(), 0.0, apart)  # infinite ones are not apart from themselves
    apart = torch.where(ours.isnan() & theirs.isnan(), 0.0, apart).nan_to_num(torch.inf)
    deviation, largest = float(apart.max()), float(theirs.double().abs().nan_to_num(0, 0, 0).max())
    relative = deviation / largest if largest else deviation
    return Stage(name, deviation, relative, float(bound.max()), bool((apart <= bound).all()))
