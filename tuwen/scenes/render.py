"""Draw a scene at any size: the same layout, soft shadows, clean edges."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from tuwen.errors import UsageError
from tuwen.scenes.backgrounds import BACKGROUNDS, painted
from tuwen.scenes.pack import CELL, sprite
from tuwen.scenes.scene import Scene, Thing

Array = np.ndarray[Any, Any]

# Sides at which a cell is kept ready; drawing starts from the nearest one that is not smaller than what is wanted.
LEVELS = (18, 24, 36, 48, 72, 96, 192, 384)
PADDING = 1 / 6  # room around a cell for its shadow, as a part of the cell
SHADOW = 0.12  # how far a shadow reaches beyond the box, as a part of the cell
LARGEST = 4096


def render(scene: Scene, size: int) -> Image.Image:
    """The scene as an RGB picture of size x size pixels."""
    return Image.fromarray(pixels(scene, size))


def pixels(scene: Scene, size: int) -> Array:
    """The scene as uint8 (size, size, 3)."""
    if not 8 <= size <= LARGEST:
        raise UsageError(f"a scene can be drawn at 8 to {LARGEST} pixels per side, not {size}")
    canvas = painted(scene.background, scene.variant, size).copy()
    dark = BACKGROUNDS[scene.background].dark
    for thing in scene.things:
        left, top, drawn = _turned(thing, size, dark)
        height, width = drawn.shape[:2]
        under = canvas[top : top + height, left : left + width]
        # Premultiplied over: what is drawn, plus what shows through it; the shift divides by 255 with rounding.
        through = under * (255 - drawn[:, :, 3:]).astype(np.uint32)
        under[:] = drawn[:, :, :3] + ((through * 257 + 32896) >> 16).astype(np.uint8)
    return canvas


def _turned(thing: Thing, size: int, dark: bool) -> tuple[int, int, Array]:
    """(left, top, premultiplied RGBA) of a thing and its shadow, cut to the frame."""
    wanted = thing.size * size
    side = next((level for level in LEVELS if level >= wanted), LEVELS[-1])
    reach = SHADOW * thing.size
    left, top = (max(0, math.floor((low - reach) * size)) for low in thing.box[:2])
    right, bottom = (min(size, math.ceil((high + reach) * size)) for high in thing.box[2:])
    # Where in the kept cell each pixel of the frame comes from: the way back of turn, scale and shift.
    shrink = side / wanted
    cosine, sine = math.cos(math.radians(thing.angle)) * shrink, math.sin(math.radians(thing.angle)) * shrink
    x, y, middle = left - thing.x * size, top - thing.y * size, side * (0.5 + PADDING)
    way = (cosine, sine, cosine * x + sine * y + middle, -sine, cosine, -sine * x + cosine * y + middle)
    cell = (_cell if side <= CELL else _large_cell)(thing.glyph, side, dark)
    turned = cell.transform((right - left, bottom - top), Image.Transform.AFFINE, way, Image.Resampling.BILINEAR)
    return left, top, np.asarray(turned)


def _shadowed(glyph: int, side: int, dark: bool) -> Image.Image:
    """A glyph over its shadow, premultiplied RGBa, with padding; the shadow turns with the thing, which nobody sees."""
    padding = round(side * PADDING)
    whole = (side + 2 * padding, side + 2 * padding)
    cover = np.pad(np.asarray(_scaled(glyph, side), np.float32), ((padding, padding), (padding, padding), (0, 0)))
    silhouette = Image.fromarray(cover[:, :, 3].astype(np.uint8))
    if dark:
        behind = _shifted(silhouette, 0, 0, 0.05 * side) * 0.55
        tone = np.array([1, 1, 1, 1], np.float32)
    else:
        behind = _shifted(silhouette, 0.012 * side, 0.035 * side, 0.028 * side) * 0.34
        tone = np.array([0.06, 0.05, 0.12, 1], np.float32)
    result = cover + (1 - cover[:, :, 3:] / 255) * behind[:, :, None] * tone
    # RGB never above alpha, or the sum over a background would overflow.
    result = np.minimum(result + 0.5, 255).astype(np.uint8)
    result[:, :, :3] = np.minimum(result[:, :, :3], result[:, :, 3:])
    return Image.frombytes("RGBa", whole, result.tobytes(), "raw", "RGBa")


# Enough for all things at all the small sides, 22 kB each on average; those of large pictures take up to a megabyte.
_cell = lru_cache(maxsize=8192)(_shadowed)
_large_cell = lru_cache(maxsize=160)(_shadowed)


def _shifted(alpha: Image.Image, right: float, down: float, blur: float) -> Array:
    """The silhouette moved by parts of a pixel and blurred; float32 0..255."""
    moved = alpha.transform(alpha.size, Image.Transform.AFFINE, (1, 0, -right, 0, 1, -down), Image.Resampling.BILINEAR)
    return np.asarray(moved.filter(ImageFilter.GaussianBlur(blur)), np.float32)


def _scaled(glyph: int, side: int) -> Image.Image:
    """The picture of a glyph, premultiplied so that no dark or white fringe can arise, side x side."""
    drawn = sprite(glyph).convert("RGBa")
    if side == CELL:
        return drawn
    if side < CELL:
        return drawn.resize((side, side), Image.Resampling.BOX)
    return _crisp(drawn.resize((side, side), Image.Resampling.BICUBIC), side / CELL)


def _crisp(drawn: Image.Image, factor: float) -> Image.Image:
    """An enlarged picture with the stairs of its silhouette smoothed and its edge as narrow as before enlarging."""
    picture = np.asarray(drawn, np.float32)
    alpha = picture[:, :, 3]
    smooth = np.asarray(drawn.getchannel("a").filter(ImageFilter.GaussianBlur(0.45 * factor)), np.float32)
    edge = np.clip((smooth - 127.5) * (1 + 0.5 * (factor - 1)) + 127.5, 0, 255)
    picture = picture * (edge / np.maximum(alpha, 1))[:, :, None]
    picture[:, :, 3] = edge
    picture[:, :, :3] = np.minimum(picture[:, :, :3], edge[:, :, None])
    return Image.frombytes("RGBa", drawn.size, (picture + 0.5).clip(0, 255).astype(np.uint8).tobytes(), "raw", "RGBa")
