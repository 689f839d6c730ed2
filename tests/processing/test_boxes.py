"""Boxes from wherever they come, scaled as the original scales them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuwen.errors import InputError, UsageError
from tuwen.processing.boxes import fitted, padded, prepare, read_boxes

BOXES = [[0, 0, 10, 20], [5, 5.5, 40, 30]]


def test_lists_arrays_tensors_rows_and_files_give_the_same_boxes(tmp_path: Path) -> None:
    array = np.array(BOXES, dtype=np.float32)
    np.savez(tmp_path / "one.npz", bbox=array, num_bbox=2)
    np.save(tmp_path / "one.npy", array)
    row = {"image_id": "a.jpg", "bbox": BOXES}
    for given in (BOXES, array, torch.from_numpy(array), row, tmp_path / "one.npz", str(tmp_path / "one.npy")):
        boxes = read_boxes(given)
        assert boxes.dtype == np.float64 and boxes.tolist() == BOXES


@pytest.mark.parametrize("none", [[], (), np.zeros((0, 4)), {"bbox": []}], ids=str)
def test_no_boxes_are_boxes_too(none: Any) -> None:
    assert read_boxes(none).shape == (0, 4)
    assert fitted(read_boxes(none), 30, 40, 380).tolist() == [[0, 0, 380, 380]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[0, 0, 1, 1], [0, 0, 1]], r"line 4: box 2 is \[0, 0, 1\], expected four numbers"),
        ([[0, 0, 1, float("nan")]], "box 1 is"),
        ([[0, 0, 1, float("inf")]], "box 1 is"),
        ([[0, 0, 1, "wide"]], "box 1 is"),
        ([0, 0, 1, 1], "box 1 is 0"),
        (np.zeros((2, 3)), "box 1 is"),
        (np.zeros((0, 3)), r"the shape \(0, 3\)"),
        ("", "cannot be read"),
        (7, "7 is int, not a list of boxes"),
        (None, "None is NoneType, not a list"),
        ({"image_id": "a.jpg"}, r"line 4 has no 'bbox', only image_id: \[\] means no boxes"),
        ({"bbox": None}, "not a list"),
        ({"bbox": {"x": 1}}, "is dict, not a list"),
    ],
    ids=str,
)
def test_what_is_not_a_box_is_refused_with_its_number(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_boxes(given, "line 4")


def test_files_without_boxes_are_named(tmp_path: Path) -> None:
    other, text, objects = tmp_path / "other.npz", tmp_path / "text.npz", tmp_path / "objects.npz"
    np.savez(other, x=np.zeros(3))
    text.write_text("no numbers")
    np.savez(objects, bbox=np.array([{}], dtype=object))
    for path, message in ((other, "has no 'bbox', only x"), (text, "cannot be read"), (objects, "cannot be read")):
        with pytest.raises(InputError, match=f"{path.name} {message}"):
            read_boxes(path)


def test_boxes_are_scaled_in_doubles_and_the_whole_picture_comes_last() -> None:
    boxes = fitted(read_boxes(BOXES), 30, 40, 380)
    expected = [[0, 0, 10 * (380 / 40), 20 * (380 / 30)], [5 * (380 / 40), 5.5 * (380 / 30), 380, 380]]
    assert boxes.dtype == np.float32
    assert boxes.tolist() == np.array([*expected, [0, 0, 380, 380]]).astype(np.float32).tolist()


def test_the_first_boxes_are_kept_up_to_a_number_that_counts_the_whole_picture() -> None:
    many = read_boxes(np.arange(200).reshape(50, 4))
    assert len(fitted(many, 30, 40, 380)) == 37
    assert fitted(many, 30, 40, 40, length=3)[:, 0].tolist() == [0, 4, 0]
    assert fitted(many, 30, 40, 40, length=1).tolist() == [[0, 0, 40, 40]]
    with pytest.raises(UsageError, match="length is 0"):
        fitted(many, 30, 40, 40, length=0)


OUTSIDE = ([-2, 0, 5, 9], [0, -1.5, 5, 9], [0, 0, 42, 9], [0, 0, 5, 31.5], [50, 50, 60, 60], [60, 0, 5, 9])
ODD = ([9, 0, 5, 9], [0, 9, 5, 9], [5, 5, 5, 5], [-1, -0.5, 41, 31])


@pytest.mark.parametrize("box", OUTSIDE, ids=str)
def test_a_box_outside_the_picture_is_kept_unless_it_is_to_be_checked(box: list[float]) -> None:
    boxes = read_boxes([[0, 0, 40, 30], box])
    assert fitted(boxes, 30, 40, 40)[1, 0] == box[0]
    with pytest.raises(InputError, match=r"line 4: box 2 of 2 is \(.*\), outside the picture of 40 x 30 pixels"):
        fitted(boxes, 30, 40, 40, check=True, name="line 4")
    assert len(fitted(boxes, 30, 40, 40, length=2, check=True)) == 2  # one that is not looked at does no harm


@pytest.mark.parametrize("box", ODD, ids=str)
def test_a_reversed_or_empty_box_and_one_beyond_the_edge_by_a_pixel_are_taken(box: list[float]) -> None:
    boxes = read_boxes([box])
    assert fitted(boxes, 30, 40, 40, check=True).tolist() == fitted(boxes, 30, 40, 40).tolist()


def test_a_batch_is_padded_behind_and_the_mask_says_so() -> None:
    boxes, mask = padded([fitted(read_boxes(BOXES), 30, 40, 40), fitted(read_boxes([]), 30, 40, 40)])
    assert boxes.shape == (2, 3, 4) and boxes.dtype == torch.float32
    assert mask.tolist() == [[True] * 3, [True, False, False]]
    assert boxes[1].tolist() == [[0, 0, 40, 40], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert padded([fitted(read_boxes(BOXES), 30, 40, 40)], 37)[0].shape == (1, 37, 4)
    with pytest.raises(UsageError, match="up to 3 boxes each, for 2 places"):
        padded([fitted(read_boxes(BOXES), 30, 40, 40)], 2)


def test_pictures_without_boxes_may_be_among_others_and_errors_say_which_picture() -> None:
    boxes, mask = prepare([BOXES, None, []], [(30, 40)] * 3, 40)
    assert mask.sum(1).tolist() == [3, 1, 1] and boxes[1, 0].tolist() == [0, 0, 40, 40]
    with pytest.raises(InputError, match="boxes of picture 2 of 2: box 1 is"):
        prepare([[], [[1, 2]]], [(30, 40)] * 2, 40)
    with pytest.raises(InputError, match=r"boxes of picture 1 of 1: box 1 of 2 is \(0, 0, 10, 20\)"):
        prepare([BOXES], [(10, 10)], 40, check=True)
    with pytest.raises(UsageError, match="boxes for 1 of 2 pictures"):
        prepare([BOXES], [(30, 40)] * 2, 40)
