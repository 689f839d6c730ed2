"""The pictures of `tuwen demo`, and what it asks about them: scenes that no training has seen, and who is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from tuwen.scenes.backgrounds import BACKGROUNDS
from tuwen.scenes.layout import places
from tuwen.scenes.pack import glyphs
from tuwen.scenes.scene import Scene, make, portrait
from tuwen.scenes.words import caption

SEED = 7
SPLIT = "test"
COUNT = 120
CROWDED = 90  # of them with one to five things, the others with one thing that a question is about, or nearly
FAMILIAR = ("Animals & Nature", "Food & Drink")
LONGEST = 3  # characters of a name that everybody uses
FRUIT, ANIMAL, PLACE = "西瓜", "狐狸", "雪地上"


@dataclass(frozen=True)
class Question:
    """A Chinese query, and what a picture must show to be right: so many of each glyph, a background, places."""

    text: str
    counts: dict[int, int]
    background: int | None = None
    where: dict[int, str] = field(default_factory=dict)

    def fits(self, scene: Scene) -> bool:
        """Whether the scene is a right answer."""
        counts = {glyph: len(things) for glyph, things in scene.groups.items()}
        where = places(scene) if self.where else {}
        return (
            all(counts.get(glyph) == count for glyph, count in self.counts.items())
            and self.background in (None, scene.background)
            and all(where.get(glyph) == place for glyph, place in self.where.items())
        )


@cache
def gallery() -> tuple[Scene, ...]:
    """The 120 scenes, always the same."""
    scenes = list(crowded())
    asked = questions()
    snow = asked[1].background
    scenes += _portraits(_glyph(FRUIT), 4)
    scenes += _portraits(_glyph(ANIMAL), 3, lambda scene: scene.background == snow)
    scenes += _portraits(_glyph(ANIMAL), 3, lambda scene: scene.background != snow)
    for question in asked[2:]:  # the same things alone: near misses
        for glyph in question.counts:
            scenes += _portraits(glyph, 2)
    glyph = 0
    while len(scenes) < COUNT:
        glyph += 37  # spread over the pack
        scenes += _portraits(glyph, 1)
    return tuple(scenes[:COUNT])


@cache
def questions() -> tuple[Question, ...]:
    """Five: a thing, a thing somewhere, how many, two things, where they are."""
    fruit, animal = _glyph(FRUIT), _glyph(ANIMAL)
    snow = next(number for number, kind in enumerate(BACKGROUNDS) if kind.zh_place == PLACE)
    several = _first(lambda scene: len(scene.groups) == 1 and len(scene.things) > 1)
    two = _first(lambda scene: len(scene.groups) == len(scene.things) == 2)
    placed = _first(lambda scene: len(scene.groups) == 2 and len(places(scene)) == 2 and scene != two)
    return (
        Question(FRUIT, {fruit: 1}),
        Question(f"{PLACE}的{ANIMAL}", {animal: 1}, snow),
        Question(caption(several, style="counted"), _counts(several)),
        Question(caption(two, style="names"), _counts(two)),
        Question(caption(placed, style="positioned"), _counts(placed), where=places(placed)),
    )


@cache
def crowded() -> tuple[Scene, ...]:
    """Scenes of one to five things."""
    return tuple(make(SEED, index, SPLIT) for index in range(CROWDED))


def _first(fits: Callable[[Scene], bool]) -> Scene:
    """The first crowded scene that fits and whose things everybody knows and names in the same way."""
    for scene in crowded():
        shown = [glyphs()[glyph] for glyph in scene.groups]
        if fits(scene) and all(glyph.group in FAMILIAR and 2 <= len(glyph.zh) <= LONGEST for glyph in shown):
            return scene
    raise AssertionError(f"none of the first {CROWDED} scenes of seed {SEED} fits")


def _counts(scene: Scene) -> dict[int, int]:
    return {glyph: len(things) for glyph, things in scene.groups.items()}


def _portraits(glyph: int, count: int, fits: Callable[[Scene], bool] = lambda scene: True) -> list[Scene]:
    """The first fitting pictures of one thing alone."""
    found: list[Scene] = []
    seed = SEED
    while len(found) < count:
        scene = portrait(glyph, seed, SPLIT)
        if fits(scene):
            found.append(scene)
        seed += 1
    return found


def _glyph(name: str) -> int:
    return next(glyph.index for glyph in glyphs() if glyph.zh == name)
