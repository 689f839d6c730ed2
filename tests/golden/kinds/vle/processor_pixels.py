"""Pictures of every mode, arrays and tensors to pixels as VLE's processor makes them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from tests.golden.case import Case, Expected
from tuwen.processing.batch import batch
from tuwen.processing.decode import decode
from tuwen.processing.image import ImagePipeline


def check_pixels(case: Case, expected: Expected) -> None:
    """Every pixel tensor of the case; the arrays are of its first picture, and `both` is of its first two."""
    settings = json.loads((case.path / "checkpoint" / "preprocessor_config.json").read_text(encoding="utf-8"))
    pipeline = ImagePipeline.from_clip(settings)
    pictures: dict[str, Any] = {path.name: path for path in case.images}
    rows = np.array(decode(case.images[0]).convert("RGB"))
    pictures |= {"numpy_hwc": rows, "numpy_chw": rows.transpose(2, 0, 1)}
    pictures["torch_chw"] = torch.from_numpy(rows).permute(2, 0, 1)
    for key in expected.keys("pixel_values."):
        pixels = pipeline.pixels(pictures[key.removeprefix("pixel_values.")])
        expected.close(key, batch([pixels], pipeline).pixels[0])
    count = len(expected.tensors["both.pixel_values"])
    both = [pipeline.pixels(path) for path in case.images[:count]]
    expected.close("both.pixel_values", batch(both, pipeline).pixels)
