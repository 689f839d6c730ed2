"""Batches of scenes with captions: drawn on the fly, the same for the same seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

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
    """Item s is the batch of step s; nothing depends on the steps before it, so a run resumes anywhere."""

    def __init__(self, recipe: Recipe, pipeline: ImagePipeline) -> None:
        self.recipe = recipe
        self.pipeline = pipeline

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, step: int) -> Batch:
        recipe = self.recipe
        draw = Random(f"{recipe.scenes.seed} {step}")
        first, last = recipe.scenes.portraits
        share = first + (last - first) * step / recipe.steps
        portraits = min(round(share * recipe.batch_size), len(glyphs()))
        things = draw.sample(range(len(glyphs())), portraits)  # each thing once: no batch contradicts itself
        drawn = [portrait(thing, recipe.scenes.seed + step) for thing in things]
        number = step * recipe.batch_size
        drawn += [make(recipe.scenes.seed, number + i) for i in range(recipe.batch_size - portraits)]
        captions = {language: [caption(scene, language, random=draw) for scene in drawn] for language in LANGUAGES}
        same = {language: torch.tensor([crc32(text.encode()) for text in texts]) for language, texts in captions.items()}
        return Batch(self._draw(drawn, draw), captions, same)

    def _draw(self, drawn: list[Scene], draw: Random) -> Tensor:
        """(B, R, R, 3) uint8, each drawn at one of the recipe's sizes and brought to the model's as a user's file would be."""
        rows = []
        for scene in drawn:
            size = draw.choice(self.recipe.scenes.sizes)
            row = pixels(scene, size)
            rows.append(row if size == self.pipeline.size else self.pipeline.pixels(row))
        return torch.from_numpy(np.stack(rows))


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
