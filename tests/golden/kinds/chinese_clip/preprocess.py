"""Pictures of every mode to pixels: the original's way, and transformers'."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tuwen.processing.image import ImagePipeline, decode


def check(case: Case, expected: Expected) -> None:
    for key in expected.keys("pixel_values."):
        expected.close(key, prepared(case, ImagePipeline(size=_square(key))))
    for key in expected.keys("hf."):
        height, width = _square(key)
        settings = {"size": {"height": height, "width": width}, "do_center_crop": False}
        expected.close(key, prepared(case, ImagePipeline.from_transformers(settings)))
    opened = {path.name: decode(path) for path in case.images}
    expected.equal("modes", {name: [image.mode, list(image.size)] for name, image in opened.items()})


def prepared(case: Case, pipeline: ImagePipeline) -> Tensor:
    """(N, 3, R, R), normalised."""
    return pipeline.normalise(torch.stack([torch.from_numpy(pipeline.pixels(path)) for path in case.images]))


def _square(key: str) -> tuple[int, int]:
    size = int(key.rpartition(".")[2])
    return size, size
