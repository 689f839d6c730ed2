"""Every way to resize, against Pillow or torch."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from tests.processing.pictures import PILLOW_RESIZES_ALIKE, noise
from tuwen.processing.resize import (
    covering_size,
    limited_size,
    resize_exact,
    resize_fast,
    resize_floats,
    shorter_edge_size,
)

BICUBIC = Image.Resampling.BICUBIC


def shapes(count: int) -> list[tuple[int, int, int, int]]:
    draw = Random(0)
    return [tuple(int(2 ** draw.uniform(1, 8)) for _ in range(4)) for _ in range(count)]  # type: ignore[misc]


@pytest.mark.skipif(not PILLOW_RESIZES_ALIKE, reason="this Pillow resizes in another order")
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "CMYK", "F"])
def test_the_exact_way_is_pillow_bit_for_bit(mode: str) -> None:
    for width, height, new_width, new_height in shapes(60):
        black_and_white = Image.fromarray((noise(width, height, 4) & 1) * 255).convert(mode)
        resized = resize_exact(black_and_white, (new_height, new_width), BICUBIC)
        assert resized.tobytes() == black_and_white.resize((new_width, new_height), BICUBIC).tobytes()


def test_tall_pictures_are_resized_vertically_first_whatever_the_version_of_pillow() -> None:
    tall = Image.fromarray((noise(40, 200) & 1) * 255)
    expected = tall.resize((40, 32), BICUBIC).resize((32, 32), BICUBIC)
    other = tall.resize((32, 200), BICUBIC).resize((32, 32), BICUBIC)
    assert resize_exact(tall, (32, 32), BICUBIC).tobytes() == expected.tobytes() != other.tobytes()


def test_width_first_is_what_pillow_did_until_version_12() -> None:
    tall = Image.fromarray((noise(40, 200) & 1) * 255)
    expected = tall.resize((32, 200), BICUBIC).resize((32, 32), BICUBIC)
    assert resize_exact(tall, (32, 32), BICUBIC, width_first=True).tobytes() == expected.tobytes()
    fast = resize_fast(np.array(tall), (32, 32), width_first=True)
    assert np.abs(fast.astype(int) - np.asarray(expected)).max() <= 2


def test_the_longer_edge_is_limited_and_both_are_multiples() -> None:
    # 288 * 1333 / 800 is 479, of which 448 is the last multiple of 32
    assert limited_size(480, 640, 288, 32) == (288, 384)
    assert limited_size(640, 480, 294, 32) == (384, 288)
    assert limited_size(480, 1280, 288, 32) == (160, 448)
    assert limited_size(10, 1000, 288, 32) == (32, 448)
    assert limited_size(500, 333, 800, 1) == (1201, 800)


def test_the_longer_edge_is_cut_to_a_whole_pixel() -> None:
    assert shorter_edge_size(480, 641, 224) == (224, 299)
    assert shorter_edge_size(641, 480, 224) == (299, 224)
    assert shorter_edge_size(7, 7, 224) == (224, 224)


def test_a_longer_edge_that_covers_is_one_more_even_of_most_squares() -> None:
    assert covering_size(480, 640, 224) == (224, 299)  # 298.67
    assert covering_size(448, 896, 224) == (224, 449)
    assert covering_size(896, 448, 224) == (449, 224)
    assert covering_size(224, 9000, 224) == (224, 9000)
    assert covering_size(500, 500, 224) == (224, 225)
    square = [edge for edge in range(1, 4001) if edge != 224 and covering_size(edge, edge, 224) == (224, 224)]
    assert square[:6] == [55, 71, 83, 95, 97, 107] and len(square) == 356  # where a division rounds down


def test_resizing_floats_is_torchs_without_antialiasing() -> None:
    for width, height, new_width, new_height in shapes(60):
        pixels = noise(width, height)
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        theirs = F.interpolate(planes, (new_height, new_width), mode="bilinear", align_corners=False)
        ours = resize_floats(pixels, (new_height, new_width))
        assert ours.dtype == np.float32
        assert np.abs(ours - theirs[0].permute(1, 2, 0).numpy()).max() < 1e-5


@pytest.mark.parametrize("mode", ["1", "P"])
def test_palettes_are_resized_to_the_nearest_pixel(mode: str) -> None:
    picture = Image.fromarray(noise(31, 17)).convert(mode)
    assert (
        resize_exact(picture, (9, 40), BICUBIC).tobytes() == picture.resize((40, 9), Image.Resampling.NEAREST).tobytes()
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("contrast", ["soft", "hard"])
def test_the_fast_way_is_at_most_two_levels_off_and_seldom_one(channels: int, contrast: str) -> None:
    off, values = 0, 0
    for width, height, new_width, new_height in shapes(60):
        drawn = noise(width, height, channels)
        pixels = np.where(drawn > 127, np.uint8(255), np.uint8(0)) if contrast == "hard" else drawn
        exact = np.asarray(resize_exact(Image.fromarray(pixels), (new_height, new_width), BICUBIC)).astype(int)
        fast = resize_fast(pixels.reshape(height, width, channels), (new_height, new_width))
        difference = np.abs(fast - exact.reshape(fast.shape))
        assert difference.max() <= 2
        off, values = off + int((difference > 0).sum()), values + difference.size
    assert off / values < 0.01
