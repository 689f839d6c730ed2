"""Pictures to pixels: the rule of the research release, its straight resize, and the port's two."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tuwen.errors import InputError
from tuwen.processing.decode import decode
from tuwen.processing.image import ImagePipeline
from tuwen.processing.opencv import upright


def check(case: Case, expected: Expected) -> None:
    if case.settings["format"] == "preprocessor_config.json":
        check_port(case, expected)
    else:
        check_release(case, expected)


def check_release(case: Case, expected: Expected) -> None:
    limits = expected.tolerance["pixel"]
    for key in sorted(expected.tensors):
        part, _, rest = key.partition(".")
        name, _, size = rest.rpartition(".")
        pipeline = ImagePipeline.ernie(int(size), "square" if part == "square" else "crop")
        pixels = torch.from_numpy(pipeline.pixels(case.path / "images" / name))
        if part == "crop":
            expected.equal(key, pixels)
        else:
            expected.compare(key, pipeline.normalise(pixels[None])[0], expected.tensor(key), **limits)
    sizes: dict[str, Any] = {}
    for key in expected.value("sizes"):
        name, _, size = key.rpartition(".")
        picture = upright(decode(case.path / "images" / name))
        decoded = (picture.height, picture.width)
        scaled = ImagePipeline.ernie(int(size)).resized_size(*decoded)
        sizes[key] = {"decoded_hw": list(decoded), "scaled_hw": list(scaled)}
    expected.equal("sizes", sizes)
    expected.equal("undecodable", {text: refusals(text) for text in expected.value("undecodable")})


def refusals(text: str) -> int:
    """How many of this one picture, as the third column of a data file has it, cannot be read."""
    try:
        ImagePipeline.ernie(32).pixels(base64.b64decode(text))
    except (InputError, ValueError):  # ValueError: not base64
        return 1
    return 0


def check_port(case: Case, expected: Expected) -> None:
    settings = json.loads((case.path / "preprocessor_config.json").read_text(encoding="utf-8"))
    pipelines = {
        "processor": ImagePipeline.from_paddlenlp(settings),
        "finetune": ImagePipeline.ernie(case.settings["size"], "finetuned"),
    }
    for key in sorted(expected.tensors):
        part, _, name = key.partition(".")
        expected.close(key, prepared(pipelines[part], case.path / "images" / name))
    expected.equal("errors", {})


def prepared(pipeline: ImagePipeline, path: Path) -> Tensor:
    """(3, H, W), normalised."""
    return pipeline.normalise(torch.from_numpy(pipeline.pixels(path))[None])[0]
