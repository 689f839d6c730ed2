"""Recall against time: what each depth of a search in two stages costs and finds, as a drawing of lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.checkpoint import replacing
from tuwen.evaluate.figures import DIRECTIONS, written
from tuwen.evaluate.scored import Table

Say = Callable[[str, str, str], str]

SHOWN = ("r1", "r5", "r10")  # a panel each
WIDTH, HEIGHT = 440, 330  # of a panel, in the drawing's own units
LEFT, RIGHT, TOP, LOW = 80, 18, 66, 58  # margins around the lines
NARROW = 22  # units between two depths that are written on one line
QUICKEST = 0.001  # milliseconds: what a logarithm begins at, where a clock stood still
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)  # between lines across, as shares
SAID = {"text_to_image": ("以文搜图", "text to image"), "image_to_text": ("以图搜文", "image to text")}
LOOKS = """.paper { fill: var(--paper); } .ink { fill: var(--ink); } .pale { fill: var(--pale); }
.rule { stroke: var(--line); } .at { stroke: var(--line); stroke-dasharray: 3 4; }
.text_to_image { --own: var(--right); } .image_to_text { --own: var(--blue); }
polyline { fill: none; stroke: var(--own); stroke-width: 2.5; stroke-linejoin: round; } .dot { fill: var(--own); }
"""
ALONE = """:root { --paper: #fff; --ink: #1d2126; --pale: #656b74; --line: #dcdad3; --right: #1a7a50; --blue: #2b62b8; }
@media (prefers-color-scheme: dark) {
:root { --paper: #15171a; --ink: #eceae5; --pale: #9da3ac; --line: #34383e; --right: #5fd39b; --blue: #86b6ff; } }
"""
FONT = "font-family: system-ui, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', 'Noto Sans SC', sans-serif"


@dataclass(frozen=True)
class Scale:
    """From values to units of the drawing; ticks: values that are written along it."""

    start: float
    end: float
    ticks: list[float]
    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies."""
        share = (self._own(value) - self._own(self.low)) / (self._own(self.high) - self._own(self.low))
        return self.start + share * (self.end - self.start)

    def _own(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value


def html(depths: Table) -> str:
    """A drawing for each recall, for a page of ours, which says in two languages what it shows and has the colours.

    depths: the table of that name, see `two_stage`.
    """

    def say(zh: str, en: str, around: str) -> str:
        return f'<text class="zh ink" lang="zh" {around}>{zh}</text><text class="en ink" lang="en" {around}>{en}</text>'

    drawings = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name.upper()}">{_panel(depths, name, say)}</svg>'
        for name in _recalls(depths)
    )
    return f'<div class="plots"><style>{LOOKS}</style>{"".join(drawings)}</div>'


def svg(depths: Table) -> str:
    """All drawings side by side, as an SVG file that is light or dark as its reader is, in both languages."""

    def say(zh: str, en: str, around: str) -> str:
        return f'<text class="ink" {around}>{zh} / {en}</text>'

    names = _recalls(depths)
    panels = (
        f'<g transform="translate({WIDTH * n} 0)">{_panel(depths, name, say)}</g>' for n, name in enumerate(names)
    )
    width = WIDTH * len(names)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" '
        f'style="{FONT}">\n<style>{ALONE}{LOOKS}</style>\n<rect class="paper" width="{width}" height="{HEIGHT}"/>\n'
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def write(path: Path, depths: Table) -> None:
    """The SVG file, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(svg(depths), encoding="utf-8")


def _recalls(depths: Table) -> list[str]:
    return [name for name in SHOWN if any(f"{side}_{name}" in depths for side in DIRECTIONS)]


def _points(depths: Table, name: str) -> list[tuple[int, float, dict[str, float]]]:
    """(depth, milliseconds, direction -> share found) of each depth, upwards; of a set in parts the parts' mean."""
    column = {key: np.asarray(values) for key, values in depths.items() if key != "id"}
    sides = [side for side in DIRECTIONS if f"{side}_{name}" in column]
    points = []
    for depth in np.unique(column["depth"]):
        rows = column["depth"] == depth
        found = {side: float(column[f"{side}_{name}"][rows].mean()) for side in sides}
        points.append((int(depth), max(float(column["milliseconds"][rows].mean()), QUICKEST), found))
    return points


# -- one panel --------------------------------------------------------------------------------------------------------


def _panel(depths: Table, name: str, say: Say) -> str:
    points = _points(depths, name)
    across = _times([time for _, time, _ in points])
    up = _shares([share for _, _, found in points for share in found.values()])
    sides = list(points[0][2])
    lines = [_line(side, points, name, across, up) for side in sides]
    return "".join([_ground(name, across, up, say), _depths(points, across, say), *lines, *_names(sides, say)])


def _ground(name: str, across: Scale, up: Scale, say: Say) -> str:
    """Axes with their units."""
    parts = []
    for tick in up.ticks:
        y = up.place(tick)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(f"{100 * tick:.3g}", LEFT - 8, y + 4, "end"))
    bottom = HEIGHT - LOW
    for tick in across.ticks:
        x = across.place(tick)
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        parts.append(_text(f"{tick:,g}", x, bottom + 19, "middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(say("一次搜索的毫秒数（对数）", "ms of one search (log)", _at(middle, HEIGHT - 14, "middle")))
    y = (TOP + bottom) / 2
    title = f"R@{name[1:]}"
    turned = f'{_at(16, y, "middle")} transform="rotate(-90 16 {y})"'
    return "".join([*parts, f'<text class="ink" {turned}>{title} (%)</text>'])


def _depths(points: Sequence[tuple[int, float, Any]], across: Scale, say: Say) -> str:
    """A dotted line up from each time, with its depth above; those that stand close take turns on two lines."""
    parts = [say("深度", "depth", _at(4, TOP - 8, "start"))]
    last = {0: -math.inf, 1: -math.inf}  # line -> where the last one stands on it
    for depth, time, _ in points:
        x = across.place(time)
        row = 0 if x - last[0] >= NARROW or x - last[0] >= x - last[1] else 1
        last[row] = x
        parts.append(f'<line class="at" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - LOW}"/>')
        parts.append(_text(str(depth), x, TOP - 8 - 13 * row, "middle", "ink"))
    return "".join(parts)


def _line(side: str, points: Sequence[tuple[int, float, dict[str, float]]], name: str, across: Scale, up: Scale) -> str:
    places = [(across.place(time), up.place(found[side])) for _, time, found in points]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = []
    for (x, y), (depth, time, found) in zip(places, points, strict=True):
        said = f"{depth}: {time:,.1f} ms, R@{name[1:]} {written(name, found[side])} %"
        dots.append(f"{_dot(side, x, y)}<title>{escape(said)}</title></{_SHAPES[side]}>")
    return f'<g class="{side}"><polyline points="{drawn}"/>{"".join(dots)}</g>'


_SHAPES = {"text_to_image": "circle", "image_to_text": "rect"}  # told apart without colours, too


def _dot(side: str, x: float, y: float) -> str:
    """An open tag."""
    if _SHAPES[side] == "circle":
        return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5">'
    return f'<rect class="dot" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">'


def _names(sides: Sequence[str], say: Say) -> list[str]:
    """Which line is which, above the drawing."""
    parts = []
    for number, side in enumerate(sides):
        x = LEFT - 30 + number * WIDTH * 0.44
        parts.append(f'<g class="{side}"><polyline points="{x},20 {x + 22},20"/>{_dot(side, x + 11, 20)}')
        parts.append(f"</{_SHAPES[side]}></g>{say(*SAID[side], _at(x + 28, 24, 'start'))}")
    return parts


def _at(x: float, y: float, anchor: str) -> str:
    return f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12"'


def _text(said: str, x: float, y: float, anchor: str, colour: str = "pale") -> str:
    return f'<text class="{colour}" {_at(x, y, anchor)}>{said}</text>'


# -- scales -----------------------------------------------------------------------------------------------------------


def _times(values: Sequence[float]) -> Scale:
    """Of milliseconds, from one of 1, 2, 5, 10, 20, ... to another."""
    least, most = min(values), max(values)
    powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
    steps = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    low = max(step for step in steps if step < least or math.isclose(step, least))
    high = min(step for step in steps if step > most and step > low)
    ticks = [step for step in steps if low <= step <= high]
    if len(ticks) > 8:
        ticks = [step for step in ticks if math.isclose(math.log10(step), round(math.log10(step)), abs_tol=1e-9)]
    return Scale(LEFT, WIDTH - RIGHT, ticks, low, high, logarithmic=True)


def _shares(values: Sequence[float]) -> Scale:
    """Of shares, with at most six lines across that have room around what is there."""
    least, most = min(values), max(values)
    step = next((step for step in STEPS if most - least <= 4 * step), STEPS[-1])
    low = max(0, math.floor(least / step + 1e-9))
    high = min(math.ceil(most / step - 1e-9), round(1 / step))
    low, high = (low, high) if high > low else (max(0, low - 1), low + 1 if low * step < 1 else low)
    ticks = [number * step for number in range(low, high + 1)]
    return Scale(HEIGHT - LOW, TOP, ticks, ticks[0], ticks[-1])
