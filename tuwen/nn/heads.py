"""What sits on top of the towers: projections into the shared space, and unit length."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Projection(nn.Module):
    """x @ weight, with weight (in, out): the orientation in which CLIP-like files store their projections."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_in, width_out) * width_in**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        return x @ self.weight


def unit(features: Tensor) -> Tensor:
    """features (..., E) divided by their length, as the originals do it (no epsilon)."""
    return features / features.norm(dim=-1, keepdim=True)
