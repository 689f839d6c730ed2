"""Position tables and how they are resized."""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor
from torch.nn import functional as F


def grid_side(table: Tensor) -> int:
    """Side G of the square patch grid of a table (1 + G * G, D) whose row 0 is the class token."""
    side = isqrt(len(table) - 1)
    if side * side != len(table) - 1:
        raise ValueError(f"a position table of {len(table)} rows is not one class token and a square grid of patches")
    return side


def resize_grid(table: Tensor, side: int) -> Tensor:
    """table (1 + G * G, D) -> (1 + side * side, D): row 0 kept, the grid interpolated.

    Bicubic with align_corners=True, as Chinese-CLIP's finetuning does it (`resize_pos_embed`); other systems differ.
    """
    old = grid_side(table)
    if old == side:
        return table
    grid = table[1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)  # (1, D, G, G)
    resized = F.interpolate(grid.float(), size=(side, side), mode="bicubic", align_corners=True).to(table.dtype)
    rows = resized.permute(0, 2, 3, 1).reshape(side * side, -1)
    return torch.cat([table[:1], rows])
