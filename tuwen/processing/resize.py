"""Resize pictures: Pillow's arithmetic exactly, torch's faster kernel a level or two beside it, torch's of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Places = np.ndarray[Any, np.dtype[np.int64]]  # numbers of rows or columns
Size = tuple[int, int]  # (height, width)

PREMULTIPLIED = {"RGBA": "RGBa", "LA": "La"}


def resize_exact(
    image: Image.Image, target: Size, resample: Image.Resampling, width_first: bool = False
) -> Image.Image:
    """What `image.resize` of Pillow 13 gives, in the picture's own mode, with every version of Pillow.

    width_first: what Pillow until version 12 gives.
    """
    height, width = target
    if (image.height, image.width) == target or image.mode in ("1", "P") or resample == Image.Resampling.NEAREST:
        return image.resize((width, height), resample)
    mode = PREMULTIPLIED.get(image.mode, image.mode)
    resized = image.convert(mode) if mode != image.mode else image
    for step_height, step_width in _passes((image.height, image.width), target, width_first):
        resized = resized.resize((step_width, step_height), resample)
    return resized.convert(image.mode) if mode != image.mode else resized


def resize_fast(pixels: Pixels, target: Size, width_first: bool = False) -> Pixels:
    """Bicubic, uint8 (H, W, C) -> (H', W', C); the levels differ from Pillow's as `ImagePipeline` says."""
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (1, C, H, W), channels last in memory
    for size in _passes(pixels.shape[:2], target, width_first):
        tensor = F.interpolate(tensor, size, mode="bicubic", antialias=True)
    return tensor[0].permute(1, 2, 0).contiguous().numpy()


def resize_floats(pixels: Pixels, target: Size) -> Floats:
    """uint8 (H, W, C) -> float32 (H', W', C) from 0 to 1: bilinear as torch's `interpolate` of pixels / 255.

    Four pixels for each that comes out, whatever the scale; nothing is averaged before a picture is made smaller. Only
    those that are needed become floats, 30 times as fast on a 12-megapixel picture.
    """
    (row, next_row, below), (column, next_column, right) = map(_neighbours, target, pixels.shape[:2])
    rows, here = needed_rows(row, next_row)
    found = pixels.take(rows, axis=0)
    wide = _between(found.take(column, axis=1), found.take(next_column, axis=1), right[:, None])  # (rows, W', C)
    resized = _between(wide.take(here[0], axis=0), wide.take(here[1], axis=0), below[:, None, None])
    resized /= np.float32(255)
    return resized


def needed_rows(row: Places, next_row: Places) -> tuple[Places, tuple[Places, Places]]:
    """The rows of a picture that are in one of the two lists, each once; and where the lists' rows are among them."""
    rows, here = np.unique(np.concatenate([row, next_row]), return_inverse=True)
    return rows, (here[: len(row)], here[len(row) :])


def _between(first: Pixels | Floats, second: Pixels | Floats, share: Floats) -> Floats:
    """first + share * (second - first), in the order of torch's steps."""
    mixed = first.astype(np.float32)
    mixed *= 1 - share
    mixed += second * share
    return mixed


def _neighbours(count: int, of: int) -> tuple[Places, Places, Floats]:
    """For each of `count` places the one of `of` before it, the one after it, and how much it takes of the latter."""
    scale = float(np.float32(of) / np.float32(count))
    # Rounded once, as processors that multiply and subtract in one step do.
    exact = np.maximum((scale * (np.arange(count) + 0.5) - 0.5).astype(np.float32), np.float32(0))
    before = np.minimum(exact.astype(np.int64), of - 1)
    share = (exact - before.astype(np.float32)).clip(0, 1)
    return before, np.minimum(before + 1, of - 1), share


def shorter_edge_size(height: int, width: int, shorter: int) -> Size:
    """(height, width) of the same shape with that shorter edge, the longer cut to a whole pixel."""
    longer = int(shorter * max(height, width) / min(height, width))
    return (shorter, longer) if height < width else (longer, shorter)


def covering_size(height: int, width: int, shorter: int) -> Size:
    """The same, the longer always the next whole pixel, of a square too: one more than ERNIE-ViL 2.0's code means.

    In the order of its floating-point steps, which make some squares square after all. A picture with that shorter edge
    stays as it is.
    """
    if min(height, width) == shorter:
        return height, width
    if width < height:
        return int(shorter / width * height) + 1, shorter
    return shorter, int(shorter / height * width) + 1


def limited_size(height: int, width: int, shorter: int, divisor: int) -> Size:
    """(height, width) of about the same shape: the shorter edge at most `shorter`, the longer at most 1333/800 of it.

    Both are then cut down to a multiple of `divisor`, but for long thin pictures never to 0. ViLT's rule, in the order
    of its floating-point steps.
    """
    scale = shorter / min(height, width)
    edges: tuple[float, float] = (shorter, scale * width) if height < width else (scale * height, shorter)
    longest = int(1333 / 800 * shorter)
    if max(edges) > longest:
        scale = longest / max(edges)
        edges = (scale * edges[0], scale * edges[1])
    rows, columns = (max(int(edge + 0.5) // divisor, 1) * divisor for edge in edges)
    return rows, columns


def _passes(size: tuple[int, ...], target: Size, width_first: bool) -> tuple[Size, Size]:
    """One direction first, then both.

    The result between the two is rounded and clipped, so their order changes numbers, by up to 30 levels at hard edges.
    Until version 12 Pillow went horizontally first; this is the choice of version 13, which made the reference numbers.
    """
    height, width = target
    shrinks_mostly_in_height = not width_first and height < size[0] and size[0] - height > 2 * (size[1] - width)
    return ((height, size[1]) if shrinks_mostly_in_height else (size[0], width)), target
