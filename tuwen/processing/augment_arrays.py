"""RandomAugment of arrays as BLIP and BridgeTower train with it, in OpenCV's arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any

import numpy as np
from numpy.random import RandomState

from tuwen.errors import UsageError
from tuwen.processing.resize import Pixels

Numbers = np.ndarray[Any, np.dtype[Any]]
STEPS = 10  # magnitudes are counted from 0 to this
FILL = 128  # the grey of what a warp moves in from outside
# OpenCV's RGB weights of lightness. Its pictures are BGR; the original passes RGB, so red and blue are swapped.
LIGHTNESS = (0.114, 0.587, 0.299)
GEOMETRIC_AND_LIGHT = (  # what BLIP's and BridgeTower's transforms choose from
    "Identity",
    "AutoContrast",
    "Brightness",
    "Sharpness",
    "Equalize",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
)


def autocontrast(pixels: Pixels) -> Pixels:
    """Each channel stretched so that its darkest value is 0 and its brightest 255, if the darkest was 0 before.

    Otherwise nearly everything becomes 255: the original negates the darkest value as a byte, 256 - low, and moves
    brighter by that instead of darker. The published models were trained with it.
    """
    return _by_channel(pixels, _stretching)


def _stretching(channel: Pixels) -> Pixels:
    low, high = int(channel.min()), int(channel.max())
    levels = np.arange(256)
    if high <= low:
        return levels.astype(np.uint8)
    scale = 255 / (high - low)
    return (levels * scale + (-low % 256) * scale).clip(0, 255).astype(np.uint8)


def equalize(pixels: Pixels) -> Pixels:
    """Each channel with all values about equally frequent."""
    return _by_channel(pixels, _equalizing)


def _equalizing(channel: Pixels) -> Pixels:
    counts = np.bincount(channel.ravel(), minlength=256)
    step = (counts.sum() - counts[counts > 0][-1]) // 255
    if step == 0:
        return np.arange(256, dtype=np.uint8)
    before = np.concatenate([[step // 2], counts[:-1]]).cumsum()
    return (before // step).clip(0, 255).astype(np.uint8)


def _by_channel(pixels: Pixels, table_of: Callable[[Pixels], Pixels]) -> Pixels:
    return np.stack([table_of(channel)[channel] for channel in np.moveaxis(pixels, 2, 0)], axis=2)


def solarize(pixels: Pixels, threshold: float) -> Pixels:
    return np.where(pixels < threshold, pixels, 255 - pixels)


def posterize(pixels: Pixels, bits: float) -> Pixels:
    return pixels & np.uint8(0xFF << (8 - int(bits)) & 0xFF)


def color(pixels: Pixels, factor: float) -> Pixels:
    """Between its lightness (0) and the picture (1)."""
    weights = np.array(LIGHTNESS, dtype=np.float32)[:, None]
    matrix = (np.eye(3, dtype=np.float32) - weights) * np.float32(factor) + weights
    return (pixels @ matrix).clip(0, 255).astype(np.uint8)


def contrast(pixels: Pixels, factor: float) -> Pixels:
    """Between the mean lightness (0) and the picture (1)."""
    mean = (pixels.mean(axis=(0, 1)) * LIGHTNESS).sum()
    return ((np.arange(256) - mean) * factor + mean).clip(0, 255).astype(np.uint8)[pixels]


def brightness(pixels: Pixels, factor: float) -> Pixels:
    return (np.arange(256, dtype=np.float32) * np.float32(factor)).clip(0, 255).astype(np.uint8)[pixels]


def sharpness(pixels: Pixels, factor: float) -> Pixels:
    """Between a blurred picture (0) and the picture (1); above 1 sharper. The outermost pixels stay as they are."""
    if factor == 1:
        return pixels
    kernel = np.full((3, 3), 1 / 13, dtype=np.float32)
    kernel[1, 1] = 5 / 13
    around = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="reflect" if min(pixels.shape[:2]) > 1 else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(0, 1))
    blurred = np.rint(np.einsum("hwcij,ij->hwc", windows, kernel))
    if factor == 0:
        return blurred.astype(np.uint8)
    sharp = pixels.astype(np.float32)
    inside = (slice(1, -1), slice(1, -1))
    sharp[inside] = blurred[inside] + np.float32(factor) * (sharp[inside] - blurred[inside])
    return sharp.astype(np.int32).astype(np.uint8)  # beyond 0 and 255 the original wraps around, and so does this


def rotate(pixels: Pixels, degrees: float) -> Pixels:
    """Counter-clockwise about the middle."""
    height, width = pixels.shape[:2]
    x, y = width / 2, height / 2
    along, across = cos(radians(degrees)), sin(radians(degrees))
    shift = [(1 - along) * x - across * y, across * x + (1 - along) * y]
    return warp(pixels, [[along, across, shift[0]], [-across, along, shift[1]]])


def shear_x(pixels: Pixels, shear: float) -> Pixels:
    return warp(pixels, np.array([[1, shear, 0], [0, 1, 0]], dtype=np.float32))


def shear_y(pixels: Pixels, shear: float) -> Pixels:
    return warp(pixels, np.array([[1, 0, 0], [shear, 1, 0]], dtype=np.float32))


def translate_x(pixels: Pixels, offset: float) -> Pixels:
    return warp(pixels, np.array([[1, 0, -offset], [0, 1, 0]], dtype=np.float32))


def translate_y(pixels: Pixels, offset: float) -> Pixels:
    return warp(pixels, np.array([[1, 0, 0], [0, 1, -offset]], dtype=np.float32))


def warp(pixels: Pixels, matrix: Any) -> Pixels:
    """uint8 (H, W, 3) moved by `matrix` (2, 3), (x, y, 1) -> (x', y'); bilinear between 32nds of a pixel, grey outside.

    OpenCV's `warpAffine`: places are rounded to 1/1024 and then to 1/32 of a pixel, weights to 1/32768.
    """
    height, width = pixels.shape[:2]
    columns, rows = np.arange(width), np.arange(height)
    places = [  # (H, W) in 32nds of a pixel, x and y; 16 of 1024 is half a 32nd
        (_in_1024ths(a * columns) + _in_1024ths(b * rows + c)[:, None] + 16) >> 5 for a, b, c in _inverse(matrix)
    ]
    (left, top), (right_share, below_share) = [place >> 5 for place in places], [place & 31 for place in places]
    framed = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), constant_values=FILL).astype(np.int32)
    total = np.full(pixels.shape, 1 << 14, dtype=np.int32)
    for down in (0, 1):
        for right in (0, 1):
            weight = (below_share if down else 32 - below_share) * (right_share if right else 32 - right_share) * 32
            y, x = (top + down).clip(-1, height) + 1, (left + right).clip(-1, width) + 1
            total += framed[y, x] * weight[..., None]
    return (total >> 15).astype(np.uint8)


def _inverse(matrix: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The way back, in OpenCV's order of steps."""
    (a, b, c), (d, e, f) = np.asarray(matrix, dtype=np.float64).tolist()
    scale = 1 / (a * e - b * d)
    a, b, d, e = e * scale, -b * scale, -d * scale, a * scale
    return (a, b, -a * c - b * f), (d, e, -d * c - e * f)


def _in_1024ths(places: Numbers) -> Numbers:
    return np.rint(places * 1024).astype(np.int32)


@dataclass(frozen=True)
class Operation:
    """A change of uint8 (H, W, 3), its value at magnitude 0, None where it has none, and how much more it is at 10.

    signed: which side of 0.5 a draw must fall on to turn the value round. whole: values are cut to whole numbers.
    """

    change: Callable[..., Pixels]
    low: float | None = None
    span: float = 0
    signed: str = ""
    whole: bool = False

    def value(self, magnitude: float, draw: RandomState) -> float | None:
        """The value at a magnitude, turned round by chance where the operation is signed."""
        if self.low is None:
            return None
        value = magnitude / STEPS * self.span + self.low
        if self.whole:
            return int(value)
        if self.signed:
            drawn = draw.random_sample()
            return -value if (drawn > 0.5 if self.signed == "above" else drawn < 0.5) else value
        return value

    def __call__(self, pixels: Pixels, value: float | None) -> Pixels:
        return self.change(pixels) if value is None else self.change(pixels, value)


OPERATIONS: dict[str, Operation] = {  # in the original's order, which decides what a draw means
    "Identity": Operation(lambda pixels: pixels),
    "AutoContrast": Operation(autocontrast),
    "Equalize": Operation(equalize),
    "Rotate": Operation(rotate, 0, 30, signed="below"),
    "Solarize": Operation(solarize, 0, 256, whole=True),
    "Color": Operation(color, 0.1, 1.8),
    "Contrast": Operation(contrast, 0.1, 1.8),
    "Brightness": Operation(brightness, 0.1, 1.8),
    "Sharpness": Operation(sharpness, 0.1, 1.8),
    "ShearX": Operation(shear_x, 0, 0.3, signed="above"),
    "TranslateX": Operation(translate_x, 0, 10, signed="above"),
    "TranslateY": Operation(translate_y, 0, 10, signed="above"),
    "Posterize": Operation(posterize, 0, 4, whole=True),
    "ShearY": Operation(shear_y, 0, 0.3, signed="above"),
}


@dataclass(frozen=True)
class RandomAugment:
    """`count` operations drawn with replacement, each then done with a chance of one half, of one magnitude to 10."""

    count: int
    magnitude: float
    names: Sequence[str] = GEOMETRIC_AND_LIGHT

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in OPERATIONS]
        if unknown or not self.names:
            raise UsageError(f"operations {unknown} do not exist, expected some of {', '.join(OPERATIONS)}")
        if self.count < 0 or not 0 <= self.magnitude <= STEPS:
            raise UsageError(
                f"RandomAugment({self.count}, {self.magnitude}): expected a count from 0 and a magnitude to {STEPS}"
            )

    def __call__(self, pixels: Pixels, draw: RandomState) -> Pixels:
        """uint8 (H, W, 3), changed; the draws are the original's of `numpy.random`, in their order."""
        for name in draw.choice(list(self.names), self.count):
            if draw.random_sample() > 0.5:
                continue
            operation = OPERATIONS[name]
            pixels = operation(pixels, operation.value(self.magnitude, draw))
        return pixels
