"""The glyph pack: 794 pictures of things with their Chinese and English names, read when first needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from tuwen.errors import UsageError

FOLDER = Path(__file__).parent / "pack"
CELL = 96  # pixels per side of one picture in the sheet
COLUMNS = 32
COUNT = 794


@dataclass(frozen=True)
class Glyph:
    """One thing that can be drawn: its place in the pack, its character, its names and where Unicode files it."""

    index: int
    char: str
    zh: str
    en: str
    zh_keywords: tuple[str, ...]
    en_keywords: tuple[str, ...]
    group: str
    subgroup: str

    def name(self, language: str) -> str:
        return self.zh if language == "zh" else self.en


@cache
def glyphs() -> tuple[Glyph, ...]:
    """All 794 things in the order of the sheet."""
    rows = json.loads((FOLDER / "glyphs.json").read_text(encoding="utf-8"))["glyphs"]
    return tuple(
        Glyph(
            index=index,
            char=row["char"],
            # The names are text for models: the typographic apostrophe of the source would be a second spelling.
            zh=row["zh"],
            en=row["en"].replace("’", "'"),
            zh_keywords=tuple(row["zh_keywords"]),
            en_keywords=tuple(row["en_keywords"]),
            group=row["group"],
            subgroup=row["subgroup"],
        )
        for index, row in enumerate(rows)
    )


@cache
def _sheet() -> Image.Image:
    with Image.open(FOLDER / "glyphs.webp") as sheet:
        return sheet.convert("RGBA")


@cache
def sprite(index: int) -> Image.Image:
    """The picture of one thing, RGBA, 96x96; callers must not draw on it."""
    if not 0 <= index < COUNT:
        raise UsageError(f"glyph {index} is not in the pack, which has numbers 0 to {COUNT - 1}")
    left, top = index % COLUMNS * CELL, index // COLUMNS * CELL
    return _sheet().crop((left, top, left + CELL, top + CELL))


@cache
def outline(index: int) -> tuple[tuple[float, float], ...]:
    """Corners of the convex hull of what is drawn, in units of the cell (0..1), clockwise on the screen."""
    drawn = np.asarray(sprite(index))[:, :, 3] >= 32
    points: list[tuple[int, int]] = []
    for row in np.flatnonzero(drawn.any(axis=1)).tolist():
        columns = np.flatnonzero(drawn[row])
        left, right = int(columns[0]), int(columns[-1]) + 1
        points += [(left, row), (right, row), (left, row + 1), (right, row + 1)]
    points = sorted(set(points))
    hull = _half_hull(points)[:-1] + _half_hull(points[::-1])[:-1]
    return tuple((x / CELL, y / CELL) for x, y in hull)


def _half_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """One side of the hull of points in sorted order (Andrew's monotone chain)."""
    side: list[tuple[int, int]] = []
    for x, y in points:
        while len(side) >= 2:
            (ax, ay), (bx, by) = side[-2], side[-1]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            side.pop()
        side.append((x, y))
    return side
