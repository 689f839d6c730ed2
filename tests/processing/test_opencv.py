"""OpenCV's decoding and bilinear resize, against a plain telling of each, one pixel at a time."""

from __future__ import annotations

import io
from math import floor
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.processing.pictures import encoded, in_every_mode, noise, smooth
from tuwen.errors import InputError
from tuwen.processing.image import ImagePipeline
from tuwen.processing.opencv import as_decoded, resize_bilinear
from tuwen.processing.resize import Pixels

DECODED = ImagePipeline(None, rgb="opencv")


def told(pixels: Pixels, height: int, width: int) -> Pixels:
    """One channel (H, W) -> (height, width), as OpenCV 4.6 does it."""

    def place(number: int, count: int, of: int) -> tuple[int, np.float32]:
        exact = np.float32((number + 0.5) * (1 / (count / of)) - 0.5)
        return floor(exact), exact - np.float32(floor(exact))

    def weights(share: np.float32) -> tuple[int, int]:
        one = np.float32(1) - share
        return int(np.rint(one * np.float32(2048))), int(np.rint(share * np.float32(2048)))

    def along(row: int, column: int) -> int:
        start, share = place(column, width, pixels.shape[1])
        if start < 0 or start >= pixels.shape[1] - 1:
            start, share = min(max(start, 0), pixels.shape[1] - 1), np.float32(0)
        first, second = weights(share)
        row = min(max(row, 0), pixels.shape[0] - 1)
        return int(pixels[row, start]) * first + int(pixels[row, min(start + 1, pixels.shape[1] - 1)]) * second

    resized = np.zeros((height, width), dtype=np.uint8)
    for row in range(height):
        start, share = place(row, height, pixels.shape[0])
        upper, lower = weights(share)
        for column in range(width):
            above, below = along(start, column) >> 4, along(start + 1, column) >> 4
            resized[row, column] = ((above * upper >> 16) + (below * lower >> 16) + 2) >> 2
    return resized


def test_bilinear_is_opencvs_integer_by_integer() -> None:
    draw = Random(4)
    shapes = [[draw.randrange(1, 40) for _ in range(4)] for _ in range(25)]
    for width, height, new_width, new_height in [*shapes, [1, 1, 5, 3], [9, 1, 4, 6], [1, 9, 4, 6], [8, 8, 8, 5]]:
        pixels = noise(width, height)
        resized = resize_bilinear(pixels, (new_height, new_width))
        for channel in range(3):
            assert np.array_equal(resized[..., channel], told(pixels[..., channel], new_height, new_width))


def test_the_same_size_is_the_same_picture_and_half_of_it_the_mean_of_four() -> None:
    pixels = noise(12, 10)
    assert np.array_equal(resize_bilinear(pixels, (10, 12)), pixels)
    whole = pixels.astype(int)
    four = whole[::2, ::2] + whole[1::2, ::2] + whole[::2, 1::2] + whole[1::2, 1::2]
    assert np.array_equal(resize_bilinear(pixels, (5, 6)), (four + 2) >> 2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_turns_a_jpeg_and_a_png_and_nothing_else(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(smooth(30, 20), kind, exif=exif)
    with Image.open(io.BytesIO(content)) as opened:
        expected = opened if kind == "WEBP" else ImageOps.exif_transpose(opened)
        assert np.array_equal(DECODED.pixels(content), np.asarray(expected.convert("RGB")))


def test_damaged_exif_leaves_a_picture_as_it_is() -> None:
    for exif in (b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0" + bytes(40)):
        picture = smooth(30, 20)
        assert DECODED.pixels(encoded(picture, "PNG", exif=exif)).shape == (20, 30, 3)


def test_deep_grey_keeps_its_upper_byte_and_inks_are_multiplied_in_whole_numbers() -> None:
    modes = in_every_mode(9, 7)
    with Image.open(io.BytesIO(modes["I;16"])) as deep:
        levels = np.asarray(deep) >> 8
    assert np.array_equal(DECODED.pixels(modes["I;16"]), np.repeat(levels[..., None], 3, axis=2))
    with Image.open(io.BytesIO(modes["CMYK JPEG"])) as inks:
        stored = 255 - np.asarray(inks).astype(int)
    light = DECODED.pixels(modes["CMYK JPEG"])
    for place in np.ndindex(light.shape):
        colour, black = stored[place], stored[*place[:2], 3]
        assert light[place] == black - ((255 - colour) * black >> 8)


def test_other_modes_are_what_pillow_makes_of_them_without_transparency() -> None:
    opaque = ImagePipeline(None, rgb="opaque")
    for mode, content in in_every_mode(9, 7).items():
        if mode not in ("I;16", "CMYK JPEG"):
            assert np.array_equal(DECODED.pixels(content), opaque.pixels(content)), mode


def test_a_picture_that_is_passed_is_not_changed() -> None:
    with Image.open(io.BytesIO(in_every_mode(9, 7)["I;16"])) as deep:
        before = np.array(deep)
        as_decoded(deep)
        assert deep.mode.startswith("I;16") and np.array_equal(np.asarray(deep), before)


def test_a_gif_is_refused_by_name() -> None:
    content = encoded(smooth(30, 20), "GIF")
    with pytest.raises(InputError, match=r"row 3: it is a GIF, which the original .* does not read"):
        ImagePipeline.ernie(24).pixels(content, "row 3")
