"""What a scene holds, for training on objects and regions: tags, boxes in pixels, and a thing for each patch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image

from tuwen.errors import UsageError
from tuwen.scenes.backgrounds import BACKGROUNDS
from tuwen.scenes.pack import CELL, glyphs, sprite
from tuwen.scenes.scene import Scene
from tuwen.scenes.words import check_language

FINE = 8  # points per side of a patch at which it is looked up what is drawn there


def tags(scene: Scene, language: str) -> list[str]:
    """The names of what is there, each once, and last that of the background."""
    check_language(language)
    behind = BACKGROUNDS[scene.background]
    return [glyphs()[glyph].name(language) for glyph in scene.groups] + [behind.zh if language == "zh" else behind.en]


def boxes(scene: Scene, width: int, height: int | None = None) -> list[tuple[int, tuple[float, float, float, float]]]:
    """(glyph, (x0, y0, x1, y1) in pixels) of each thing, for a picture of that size (square unless height is given)."""
    tall = width if height is None else height
    return [
        (thing.glyph, (x0 * width, y0 * tall, x1 * width, y1 * tall))
        for thing in scene.things
        for x0, y0, x1, y1 in [thing.box]
    ]


def patch_labels(scene: Scene, rows: int, columns: int) -> np.ndarray[Any, Any]:
    """The glyph that covers most of each patch, -1 where the background does; int64 (rows, columns)."""
    if rows < 1 or columns < 1:
        raise UsageError(f"a picture is cut into at least 1x1 patches, not {rows}x{columns}")
    fine = _drawn(scene, columns * FINE, rows * FINE).reshape(rows, FINE, columns, FINE)
    patches = fine.transpose(0, 2, 1, 3).reshape(rows, columns, FINE * FINE)
    kinds = [-1, *scene.groups]
    shares = np.stack([(patches == kind).sum(axis=2) for kind in kinds])
    return np.asarray(kinds, np.int64)[shares.argmax(axis=0)]


def _drawn(scene: Scene, width: int, height: int) -> np.ndarray[Any, Any]:
    """The glyph seen at each point, -1 for the background; (height, width)."""
    seen = np.full((height, width), -1, np.int64)
    for thing in scene.things:
        cosine, sine = math.cos(math.radians(thing.angle)), math.sin(math.radians(thing.angle))
        # A point of the grid in the frame, then turned back into the cell.
        across, down, scale = 1 / width, 1 / height, CELL / thing.size
        way = (
            cosine * across * scale,
            sine * down * scale,
            (-cosine * thing.x - sine * thing.y) * scale + CELL / 2,
            -sine * across * scale,
            cosine * down * scale,
            (sine * thing.x - cosine * thing.y) * scale + CELL / 2,
        )
        alpha = sprite(thing.glyph).getchannel("A")
        turned = alpha.transform((width, height), Image.Transform.AFFINE, way, Image.Resampling.NEAREST)
        seen[np.asarray(turned) >= 128] = thing.glyph
    return seen
