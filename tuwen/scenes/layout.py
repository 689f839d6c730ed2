"""What can be said for certain about where things are and how large they are."""

from __future__ import annotations

from itertools import pairwise

from tuwen.scenes.scene import Scene, Thing

GAP = 0.16  # centres nearer than this are not clearly apart
OVERLAP = 0.05  # boxes may reach this far past each other and still be side by side
RATIO = 1.4  # of extents, from which on one thing is clearly larger than another

# Places by key, as they follow 在 and as they follow an English noun.
CHINESE_PLACES = {
    "left": "左边", "right": "右边", "top": "上面", "bottom": "下面", "middle": "中间", "top left": "左上角",
    "top right": "右上角", "bottom left": "左下角", "bottom right": "右下角",
}  # fmt: skip
ENGLISH_PLACES = {
    "left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
    "middle": "in the middle", "top left": "in the top left corner", "top right": "in the top right corner",
    "bottom left": "in the bottom left corner", "bottom right": "in the bottom right corner",
}  # fmt: skip
OPPOSITES = {
    "left": "right", "right": "left", "top": "bottom", "bottom": "top", "top left": "bottom right",
    "bottom right": "top left", "top right": "bottom left", "bottom left": "top right",
}  # fmt: skip


def places(scene: Scene) -> dict[int, str]:
    """Where each kind of thing is, glyph -> key of a place, or nothing where that is not clear for all of them.

    One thing is placed in the frame; two or three kinds are placed beside or above each other.
    """
    groups = list(scene.groups.items())
    if len(groups) == 1:
        (glyph, things) = groups[0]
        place = _place_in_frame(things[0]) if len(things) == 1 else None
        return {glyph: place} if place else {}
    if len(groups) > 3:
        return {}
    rows = {axis: _in_a_row(groups, axis) for axis in (0, 1)}
    clear = {axis: row for axis, row in rows.items() if row}
    if not clear:
        return {}
    axis = max(clear, key=lambda axis: clear[axis][0])
    names = ("left", "middle", "right") if axis == 0 else ("top", "middle", "bottom")
    order = clear[axis][1]
    return dict(zip(order, names if len(order) == 3 else (names[0], names[2]), strict=True))


def _in_a_row(groups: list[tuple[int, tuple[Thing, ...]]], axis: int) -> tuple[float, list[int]] | None:
    """(smallest gap between neighbours, glyphs in order) along x (0) or y (1); None unless clearly apart."""
    ordered = sorted(groups, key=lambda group: min(thing.centre[axis] for thing in group[1]))
    least = 1.0
    for (_, before), (_, after) in pairwise(ordered):
        gap = min(thing.centre[axis] for thing in after) - max(thing.centre[axis] for thing in before)
        room = min(thing.box[axis] for thing in after) - max(thing.box[axis + 2] for thing in before)
        if gap < GAP or room < -OVERLAP:
            return None
        least = min(least, gap)
    return least, [glyph for glyph, _ in ordered]


def _place_in_frame(thing: Thing) -> str | None:
    """Where one thing alone is in the frame, if it is small enough and far enough off the middle, or right in it."""
    x, y = thing.centre
    if thing.extent > 0.55:
        return None
    across = "left" if x < 0.36 else "right" if x > 0.64 else "" if 0.42 < x < 0.58 else None
    down = "top" if y < 0.36 else "bottom" if y > 0.64 else "" if 0.42 < y < 0.58 else None
    if across is None or down is None:
        return None
    return f"{down} {across}".strip() or "middle"


def sizes(scene: Scene) -> dict[int, str]:
    """Glyphs that are clearly the largest ("big") or the smallest ("small") where there are several kinds of things."""
    groups = scene.groups
    if len(groups) < 2:
        return {}
    low = {glyph: min(thing.extent for thing in things) for glyph, things in groups.items()}
    high = {glyph: max(thing.extent for thing in things) for glyph, things in groups.items()}
    found = {}
    for glyph in groups:
        others = [other for other in groups if other != glyph]
        if low[glyph] >= RATIO * max(high[other] for other in others):
            found[glyph] = "big"
        elif high[glyph] * RATIO <= min(low[other] for other in others):
            found[glyph] = "small"
    return found
