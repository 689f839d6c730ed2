"""What is where: scenes of one to five things, the same forever for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, TypeVar

from tuwen.errors import UsageError
from tuwen.scenes.backgrounds import BACKGROUNDS, VARIANTS
from tuwen.scenes.pack import COUNT, outline

T = TypeVar("T")
Box = tuple[float, float, float, float]

SPLITS = ("train", "validation", "test")
MARGIN = 0.02  # no thing comes nearer to the edge of the frame
MOST = 5

# How many things a scene has, and of how many kinds: (share, things of each kind).
COUNTS = ((20, 1), (30, 2), (25, 3), (15, 4), (10, 5))
KINDS: dict[int, tuple[tuple[int, tuple[int, ...]], ...]] = {
    1: ((1, (1,)),),
    2: ((80, (1, 1)), (20, (2,))),
    3: ((55, (1, 1, 1)), (37, (2, 1)), (8, (3,))),
    4: ((35, (1, 1, 1, 1)), (27, (2, 1, 1)), (18, (2, 2)), (16, (3, 1)), (4, (4,))),
    5: ((25, (1, 1, 1, 1, 1)), (25, (2, 1, 1, 1)), (20, (2, 2, 1)), (12, (3, 1, 1)), (12, (3, 2)), (6, (4, 1))),
}
# Side of a thing's cell, smallest and largest, by the number of things in the frame.
SIZES = {1: (0.42, 0.86), 2: (0.30, 0.54), 3: (0.26, 0.46), 4: (0.23, 0.39), 5: (0.21, 0.34)}


@dataclass(frozen=True)
class Thing:
    """One drawn thing. Lengths are parts of the frame's side, y points down.

    x, y: centre of its square cell; size: side of the cell; angle: degrees, clockwise; box: x0, y0, x1, y1 around what
    is drawn.
    """

    glyph: int
    x: float
    y: float
    size: float
    angle: int
    box: Box

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def extent(self) -> float:
        """Side of a square as large as the box."""
        return math.sqrt((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn.

    background: its number in BACKGROUNDS; variant: which of its paintings; things: from back to front.
    """

    split: str
    seed: int
    index: int
    background: int
    variant: int
    things: tuple[Thing, ...]

    @property
    def groups(self) -> dict[int, tuple[Thing, ...]]:
        """The things by glyph, in order of first appearance."""
        return {
            glyph: tuple(thing for thing in self.things if thing.glyph == glyph)
            for glyph in dict.fromkeys(thing.glyph for thing in self.things)
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def make(seed: int, index: int, split: str = "train", things: int | None = None) -> Scene:
    """Scene number `index` of an endless series; `things` fixes how many it has (1 to 5).

    A training scene has no pair of different things that belongs to another split; a validation (test) scene with
    several different things has at least one validation (test) pair and none of test (validation).
    """
    _check(split, things)
    draw = Draw(mix(seed, index, SPLITS.index(split), things or 0))
    count = things or draw.weighted(COUNTS)
    kinds = draw.weighted(KINDS[count])
    chosen = _choose(len(kinds), split, draw)
    background, variant = draw.below(len(BACKGROUNDS)), draw.below(VARIANTS)
    placed = _place(list(zip(chosen, kinds, strict=True)), draw)
    return Scene(split, seed, index, background, variant, tuple(placed))


def portrait(glyph: int, seed: int, split: str = "train") -> Scene:
    """One given thing alone in the frame, 45 to 95 % of its side, turned a little and seldom in the middle."""
    _check(split, None)
    if not 0 <= glyph < COUNT:
        raise UsageError(f"glyph {glyph} is not in the pack, which has numbers 0 to {COUNT - 1}")
    draw = Draw(mix(seed, glyph, 8 + SPLITS.index(split)))
    background, variant = draw.below(len(BACKGROUNDS)), draw.below(VARIANTS)
    thing = _fit(glyph, draw.between(0.45, 0.95), draw.angle(15), draw)
    return Scene(split, seed, glyph, background, variant, (thing,))


def pair_split(first: int, second: int) -> str:
    """The split that two different glyphs seen together belong to: 90 % train, 5 % validation, 5 % test."""
    part = mix(min(first, second), max(first, second), 77) % 20
    return "validation" if part == 0 else "test" if part == 1 else "train"


class Draw:
    """Random choices that rest on `Random.random` alone: it is the one stream that Python promises never to change."""

    def __init__(self, seed: int) -> None:
        self.random: Callable[[], float] = Random(seed).random

    def below(self, limit: int) -> int:
        return int(self.random() * limit)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def angle(self, most: int) -> int:
        """Whole degrees, small turns more often than large ones."""
        return round((self.random() + self.random() - 1) * most)

    def weighted(self, options: tuple[tuple[int, T], ...]) -> T:
        """One of (weight, value)."""
        rest = self.random() * sum(weight for weight, _ in options)
        for weight, value in options:
            rest -= weight
            if rest < 0:
                return value
        return options[-1][1]

    def pick(self, options: list[T] | tuple[T, ...]) -> T:
        return options[self.below(len(options))]


def mix(*values: int) -> int:
    """Whole numbers into one of 64 bits, every bit of which depends on every bit of them."""
    mask = (1 << 64) - 1
    state = 0x9E3779B97F4A7C15
    for value in values:
        state = ((state ^ (value & mask)) * 0xBF58476D1CE4E5B9) & mask
        state ^= state >> 29
        state = (state * 0x94D049BB133111EB) & mask
        state ^= state >> 32
    return state


def _check(split: str, things: int | None) -> None:
    if split not in SPLITS:
        raise UsageError(f"split {split!r} is unknown; the splits are {', '.join(SPLITS)}")
    if things is not None and not 1 <= things <= MOST:
        raise UsageError(f"a scene has 1 to {MOST} things, not {things}")


def _choose(kinds: int, split: str, draw: Draw) -> list[int]:
    """Different glyphs whose pairs are allowed together in the split."""
    other = {"validation": "test", "test": "validation"}.get(split)
    chosen = [draw.below(COUNT)]
    while len(chosen) < kinds:
        glyph = draw.below(COUNT)
        if glyph in chosen:
            continue
        pairs = {pair_split(glyph, present) for present in chosen}
        needed = len(chosen) == 1 and split != "train"
        allowed = split in pairs if needed else other not in pairs
        if pairs == {"train"} if split == "train" else allowed:
            chosen.append(glyph)
    return chosen


def turned_box(glyph: int, x: float, y: float, size: float, angle: int) -> Box:
    """The box around what is drawn of a glyph whose cell of that size is turned about its centre (x, y)."""
    cosine, sine = math.cos(math.radians(angle)) * size, math.sin(math.radians(angle)) * size
    points = outline(glyph)
    across = [cosine * (px - 0.5) - sine * (py - 0.5) for px, py in points]
    down = [sine * (px - 0.5) + cosine * (py - 0.5) for px, py in points]
    # Four decimals: coarser than any difference between mathematical libraries, finer than any pixel.
    return (
        round(x + min(across), 4),
        round(y + min(down), 4),
        round(x + max(across), 4),
        round(y + max(down), 4),
    )


def _place(groups: list[tuple[int, int]], draw: Draw) -> list[Thing]:
    """Things of (glyph, how many), larger ones first so that the smaller find room, hardly overlapping."""
    low, high = SIZES[sum(number for _, number in groups)]
    wanted = [
        (base * draw.between(0.94, 1.0), glyph)
        for glyph, number in groups
        for base in [draw.between(low, high)]
        for _ in range(number)
    ]
    wanted.sort(reverse=True)
    placed: list[Thing] = []
    for size, glyph in wanted:
        placed.append(_free(glyph, size, placed, draw))
    return placed


def _free(glyph: int, size: float, placed: list[Thing], draw: Draw) -> Thing:
    """A thing where it hides little of the others, made smaller when there is no such place."""
    angle = draw.angle(20)
    best, least = None, math.inf
    for _ in range(8):
        for _ in range(10):
            thing = _fit(glyph, size, angle, draw)
            hidden = max((_overlap(thing.box, other.box) for other in placed), default=0.0)
            if hidden <= 0.02:
                return thing
            if hidden < least:
                best, least = thing, hidden
        size *= 0.9
    assert best is not None
    return best


def _fit(glyph: int, size: float, angle: int, draw: Draw) -> Thing:
    """A thing anywhere inside the frame; smaller where its turned box would not fit."""
    room = 1 - 2 * MARGIN
    x0, y0, x1, y1 = turned_box(glyph, 0, 0, size, angle)
    size = round(size * min(1.0, room / max(x1 - x0, y1 - y0)) * 0.999, 4)
    x0, y0, x1, y1 = turned_box(glyph, 0, 0, size, angle)
    x = round(draw.between(MARGIN - x0, 1 - MARGIN - x1), 4)
    y = round(draw.between(MARGIN - y0, 1 - MARGIN - y1), 4)
    return Thing(glyph, x, y, size, angle, turned_box(glyph, x, y, size, angle))


def _overlap(first: Box, second: Box) -> float:
    """Shared area as a part of the smaller box."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return width * height / smaller
