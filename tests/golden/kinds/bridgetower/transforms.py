"""The original repository's transforms, and the operations of both augmentation policies."""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random
from unittest.mock import Mock

import numpy as np
import torch
from PIL import Image

from tests.golden.case import Case, Expected
from tuwen.processing import augment_arrays, augment_pillow
from tuwen.processing.augment_arrays import RandomAugment
from tuwen.processing.augment_pillow import RandAugment
from tuwen.processing.batch import batch
from tuwen.processing.image import ImagePipeline
from tuwen.processing.published import TRANSFORMS

PIXELBERT_SIZE = 64  # the notes of the case say so


def check(case: Case, expected: Expected) -> None:
    for key in TRANSFORMS:
        pipeline = ImagePipeline.transform(key, PIXELBERT_SIZE if key == "pixelbert" else case.settings["size"])
        for path in case.images:
            expected.close(f"{key}.{path.name}", batch([pipeline.pixels(path)], pipeline).pixels[0])
    check_pillow(expected)
    check_arrays(expected, case.settings["tolerance"]["cv_uint8"])
    expected.equal("order", [])  # the peer ran one process, and listed nothing


def check_pillow(expected: Expected) -> None:
    picture = Image.fromarray(expected.tensor("op_input").numpy())
    for row in expected.value("randaug"):
        name, magnitude = row["op"], row["m"]
        operation = augment_pillow.OPERATIONS[name]
        value = operation.value(magnitude)
        expected.compare(f"{name} {magnitude}", torch.tensor(value), torch.tensor(row["value"]), 1e-6, 1e-6)
        for sign, turned in (("pos", 1), ("neg", -1 if operation.signed else 1)):
            ours = np.array(operation.change(picture, turned * value))
            expected.equal(f"pil.{name}.m{magnitude}.{sign}", torch.from_numpy(ours))
    for key in expected.keys("RandAugment("):
        count, magnitude, seed = map(int, re.findall(r"\d+", key))
        ours = np.array(RandAugment(count, magnitude)(picture, Random(seed)))
        expected.equal(key, torch.from_numpy(ours))


def check_arrays(expected: Expected, levels: float) -> None:
    pixels = expected.tensor("op_input").numpy()
    seen: dict[str, int] = defaultdict(int)
    for row in expected.value("randaugment"):
        name, magnitude = row["op"], row["m"]
        operation = augment_arrays.OPERATIONS[name]
        draw = Mock(random_sample=lambda drawn=row["draw"]: drawn)
        value = operation.value(magnitude, draw)
        expected.same(f"{name} {row['draw']}", [] if value is None else [value], row["args"][:1])
        start = f"cv.{name}.m{magnitude}"
        key = f"{start}.{seen[start]}"
        seen[start] += 1
        ours = torch.from_numpy(operation(pixels, value).astype(np.int64))
        expected.compare(key, ours, expected.tensor(key).long(), levels, 0)
    for key in expected.keys("RandomAugment("):
        count, magnitude, seed = map(int, re.findall(r"\d+", key))
        changed = RandomAugment(count, magnitude)(pixels, np.random.RandomState(seed))
        expected.compare(key, torch.from_numpy(changed.astype(np.int64)), expected.tensor(key).long(), levels, 0)
