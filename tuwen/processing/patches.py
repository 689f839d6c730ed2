"""Which part of a picture each patch of a model covers, and which patches a box covers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tuwen.errors import InputError, UsageError
from tuwen.processing.image import ImagePipeline

MAPPINGS = ("whole", "crop")


class Area(NamedTuple):
    """A rectangle in pixels of the raw picture; it may begin left of the picture or above it, or end beyond."""

    left: float
    top: float
    right: float
    bottom: float


def area_of(pipeline: ImagePipeline, width: int, height: int, mapping: str) -> Area:
    """What of a picture of this size the patches stand for.

    mapping: "crop" is the truth, what is left of the picture after resizing and cropping; "whole" is the picture from
    edge to edge, as the original of VLE has it, although its model sees the centre crop.
    """
    if mapping not in MAPPINGS:
        raise UsageError(f"mapping is {mapping!r}, expected one of {', '.join(MAPPINGS)}")
    if mapping == "whole" or pipeline.crop is None:
        return Area(0.0, 0.0, float(width), float(height))
    resized = pipeline.resized_size(height, width)
    edges = []
    for raw, size, crop in zip((height, width), resized, pipeline.crop, strict=True):
        start = pipeline.crop_start(size, crop)
        edges.append((start * raw / size, (start + crop) * raw / size))
    (top, bottom), (left, right) = edges
    return Area(left, top, right, bottom)


def cells(box: Sequence[float], area: Area, count: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the cells that a box touches, the last two exclusive.

    box: left, top, right, bottom in pixels of the picture, more numbers are ignored; the area is divided into
    count x count cells. Of a box left of the area or above it the right or bottom is 0 at most; of one beyond it the
    left or top is `count` at least.
    """
    wide, high = (area.right - area.left) / count, (area.bottom - area.top) / count
    left, top = int((box[0] - area.left) // wide), int((box[1] - area.top) // high)
    right, bottom = int((box[2] - area.left) // wide) + 1, int((box[3] - area.top) // high) + 1
    return max(left, 0), max(top, 0), min(right, count), min(bottom, count)


def patches(box: Sequence[float], area: Area, count: int) -> list[int]:
    """Numbers of the patches that a box touches, row by row; none where it lies outside the area."""
    return _numbers(*cells(box, area, count), count)


def nearest_patches(box: Sequence[float], area: Area, count: int) -> list[int]:
    """The same, and for a box outside the area the patches of its edge that are nearest to it: never none."""
    left, top, right, bottom = cells(box, area, count)
    left, top = min(left, count - 1), min(top, count - 1)
    return _numbers(left, top, max(right, left + 1), max(bottom, top + 1), count)


def _numbers(left: int, top: int, right: int, bottom: int, count: int) -> list[int]:
    return [row * count + column for row in range(top, bottom) for column in range(left, right)]


def check_box(box: Sequence[float], width: int, height: int, number: int) -> None:
    """InputError, with the box's number, unless it has four finite edges in order and touches the picture."""
    size = f"the picture is {width} x {height}"
    if len(box) < 4 or not all(isinstance(edge, int | float) and math.isfinite(edge) for edge in box[:4]):
        raise InputError(f"box {number} is {list(box)}, expected left, top, right and bottom in pixels; {size}")
    left, top, right, bottom = box[:4]
    if left > right or top > bottom:
        raise InputError(f"box {number} is {list(box[:4])}: its left or top is beyond its right or bottom; {size}")
    if left >= width or top >= height or right < 0 or bottom < 0:
        raise InputError(
            f"box {number} is {list(box[:4])} and lies outside the picture; {size}: give its boxes in pixels"
        )
