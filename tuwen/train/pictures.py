"""Batches of scenes with captions: drawn on the fly, the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from zlib import crc32

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
    """pixels (B, R, R, 3) uint8; captions and their numbers (B,) by language; equal captions have equal numbers."""

    pixels: Tensor
    captions: dict[str, list[str]]
    same: dict[str, Tensor]


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
        pictures, captions = [], {language: list[str]() for language in LANGUAGES}
        for row in rows:
            draw = Random(f"{recipe.scenes.seed} {step} {row}")
            if row < len(things):
                scene = portrait(things[row], recipe.scenes.seed + step)
            else:
                scene = make(recipe.scenes.seed, step * recipe.batch_size + row)
            pictures.append(self._draw(scene, draw.choice(recipe.scenes.sizes)))
            for language in LANGUAGES:
                captions[language].append(caption(scene, language, random=draw))
        same = {
            language: torch.tensor([crc32(text.encode()) for text in texts]) for language, texts in captions.items()
        }
        return Batch(torch.from_numpy(np.stack(pictures)), captions, same)

    def _draw(self, scene: Scene, size: int) -> np.ndarray[Any, Any]:
        """(R, R, 3) uint8, drawn at `size` and brought to the model's size as a user's file would be."""
        drawn = pixels(scene, size)
        return drawn if (size, size) == self.pipeline.size else self.pipeline.pixels(drawn)


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
