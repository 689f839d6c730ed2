"""Pool boxes out of a feature map, and lay boxes where no detector did."""

from __future__ import annotations

import torch
from torch import Tensor

from tuwen.errors import InputError


def whole_picture(image_size: int) -> Tensor:
    """One box (1, 4) around a picture of this many pixels, xyxy."""
    return torch.tensor([[0.0, 0.0, image_size, image_size]])


def regular_grid(image_size: int, cells: int) -> Tensor:
    """Boxes (cells ** 2, 4) float64, xyxy, that divide a picture evenly: column by column, each from top to bottom."""
    edges = [number * image_size / cells for number in range(cells + 1)]
    boxes = [
        [edges[column], edges[row], edges[column + 1], edges[row + 1]]
        for column in range(cells)
        for row in range(cells)
    ]
    return torch.tensor(boxes, dtype=torch.float64)


def axis_weights(low: Tensor, high: Tensor, cells: int, samples: int) -> Tensor:
    """How much each sample along one axis takes of each cell of the map, (..., R, samples, cells).

    low, high (..., R): the box's sides in cells. The samples lie where BriVL puts them: its matrix is written for
    aligned corners and then used without, which shifts a box right and down by half a cell or so.
    """
    if cells < 2:
        raise InputError("boxes cannot be pooled from a feature map of one cell: pictures need at least 33 pixels")
    scale, shift = (high - low) / (cells - 1), (low + high - cells + 1) / (cells - 1)
    steps = (2 * torch.arange(samples, device=low.device, dtype=low.dtype) + 1) / samples - 1
    places = ((scale[..., None] * steps + shift[..., None] + 1) * cells - 1) / 2  # (..., R, samples), in cells
    distances = (places[..., None] - torch.arange(cells, device=low.device, dtype=low.dtype)).abs()
    return (1 - distances).clamp(min=0)  # bilinear: outside the map nothing has weight


def box_weights(boxes: Tensor, image_size: int, height: int, width: int, samples: int) -> tuple[Tensor, Tensor]:
    """boxes (..., R, 4) in pixels -> weights of rows (..., R, samples, height) and columns (..., R, samples, width).

    A sample (i, j) of the samples x samples in a box takes rows[i, h] * columns[j, w] of cell (h, w).
    """
    in_cells = boxes / (image_size / height)  # both axes by the map's height, as the original has it
    left, top, right, bottom = in_cells.unbind(-1)
    return axis_weights(top, bottom, height, samples), axis_weights(left, right, width, samples)


def pool_boxes(states: Tensor, boxes: Tensor, image_size: int, samples: int) -> Tensor:
    """The mean of samples x samples bilinear samples in every box: map (B, D, H, W), boxes (B, R, 4) -> (B, R, D).

    image_size: the edge in pixels of the picture that the boxes are measured in. Rows and columns are averaged apart
    before they meet, so that each box is one product with the map. A linear layer that the original applies to every
    sample gives the same afterwards, for a 16th of the work with 4 x 4 samples.
    """
    height, width = states.shape[-2:]
    # float32 at least: in half precision a place on the map would be off by a visible part of a cell.
    places = boxes if boxes.dtype == torch.float64 else boxes.float()
    rows, columns = box_weights(places, image_size, height, width, samples)
    weights = rows.mean(dim=-2)[..., None] * columns.mean(dim=-2)[..., None, :]  # (B, R, H, W)
    cells = states.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H * W, D)
    return weights.flatten(2).to(states.dtype) @ cells
