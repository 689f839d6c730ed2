"""Boxes of a picture as BriVL takes them: scaled with it, the whole picture after them, padded to one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuwen.errors import InputError, UsageError

Corners = np.ndarray[Any, np.dtype[Any]]  # (n, 4): left, top, right, bottom in pixels

LENGTH = 37  # places for boxes in the published configuration, the whole picture's included
OVERHANG = 1.0  # pixels that a detector's rounding may put a box beyond the edge
KEY = "bbox"  # of boxes in a file of the detector, and in a row of the original's jsonl


def read_boxes(given: Any, name: str = "boxes") -> Corners:
    """float64 (n, 4) of an array or list of boxes, of an .npz file with "bbox", or of a row of a jsonl with "bbox".

    InputError, with `name`, says which of them is not four finite numbers.
    """
    if isinstance(given, str | Path):
        return read_boxes(_from_file(Path(given)), str(given))
    if isinstance(given, Mapping):
        if KEY not in given:
            raise InputError(f"{name} has no {KEY!r}, only {', '.join(map(str, given))}: [] means no boxes")
        given = given[KEY]
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    try:
        boxes = np.asarray(given, dtype=np.float64)
        if boxes.size == 0 and boxes.shape in ((0,), (0, 4)):
            return np.zeros((0, 4))
    except (TypeError, ValueError):  # ragged, or words among the numbers
        boxes = np.zeros(0)
    if boxes.ndim == 2 and boxes.shape[1] == 4 and np.isfinite(boxes).all():
        return boxes
    raise InputError(f"{name}: {_what_is_wrong(given)}, expected four numbers for each: left, top, right, bottom")


def _from_file(path: Path) -> Any:
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            if KEY not in content:
                raise InputError(f"{path} has no {KEY!r}, only {', '.join(content) or 'nothing'}")
            return content[KEY]
    except InputError:
        raise
    except Exception as error:  # a zip file may be damaged in many ways
        raise InputError(f"{path} cannot be read as boxes in an .npz file: {error}") from error


def _what_is_wrong(given: Any) -> str:
    if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str | bytes):
        return f"{str(given)[:60]} is {type(given).__name__}, not a list of boxes"
    for number, box in enumerate(given):
        try:
            corners = np.asarray(box, dtype=np.float64)
        except (TypeError, ValueError):
            return f"box {number + 1} is {str(box)[:60]}"
        if corners.shape != (4,) or not np.isfinite(corners).all():
            return f"box {number + 1} is {str(box)[:60]}"
    return f"an array of the shape {np.shape(given)}"


def fitted(
    boxes: Corners,
    height: int,
    width: int,
    image_size: int,
    length: int = LENGTH,
    check: bool = False,
    name: str = "boxes",
) -> Corners:
    """Boxes (n, 4) of a picture of that height and width, in the pixels of the resized one, float32 (m, 4).

    The first `length` - 1 are kept, best first as a detector gives them; the whole picture follows, so m is at most
    `length`. As in the original a box may be reversed or empty, and what lies outside the picture is seen as zeros.

    check: InputError, with `name`, for a box that reaches more than a pixel out of the picture, as those of another
    picture, or of another size of it, do.
    """
    if length < 1 or image_size < 1:
        raise UsageError(f"length is {length} and image_size {image_size}, expected at least 1")
    boxes = boxes[: length - 1]
    if check:
        _check(boxes, height, width, name)
    scale = np.array([image_size / width, image_size / height] * 2)
    whole = np.array([[0, 0, image_size, image_size]])
    return np.concatenate([boxes * scale, whole]).astype(np.float32)


def _check(boxes: Corners, height: int, width: int, name: str) -> None:
    beyond = np.array([width, height] * 2) + OVERHANG
    bad = ((boxes < -OVERHANG) | (boxes > beyond)).any(axis=1)
    if bad.any():
        number = int(bad.argmax())
        corners = ", ".join(f"{corner:g}" for corner in boxes[number])
        raise InputError(
            f"{name}: box {number + 1} of {len(boxes)} is ({corners}), outside the picture of {width} x {height} "
            "pixels: give left, top, right, bottom in pixels of this file"
        )


def padded(rows: Sequence[Corners], length: int | None = None) -> tuple[Tensor, Tensor]:
    """What `fitted` gave for each picture -> (B, R, 4) float32, zeros behind; (B, R) bool, False on those.

    R is `length`, or else the most that a picture has.
    """
    most = max(map(len, rows), default=0)
    length = most if length is None else length
    if not rows or most > length:
        raise UsageError(f"{len(rows)} pictures have up to {most} boxes each, for {length} places")
    boxes = torch.zeros(len(rows), length, 4)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for number, row in enumerate(rows):
        boxes[number, : len(row)] = torch.from_numpy(row.astype(np.float32))
        mask[number, : len(row)] = True
    return boxes, mask


def prepare(
    given: Sequence[Any],
    sizes: Sequence[tuple[int, int]],
    image_size: int,
    length: int = LENGTH,
    check: bool = False,
) -> tuple[Tensor, Tensor]:
    """Boxes of each picture as `read_boxes` takes them, None where it has none, and its (height, width) in the file.

    -> boxes (B, R, 4) float32 and mask (B, R) bool as `padded` gives them. InputError with the number of the picture.
    """
    if len(given) != len(sizes):
        raise UsageError(
            f"boxes for {len(given)} of {len(sizes)} pictures: give a list, None or [] where there are none"
        )
    rows = []
    for number, (one, (height, width)) in enumerate(zip(given, sizes, strict=True)):
        name = f"boxes of picture {number + 1} of {len(given)}"
        boxes = read_boxes([] if one is None else one, name)
        rows.append(fitted(boxes, height, width, image_size, length, check, name))
    return padded(rows)
