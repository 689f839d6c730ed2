"""Decoding ahead: in order, bounded, and one bad picture hurts no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processing.pictures import encoded, noise, smooth
from tuwen.errors import InputError
from tuwen.processing.image import ImagePipeline
from tuwen.processing.prefetch import prepared

PIPELINE = ImagePipeline((8, 8))


@pytest.mark.parametrize("workers", [0, 1, 3, None])
def test_pictures_come_in_order(workers: int | None) -> None:
    pictures = [noise(9 + place % 5, 7, seed=place) for place in range(40)]
    results = list(prepared(pictures, PIPELINE, workers))
    assert [place for place, _ in results] == list(range(40))
    for picture, (_, pixels) in zip(pictures, results, strict=True):
        assert isinstance(pixels, np.ndarray) and np.array_equal(pixels, PIPELINE.pixels(picture))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_picture_comes_as_its_error(workers: int, tmp_path: Path) -> None:
    good = encoded(smooth(16, 16), "JPEG")
    results = [pixels for _, pixels in prepared([good, b"x", tmp_path / "none.png", good], PIPELINE, workers)]
    assert [isinstance(pixels, InputError) for pixels in results] == [False, True, True, False]
    assert str(results[1]).startswith("picture 2 of 4 (bytes) is not a picture")
    assert str(results[2]) == f"{tmp_path / 'none.png'} does not exist"


class Table(Sequence[bytes]):
    """Three pictures, of which the second has gone."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: Any) -> Any:
        if place == 1:
            raise InputError("row 2 is gone")
        return encoded(smooth(16, 16), "JPEG")


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_sequence_cannot_give_is_the_error_of_that_picture(workers: int) -> None:
    results = [pixels for _, pixels in prepared(Table(), PIPELINE, workers)]
    assert [isinstance(pixels, InputError) for pixels in results] == [False, True, False]
    assert str(results[1]) == "row 2 is gone"


def test_only_a_few_pictures_are_read_ahead() -> None:
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield noise(8, 8)

    stream = prepared(endless(), PIPELINE, workers=2)
    assert [next(stream)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert taken <= 5 + 2 * 4


def test_stopping_early_ends_the_threads() -> None:
    before = set(threading.enumerate())
    stream = prepared([noise(8, 8)] * 50, PIPELINE, workers=3)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_no_pictures_are_no_results() -> None:
    assert list(prepared([], PIPELINE)) == []
