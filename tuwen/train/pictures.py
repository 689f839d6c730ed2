"""Batches of scenes with captions: drawn on the fly, the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tuwen import distributed
from tuwen.processing.image import ImagePipeline
from tuwen.scenes.pack import glyphs
from tuwen.scenes.render import pixels
from tuwen.scenes.scene import Scene, make, portrait
from tuwen.scenes.words import caption
from tuwen.train.recipe import Recipe

LANGUAGES = ("zh", "en")


@dataclass(frozen=True)
class Batch:
    """pixels (B, R, R, 3) uint8; by language the captions, and `said` (B, G) uint8, which of all G things they name.

    shown (B, G) uint8: which things are in each picture.
    """

    pixels: Tensor
    captions: dict[str, list[str]]
    said: dict[str, Tensor]
    shown: Tensor


class SceneBatches(Dataset[Batch]):
    """Item s is this process's part of the batch of step s, whatever came before: a run resumes anywhere."""

    def __init__(self, recipe: Recipe, pipeline: ImagePipeline) -> None:
        self.recipe = recipe
        self.pipeline = pipeline
        self.rank, self.processes = distributed.rank(), distributed.processes()

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, step: int) -> Batch:
        recipe = self.recipe
        first, last = recipe.scenes.portraits
        share = first + (last - first) * step / recipe.steps
        portraits = min(round(share * recipe.batch_size), len(glyphs()))
        order = Random(f"{recipe.scenes.seed} {step}")
        things = order.sample(range(len(glyphs())), portraits)  # each thing once: no batch contradicts itself
        rows = list(range(recipe.batch_size))
        order.shuffle(rows)  # so that every process gets as many portraits as the others
        return self._batch(step, things, rows[self.rank :: self.processes])

    def _batch(self, step: int, things: list[int], rows: list[int]) -> Batch:
        """Rows of the batch of `step`; a row has random numbers of its own, so it does not matter who draws it."""
        recipe = self.recipe
        pictures, shown = [], []
        captions: dict[str, list[str]] = {language: [] for language in LANGUAGES}
        said: dict[str, list[set[int]]] = {language: [] for language in LANGUAGES}
        for row in rows:
            draw = Random(f"{recipe.scenes.seed} {step} {row}")
            if row < len(things):
                scene = portrait(things[row], recipe.scenes.seed + step)
            else:
                scene = make(recipe.scenes.seed, step * recipe.batch_size + row)
            pictures.append(self._draw(scene, draw.choice(recipe.scenes.sizes)))
            shown.append(set(scene.groups))
            for language in LANGUAGES:
                told = part_of(scene, draw) if draw.random() < recipe.scenes.partial else scene
                captions[language].append(caption(told, language, random=draw))
                said[language].append(set(told.groups))
        marks = {language: many_hot(sets) for language, sets in said.items()}
        return Batch(torch.from_numpy(np.stack(pictures)), captions, marks, many_hot(shown))

    def _draw(self, scene: Scene, size: int) -> np.ndarray[Any, Any]:
        """(R, R, 3) uint8, drawn at `size` and brought to the model's size as a user's file would be."""
        drawn = pixels(scene, size)
        return drawn if (size, size) == self.pipeline.size else self.pipeline.pixels(drawn)


def part_of(scene: Scene, draw: Random) -> Scene:
    """The scene with only some of its kinds of things left, for a caption that is true but does not tell everything."""
    kinds = list(scene.groups)
    if len(kinds) == 1:
        return scene
    kept = set(draw.sample(kinds, draw.randint(1, len(kinds) - 1)))
    return replace(scene, things=tuple(thing for thing in scene.things if thing.glyph in kept))


def many_hot(sets: list[set[int]]) -> Tensor:
    """Sets of things -> (B, G) uint8."""
    marks = torch.zeros(len(sets), len(glyphs()), dtype=torch.uint8)
    for row, things in zip(marks, sets, strict=True):
        row[sorted(things)] = 1
    return marks


def batches(recipe: Recipe, pipeline: ImagePipeline, start: int) -> Iterator[Batch]:
    """The batches from step `start` on, drawn ahead by the recipe's worker processes."""
    workers = recipe.scenes.workers
    return iter(
        DataLoader(
            SceneBatches(recipe, pipeline),
            batch_size=None,
            sampler=range(start, recipe.steps),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
        )
    )
