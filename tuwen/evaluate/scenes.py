"""A model and held-out pictures -> the numbers of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuwen.metrics import recall_at
from tuwen.scenes.pack import glyphs
from tuwen.scenes.render import render
from tuwen.scenes.scene import Scene, make, portrait
from tuwen.scenes.words import caption, names
from tuwen.tasks.classify import class_features

if TYPE_CHECKING:
    from tuwen.model import Model
    from tuwen.types import Picture

DRAWN = 192  # pixels: larger than small models see, so that their own resize is part of what is measured
SEED = 20_000  # of the pictures to evaluate on; training seeds are far below
TEMPLATES = {"zh": ("{}", "一个{}", "一张{}的图片"), "en": ("{}", "a {}", "a picture of a {}")}


def on_scenes(model: Model, split: str = "test", count: int = 1000, progress: bool = False) -> dict[str, float]:
    """How well a two-tower model knows the bundled pictures: fresh renderings of a split, never seen in training.

    Returned, each between 0 and 1, in Chinese (zh) and English (en):
    thing_*: top-1 accuracy over the names of all 794 things, one portrait of each, one thing in the frame;
    three_*: three things in the frame, and the best of the 794 names is one of the three;
    text_to_image_*, image_to_text_*: recall@1 among `count` scenes of one to five things with their full captions,
    all different.
    """
    things = glyphs()
    portraits = model.encode_image(_draw([portrait(thing.index, SEED, split) for thing in things]), progress=progress)
    crowds = [make(SEED, index, split, things=3) for index in range(count)]
    crowded = model.encode_image(_draw(crowds), progress=progress)
    galleries = distinct(split, count)
    gallery = model.encode_image(_draw(galleries), progress=progress)
    results: dict[str, float] = {}
    for language in ("zh", "en"):
        prototypes = class_features(model, names(language), TEMPLATES[language])  # (794, E)
        results[f"thing_{language}"] = recall_at(portraits @ prototypes.T, 1)
        best = (crowded @ prototypes.T).argmax(dim=1).tolist()
        shown = [{thing.glyph for thing in scene.things} for scene in crowds]
        results[f"three_{language}"] = sum(b in s for b, s in zip(best, shown, strict=True)) / count
        texts = model.encode_text([caption(scene, language) for scene in galleries])
        results[f"text_to_image_{language}"] = recall_at(texts @ gallery.T, 1)
        results[f"image_to_text_{language}"] = recall_at(gallery @ texts.T, 1)
    return {key: round(value, 4) for key, value in results.items()}


def distinct(split: str, count: int) -> list[Scene]:
    """The first `count` scenes with different full captions: each text has exactly one right picture."""
    found: list[Scene] = []
    seen: set[str] = set()
    index = 0
    while len(found) < count:
        scene = make(SEED + 1, index, split)
        texts = {caption(scene, "zh"), caption(scene, "en")}
        if not texts & seen:
            seen |= texts
            found.append(scene)
        index += 1
    return found


def _draw(scenes: Sequence[Scene]) -> list[Picture]:
    return [render(scene, DRAWN) for scene in scenes]
