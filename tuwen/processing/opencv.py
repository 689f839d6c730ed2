"""What OpenCV does to pictures, without OpenCV: decoding in colour, and its bilinear resize of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from tuwen.errors import InputError
from tuwen.processing.resize import Floats, Pixels, Places, Size, needed_rows

Numbers = np.ndarray[Any, np.dtype[np.int32]]

# Of OpenCV 4.6, which the original pins.
UNREADABLE = ("GIF",)
TURNED = ("JPEG", "MPO", "PNG", None)  # formats in which it looks for an orientation; None: no file any more
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def as_decoded(image: Image.Image) -> Image.Image:
    """The picture as `cv2.imdecode(content, cv2.IMREAD_COLOR)` has it; what is left to do is a conversion to RGB.

    Turned as its EXIF orientation says; 16-bit grey keeps its upper byte; the inks of a CMYK JPEG become light by whole
    numbers. InputError for a format that OpenCV does not read.
    """
    if image.format in UNREADABLE:
        raise InputError(f"it is a {image.format}, which the original (OpenCV) does not read: save it as PNG or JPEG")
    turned = upright(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
    if image.mode == "CMYK" and image.format in ("JPEG", "MPO"):
        return Image.fromarray(_inks_to_light(np.asarray(turned)))
    return turned


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as the orientation in its EXIF says, where OpenCV looks for one."""
    turn = turn_of(image)
    return image if turn is None else image.transpose(turn)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How a picture must be turned to be upright, None for not at all."""
    content = image.info.get("exif")
    if not content or image.format not in TURNED:
        return None
    exif = Image.Exif()
    try:
        exif.load(content)
        return TURNS.get(exif.get(ORIENTATION, 1))
    except Exception:  # EXIF comes damaged in many ways; OpenCV then shows the picture as it is
        return None


def _inks_to_light(inks: Pixels) -> Pixels:
    """uint8 (H, W, 4), cyan to black as Pillow has them -> (H, W, 3), in the whole numbers of OpenCV's decoder."""
    stored = 255 - inks.astype(np.int32)  # Adobe stores them inverted, and OpenCV takes them as stored
    colours, black = stored[..., :3], stored[..., 3:]
    return (black - ((255 - colours) * black >> 8)).astype(np.uint8)


def resize_bilinear(pixels: Pixels, target: Size) -> Pixels:
    """uint8 (H, W, C) -> (H', W', C): `cv2.resize` with INTER_LINEAR, bit for bit; nothing is averaged beforehand.

    Weights are counted in 2048ths. Left and right of the middle of the outermost pixels the picture goes on as it is;
    above and below, both rows are the outermost one, which rounds differently.
    """
    height, width = pixels.shape[:2]
    if (height, width) == target:
        return pixels
    row, row_share = _places(target[0], height)
    column, column_share = _places(target[1], width)
    outside = (column < 0) | (column >= width - 1)
    left, right = _weights(np.where(outside, np.float32(0), column_share))  # (W',) each
    above, below = _weights(row_share)  # (H',) each
    rows, here = needed_rows(row.clip(0, height - 1), (row + 1).clip(0, height - 1))
    found = pixels.take(rows, axis=0)
    wide = found.take(column.clip(0, width - 1), axis=1) * left[:, None]  # (rows, W', C) int32
    wide += found.take((column + 1).clip(0, width - 1), axis=1) * right[:, None]
    wide >>= 4
    upper = wide.take(here[0], axis=0) * above[:, None, None] >> 16
    lower = wide.take(here[1], axis=0) * below[:, None, None] >> 16
    return ((upper + lower + 2) >> 2).astype(np.uint8)


def _places(count: int, of: int) -> tuple[Places, Floats]:
    """For each of `count` places the one of `of` before it, which may be outside, and how far it is beyond that."""
    scale = 1 / (count / of)  # not of / count, which rounds differently
    exact = ((np.arange(count) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(exact)
    return before.astype(np.int64), exact - before


def _weights(share: Floats) -> tuple[Numbers, Numbers]:
    """Shares in float32 -> the weights of the place before and of the one after, in 2048ths."""
    one, fine = np.float32(1), np.float32(2048)
    return np.rint((one - share) * fine).astype(np.int32), np.rint(share * fine).astype(np.int32)
