"""Operations on arrays, where their results can be told without OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import RandomState

from tests.processing.pictures import noise
from tuwen.errors import UsageError
from tuwen.processing.augment_arrays import FILL, OPERATIONS, RandomAugment, sharpness, translate_x, warp
from tuwen.processing.augment_pillow import OPERATIONS as PILLOW_OPERATIONS

PIXELS = noise(17, 13)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shape", [(13, 17), (1, 1), (1, 9), (2, 2)], ids=str)
def test_every_operation_keeps_shape_and_type_and_leaves_its_input_alone(name: str, shape: tuple[int, int]) -> None:
    pixels = noise(shape[1], shape[0])
    kept = pixels.copy()
    for magnitude in (0, 5, 10):
        operation = OPERATIONS[name]
        changed = operation(pixels, operation.value(magnitude, RandomState(1)))
        assert changed.shape == pixels.shape and changed.dtype == np.uint8
    assert np.array_equal(pixels, kept)


def test_moving_by_whole_pixels_moves_and_fills_with_grey() -> None:
    moved = translate_x(PIXELS, -3)  # the original's sign: to the right
    assert np.array_equal(moved[:, 3:], PIXELS[:, :-3])
    assert (moved[:, :3] == FILL).all()


def test_moving_by_half_a_pixel_is_the_mean_of_two() -> None:
    moved = warp(PIXELS, [[1, 0, 0.5], [0, 1, 0]]).astype(float)
    assert np.abs(moved[:, 1:] - (PIXELS[:, 1:].astype(float) + PIXELS[:, :-1]) / 2).max() <= 0.5


def test_warps_may_move_everything_out() -> None:
    assert (warp(PIXELS, [[1, 0, 1000], [0, 1, 0]]) == FILL).all()
    assert (warp(PIXELS, [[1, 0, 0], [0, 1, -1000]]) == FILL).all()


def test_a_contrast_is_stretched_only_where_black_is_there_already() -> None:
    dark = PIXELS // 2
    dark[0, 0] = 0
    assert OPERATIONS["AutoContrast"](dark, None).max() == 255
    assert np.median(OPERATIONS["AutoContrast"](np.maximum(dark, 9), None)) == 255  # as the original does it


def test_posterizing_solarizing_and_equalizing_are_pillows() -> None:
    from PIL import Image

    big = noise(64, 64) // 3
    picture = Image.fromarray(big)
    for name, value in (("Posterize", 3), ("Solarize", 60), ("Equalize", None)):
        theirs = PILLOW_OPERATIONS[name].change(picture, value or 0)
        assert np.array_equal(OPERATIONS[name](big, value), np.asarray(theirs)), name


def test_sharpness_keeps_the_border_and_one_is_the_picture() -> None:
    assert sharpness(PIXELS, 1) is PIXELS
    half = sharpness(PIXELS, 0.5)
    assert np.array_equal(half[0], PIXELS[0]) and not np.array_equal(half[1:-1], PIXELS[1:-1])


def test_half_of_the_operations_are_left_out() -> None:
    solarize = RandomAugment(1, 5, ("Solarize",))
    changed = [not np.array_equal(solarize(PIXELS, RandomState(seed)), PIXELS) for seed in range(60)]
    assert 15 < sum(changed) < 45


@pytest.mark.parametrize(("settings", "message"), [((2, 11), "magnitude to 10"), ((2, 5, ("Blur",)), "'Blur'")])
def test_wrong_settings_are_refused(settings: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RandomAugment(*settings)  # type: ignore[arg-type]
