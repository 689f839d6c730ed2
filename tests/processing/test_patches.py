"""Which patches a box covers, over the whole picture and over what the model sees of it."""

from __future__ import annotations

import pytest

from tuwen.errors import InputError, UsageError
from tuwen.processing.image import ImagePipeline
from tuwen.processing.patches import Area, area_of, check_box, nearest_patches, patches

SQUARE = Area(0, 0, 80, 80)
PIPELINE = ImagePipeline(size=32, crop=(32, 32))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 80, 80), list(range(16))),
        ((0, 0, 19.9, 19.9), [0]),
        ((0, 0, 20, 20), [0, 1, 4, 5]),  # an edge belongs to the patch that begins there
        ((45, 25, 50, 65), [6, 10, 14]),
        ((-7, -7, 1000, 5), [0, 1, 2, 3]),
        ((80, 0, 90, 10), []),
        ((-9, 0, -1, 10), []),
        ((0, 81, 10, 99), []),
    ],
)
def test_a_box_means_the_patches_that_it_touches(box: tuple[float, ...], expected: list[int]) -> None:
    assert patches(box, SQUARE, 4) == expected


def test_a_box_outside_what_is_seen_means_the_nearest_patches() -> None:
    assert nearest_patches((100, 30, 120, 45), SQUARE, 4) == [7, 11]
    assert nearest_patches((-50, -50, -20, -20), SQUARE, 4) == [0]
    assert nearest_patches((45, 25, 50, 65), SQUARE, 4) == patches((45, 25, 50, 65), SQUARE, 4)


def test_the_model_sees_the_middle_of_a_wide_picture() -> None:
    area = area_of(PIPELINE, 128, 64, "crop")
    assert area == Area(32, 0, 96, 64)
    assert patches((32, 0, 47, 15), area, 4) == [0]
    assert patches((0, 0, 31, 15), area, 4) == []
    assert area_of(PIPELINE, 64, 128, "crop") == Area(0, 32, 64, 96)


def test_on_a_square_picture_both_mappings_are_the_same() -> None:
    assert area_of(PIPELINE, 80, 80, "crop") == area_of(PIPELINE, 80, 80, "whole") == SQUARE


def test_the_whole_picture_is_seen_where_nothing_is_cropped() -> None:
    assert area_of(ImagePipeline(size=(32, 32)), 128, 64, "crop") == Area(0, 0, 128, 64)


def test_the_area_reaches_beyond_a_picture_that_is_padded() -> None:
    assert area_of(ImagePipeline(size=None, crop=(32, 32)), 16, 32, "crop") == Area(-8, 0, 24, 32)


def test_an_unknown_mapping_is_refused() -> None:
    with pytest.raises(UsageError, match="whole, crop"):
        area_of(PIPELINE, 1, 1, "centre")


@pytest.mark.parametrize("box", [(80, 0, 90, 10), (0, 60, 10, 70), (-9, 0, -1, 10), (0, -9, 10, -1)])
def test_a_box_outside_the_picture_is_refused_with_both_sizes(box: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"box 3 .* outside the picture; the picture is 80 x 60"):
        check_box(box, 80, 60, 3)


@pytest.mark.parametrize(
    "box", [(1, 2, 3), (0, 0, float("nan"), 5), (0, 0, float("inf"), 5), (9, 0, 3, 5), (0, 9, 5, 3)]
)
def test_a_box_without_four_edges_in_order_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="box 0 is"):
        check_box(box, 80, 60, 0)


@pytest.mark.parametrize("box", [(0, 0, 80, 60), (-5, -5, 0, 0), (79.9, 59.9, 200, 200, 0.5)])
def test_a_box_that_touches_the_picture_covers_a_patch(box: tuple[float, ...]) -> None:
    check_box(box, 80, 60, 0)
    assert patches(box, Area(0, 0, 80, 60), 4)
