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


def resize_grid(table: Tensor, size: int | tuple[int, int], align_corners: bool) -> Tensor:
    """table (1 + G * G, D) -> (1 + rows * columns, D), or `table` itself for G x G: row 0 kept, the grid interpolated.

    size: (rows, columns) of patches, or one number for a square. Bicubic, no antialiasing. align_corners is True where
    Chinese-CLIP's finetuning does it (`resize_pos_embed`) and False in BridgeTower (`adapt_position_encoding`) and VLE
    (`extend_position_embedding`).
    """
    old = grid_side(table)
    rows, columns = (size, size) if isinstance(size, int) else size
    if (rows, columns) == (old, old):
        return table
    grid = table[1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)  # (1, D, G, G)
    resized = F.interpolate(grid.float(), size=(rows, columns), mode="bicubic", align_corners=align_corners)
    patches = resized.to(table.dtype).permute(0, 2, 3, 1).reshape(rows * columns, -1)
    return torch.cat([table[:1], patches])
