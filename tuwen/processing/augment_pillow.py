"""RandAugment of Pillow pictures, with the ranges that METER and BridgeTower train with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from random import Random

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from tuwen.errors import UsageError

Change = Callable[[Image.Image, float], Image.Image]
STEPS = 30  # magnitudes are counted from 0 to this


@dataclass(frozen=True)
class Operation:
    """A change of a picture and the values at magnitude 0 and 30; signed ones go either way."""

    change: Change
    low: float
    high: float
    signed: bool = False

    def value(self, magnitude: float) -> float:
        return magnitude / STEPS * (self.high - self.low) + self.low


def _affine(image: Image.Image, *matrix: float) -> Image.Image:
    """Pixel (x, y) is taken from (a x + b y + c, d x + e y + f), the nearest one; black outside."""
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def _posterize(image: Image.Image, bits: float) -> Image.Image:
    return ImageOps.posterize(image, max(1, int(bits)))


def _solarize_brighter(image: Image.Image, addition: float) -> Image.Image:
    brighter = np.clip(np.asarray(image) + addition, 0, 255).astype(np.uint8)
    return ImageOps.solarize(Image.fromarray(brighter), 128)


OPERATIONS: dict[str, Operation] = {  # in the original's order, which decides what a draw means
    "AutoContrast": Operation(lambda image, _: ImageOps.autocontrast(image), 0, 1),
    "Equalize": Operation(lambda image, _: ImageOps.equalize(image), 0, 1),
    "Rotate": Operation(lambda image, degrees: image.rotate(degrees), 0, 30, signed=True),
    "Posterize": Operation(_posterize, 0, 4),
    "Solarize": Operation(lambda image, threshold: ImageOps.solarize(image, ceil(threshold)), 0, 256),
    "SolarizeAdd": Operation(_solarize_brighter, 0, 110),
    "Color": Operation(lambda image, factor: ImageEnhance.Color(image).enhance(factor), 0.1, 1.9),
    "Contrast": Operation(lambda image, factor: ImageEnhance.Contrast(image).enhance(factor), 0.1, 1.9),
    "Brightness": Operation(lambda image, factor: ImageEnhance.Brightness(image).enhance(factor), 0.1, 1.9),
    "Sharpness": Operation(lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor), 0.1, 1.9),
    "ShearX": Operation(lambda image, shear: _affine(image, 1, shear, 0, 0, 1, 0), 0, 0.3, signed=True),
    "ShearY": Operation(lambda image, shear: _affine(image, 1, 0, 0, shear, 1, 0), 0, 0.3, signed=True),
    "TranslateXabs": Operation(lambda image, pixels: _affine(image, 1, 0, pixels, 0, 1, 0), 0, 100, signed=True),
    "TranslateYabs": Operation(lambda image, pixels: _affine(image, 1, 0, 0, 0, 1, pixels), 0, 100, signed=True),
}


@dataclass(frozen=True)
class RandAugment:
    """`count` operations one after the other, drawn with replacement, all of one magnitude from 0 to 30."""

    count: int
    magnitude: float

    def __post_init__(self) -> None:
        if self.count < 0 or not 0 <= self.magnitude <= STEPS:
            raise UsageError(
                f"RandAugment({self.count}, {self.magnitude}): expected a count from 0, a magnitude from 0 to {STEPS}"
            )

    def __call__(self, image: Image.Image, draw: Random) -> Image.Image:
        """An RGB picture, changed; the draws are the original's of the module `random`, in their order."""
        for operation in draw.choices(list(OPERATIONS.values()), k=self.count):
            value = operation.value(self.magnitude)
            if operation.signed and draw.random() > 0.5:
                value = -value
            image = operation.change(image, value)
        return image
