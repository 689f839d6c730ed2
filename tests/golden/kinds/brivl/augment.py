"""The changes of colour of the pre-training, each alone and one after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tuwen.processing.augment_tensors import CHANGES, grey
from tuwen.processing.image import ImagePipeline


def check(case: Case, expected: Expected) -> None:
    pipeline = ImagePipeline.brivl(case.settings["size"])
    (name,) = case.settings["images"]
    resized = torch.from_numpy(pipeline.pixels(case.path / name)).permute(2, 0, 1)  # (3, S, S)
    expected.close("resized", resized)
    for number, factors in enumerate(case.settings["factors"]):
        for change, function in CHANGES.items():
            expected.close(f"{number}.{change}", function(resized, factors[change]))
        changed = resized
        for change in factors["order"]:
            changed = CHANGES[change](changed, factors[change])
        expected.close(f"{number}.jitter", changed)
        without = grey(changed).expand_as(changed)
        expected.close(f"{number}.gray", without)
        expected.close(f"{number}.normalized", normalised(pipeline, without if factors["gray"] else changed))


def normalised(pipeline: ImagePipeline, pixels: Tensor) -> Tensor:
    """(3, S, S) from 0 to 1 -> the same, normalised."""
    return pipeline.normalise(pixels.permute(1, 2, 0)[None])[0]
