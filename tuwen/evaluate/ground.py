"""Grounding: does the patch that a model points at lie in one of the boxes of what the text says?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.pictures import OnError, Pictures, chunks_by_picture, told
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.processing.patches import Area
from tuwen.tasks.ground import Grounding
from tuwen.tasks.ground import ground as find

if TYPE_CHECKING:
    from tuwen.model import Model

AT_ONCE = 1024  # texts of one round
FINE = 512  # points along each side of an area on which shares of it are counted


def ground(
    model: Model,
    dataset: Dataset,
    original: bool = False,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Scored:
    """How well a model points at what a text says; texts need boxes, see `boxes_of`.

    pointing: share of texts for which the middle of the best patch lies in one of the boxes; share: the part of the
    scores that does; chance: the part of what the model sees that the boxes cover, as pointing at random would reach.
    original: patches divide the whole picture, as in VLE's own code, although its model sees the centre crop.
    on_error is told of texts and pictures that cannot be used, None raises. UsageError for a dataset without texts
    about pictures.

    texts: a row for each text and picture with id, image, text, x, y (the point, in pixels), pointing, share, chance.
    """
    model.need("ground")
    if dataset.kind != PAIRS:
        raise UsageError(f"grounding needs texts about pictures, {dataset.path} holds {dataset.kind}")
    rows: list[tuple[Any, ...]] = []
    silent = 0
    for chunk in chunks_by_picture(dataset, AT_ONCE, on_error):
        for image_id, numbers in chunk.items():
            for number in numbers:
                text = dataset.texts[number]
                boxes = boxes_of(text)
                if not boxes:
                    silent += 1
                    continue
                try:
                    checked = _checked(boxes)
                    picture = Pictures(dataset.pictures, [image_id])[0]
                    found = find(model, picture, text.text, "whole" if original else "crop")
                except InputError as error:
                    told(on_error, text.place or text.id, error)
                    continue
                rows.append((text.id, image_id, text.text, *pointed(found, checked)))
            if advance is not None:
                advance(len(numbers))
    if not rows:
        raise InputError(
            f"no text of {dataset.path} could be used: each needs a picture and boxes of what it speaks of"
        )
    names = ("id", "image", "text", "x", "y", "pointing", "share", "chance")
    texts: Table = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    for name in names[3:]:
        texts[name] = np.array(texts[name], dtype=np.float64)
    notes = [f"{silent} texts have no boxes: they count in no figure"] if silent else []
    made = {name: Made("texts", name) for name in ("pointing", "share", "chance")}
    return Scored("ground", figures_of({"texts": texts}, made), {"texts": texts}, made, notes)


def boxes_of(text: Text) -> Any:
    """The column boxes of a text, [[left, top, right, bottom], ...] in pixels, or the region that Visual Genome says it
    describes; None without either."""
    if "boxes" in text.columns:
        return text.columns["boxes"]
    try:
        left, top, width, height = (text.columns[name] for name in ("x", "y", "width", "height"))
    except KeyError:
        return None
    return [[left, top, left + width, top + height]]


def _checked(boxes: Any) -> list[list[float]]:
    """InputError unless it is a list of four numbers in order."""
    wanted = "expected left, top, right, bottom in pixels for each"
    if not isinstance(boxes, Sequence) or isinstance(boxes, str):
        raise InputError(f"its boxes are {boxes!r}: {wanted}")
    for box in boxes:
        try:
            left, top, right, bottom = (float(edge) for edge in box[:4])
        except (TypeError, ValueError):
            raise InputError(f"it has the box {box!r}: {wanted}") from None
        if not (left <= right and top <= bottom):
            raise InputError(f"it has the box {list(box)}, whose left or top is beyond its right or bottom: {wanted}")
    return [[float(edge) for edge in box[:4]] for box in boxes]


def pointed(found: Grounding, boxes: Sequence[Sequence[float]]) -> tuple[float, float, float, float, float]:
    """(x, y) of the middle of the best patch, whether it lies in one of the boxes (1 or 0), the part of the scores that
    lies there, and the part of the area. Of equal scores the first patch counts, row by row."""
    row, column = (int(place) for place in np.unravel_index(int(found.scores.argmax()), found.scores.shape))
    patch = found.box(row, column)
    x, y = (patch.left + patch.right) / 2, (patch.top + patch.bottom) / 2
    inside = any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)
    covered = _covered(found.area, found.scores.shape, boxes)
    return x, y, float(inside), float((covered * found.scores).sum()), float(covered.mean())


def _covered(area: Area, shape: tuple[int, ...], boxes: Sequence[Sequence[float]]) -> np.ndarray[Any, Any]:
    """(rows, columns): the part of each patch that lies in any of the boxes, counted on a fine grid."""
    rows, columns = shape
    down, across = -(-FINE // rows), -(-FINE // columns)  # points of each patch
    x = area.left + (np.arange(columns * across) + 0.5) * (area.right - area.left) / (columns * across)
    y = area.top + (np.arange(rows * down) + 0.5) * (area.bottom - area.top) / (rows * down)
    points = np.zeros((len(y), len(x)), dtype=bool)
    for left, top, right, bottom in boxes:
        points |= ((y >= top) & (y <= bottom))[:, None] & ((x >= left) & (x <= right))[None, :]
    return points.reshape(rows, down, columns, across).mean(axis=(1, 3))
