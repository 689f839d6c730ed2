"""Pictures to pixels and masks as transformers' BridgeTower processor makes them, setting by setting."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tuwen.processing.batch import batch
from tuwen.processing.decode import decode
from tuwen.processing.image import ImagePipeline


def check(case: Case, expected: Expected) -> None:
    pipelines = [ImagePipeline.from_bridgetower(settings) for settings in case.settings["settings"]]
    for record in expected.value("records"):
        if "without_convert_error" not in record:  # the peer takes RGB only; here every mode is converted
            check_picture(case, expected, record, pipelines[record["setting"]])


def check_picture(case: Case, expected: Expected, record: dict[str, Any], pipeline: ImagePipeline) -> None:
    path = case.path / "images" / record["image"]
    key = f"{record['setting']}.{record['image']}"
    expected.same(f"{key} mode", decode(path).mode, record["mode"])
    images = batch([pipeline.pixels(path)], pipeline)
    pixels = images.pixels[0]
    if "error" in record:  # longer than 15:1: the peer's rounding leaves nothing, ours one divisor
        assert pipeline.crop is not None
        expected.same(f"{key} shape", tuple(pixels.shape), (3, *pipeline.crop))
        return
    expected.same(f"{key} shape", list(pixels.shape), record["shape"])
    expected.same(f"{key} mask", real_pixels(images.mask, pixels), record["mask_sum"])
    if "kept" in record:
        expected.close(f"{key}.every12", pixels[:, ::12, ::12])
    else:
        expected.close(key, pixels)
    expected.close(f"{key}.mean", pixels.mean(dim=(1, 2)))
    expected.close(f"{key}.std", pixels.std(dim=(1, 2), correction=0))


def real_pixels(mask: Tensor | None, pixels: Tensor) -> int:
    """Without a mask all of them."""
    return int(torch.ones(pixels.shape[-2:]).sum() if mask is None else mask.sum())
