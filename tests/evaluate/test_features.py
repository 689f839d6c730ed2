"""Features are computed once, kept by content, and a run that stops loses little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.seeing import seeing
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate import contents, features
from tuwen.evaluate.features import image_features, text_features


def dataset(folder: Path, pictures: dict[str, bytes] | None = None, words: str = "red 1,blue 2,red 3") -> Dataset:
    folder.mkdir(exist_ok=True)
    texts = [Text(f"t{number}", text, ("a",)) for number, text in enumerate(words.split(","))]
    return Dataset("test", folder, PAIRS, pictures or {"a": b"red 1", "b": b"blue 2", "c": b"red 3"}, texts)


def test_features_are_in_the_order_of_the_dataset(tmp_path: Path) -> None:
    model, _ = seeing()
    image, text = image_features(model, dataset(tmp_path)), text_features(model, dataset(tmp_path))
    assert image.ids == ["a", "b", "c"]
    assert image.vectors.tolist() == [[1, 0, 1], [0, 2, 1], [3, 0, 1]]
    assert text.ids == ["t0", "t1", "t2"]
    assert text.vectors.dtype == np.float32


def test_a_second_metric_computes_nothing(tmp_path: Path) -> None:
    data, cache = dataset(tmp_path / "set"), tmp_path / "cache"
    model, one = seeing()
    first = image_features(model, data, cache), text_features(model, data, cache)
    again, nothing = seeing()
    second = image_features(again, data, cache), text_features(again, data, cache)
    assert len(one.pictures) == 3
    assert not nothing.pictures
    assert not nothing.texts
    for before, after in zip(first, second, strict=True):
        assert (before.kept, after.kept) == (False, True)
        assert np.array_equal(before.vectors, after.vectors)
        assert before.ids == after.ids


@pytest.mark.parametrize("change", ["model", "picture", "text", "order", "quotes"])
def test_another_model_or_content_is_computed_anew(tmp_path: Path, change: str) -> None:
    cache = tmp_path / "cache"
    model, _ = seeing()
    image_features(model, dataset(tmp_path / "one"), cache)
    text_features(model, dataset(tmp_path / "one"), cache)
    other, one = seeing()
    if change == "model":
        one.fingerprint = "fedcba9876543210"
    changed = {"a": b"red 1", "b": b"blue 2", "c": b"red 4"}
    pictures = changed if change == "picture" else {"b": b"blue 2", "a": b"red 1", "c": b"red 3"}
    data = dataset(
        tmp_path / "two",
        pictures if change in ("picture", "order") else None,
        "red 1,blue 2,red 4" if change == "text" else "red 1,blue 2,red 3",
    )
    image = image_features(other, data, cache)
    text = text_features(other, data, cache, "straight" if change == "quotes" else None)
    assert image.kept == (change in ("text", "quotes"))
    assert text.kept == (change in ("picture", "order"))


def test_files_of_pictures_count_by_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    data = Dataset("test", tmp_path, PAIRS, {"a": path}, [])
    before = contents.of_pictures(data)
    assert contents.of_pictures(data) == before
    path.write_bytes(b"three")
    assert contents.of_pictures(data) != before
    path.unlink()
    assert contents.of_pictures(data) != before


def test_pictures_inside_a_file_are_read_once_while_it_stays_the_same(tmp_path: Path) -> None:
    file = tmp_path / "set" / "pictures.tsv"
    file.parent.mkdir()
    file.write_text("something")
    asked: list[str] = []

    class Counting(dict[str, bytes]):
        def __getitem__(self, image_id: str) -> bytes:
            asked.append(image_id)
            return super().__getitem__(image_id)

    data = Dataset("chinese-clip", file.parent, PAIRS, Counting(a=b"1", b=b"2"), [])
    first = contents.of_pictures(data, tmp_path / "cache")
    count = len(asked)
    assert contents.of_pictures(data, tmp_path / "cache") == first
    assert len(asked) == count + 1  # the first one says that they are not files of their own
    file.write_text("something else")
    contents.of_pictures(data, tmp_path / "cache")
    assert len(asked) > count + 2


def test_pictures_that_no_reader_of_ours_opened_are_always_read(tmp_path: Path) -> None:
    first = Dataset("by hand", tmp_path, PAIRS, {"a": b"1"}, [])
    second = Dataset("by hand", tmp_path, PAIRS, {"a": b"2"}, [])
    found = [contents.of_pictures(data, tmp_path / "cache") for data in (first, second)]
    assert found[0] != found[1]


@pytest.mark.parametrize("cached", [False, True])
def test_a_picture_that_cannot_be_read_is_counted_and_left_out(tmp_path: Path, cached: bool) -> None:
    data = dataset(tmp_path / "set", {"a": b"red 1", "b": b"broken", "c": b"red 3"})
    cache = tmp_path / "cache" if cached else None
    for _ in range(2):
        model, _ = seeing()
        found = image_features(model, data, cache)
        assert found.ids == ["a", "c"]
        assert found.places.tolist() == [0, 2]
        assert [(failure.id, failure.reason) for failure in found.failures] == [("b", "it is broken")]
    with pytest.raises(InputError, match="it is broken"):
        image_features(seeing()[0], data, cache, on_error="fail")


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of 1 could be embedded; the first: a: it is broken"):
        image_features(seeing()[0], dataset(tmp_path, {"a": b"broken"}), tmp_path / "cache")


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "SHARD", 2)
    pictures = {str(number): f"red {number}".encode() for number in range(7)}
    data, cache = dataset(tmp_path / "set", pictures), tmp_path / "cache"
    stopped, _ = seeing(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        image_features(stopped, data, cache)
    model, one = seeing()
    told: list[int] = []
    found = image_features(model, data, cache, advance=told.append)
    assert one.pictures == [b"red 5", b"red 6"]
    assert sum(told) == 7
    assert found.vectors[:, 0].tolist() == list(range(7))
    assert not list(cache.glob("*.partial"))


def test_boxes_go_with_the_pictures_into_a_model_that_takes_them(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    data.picture_columns = {"b": {"boxes": [[0, 0, 1, 1]]}}
    model, one = seeing()
    image_features(model, data)
    assert one.boxes is None
    one.takes_boxes = True
    image_features(model, data)
    assert one.boxes == [None, [[0, 0, 1, 1]], None]


def test_an_unknown_way_with_errors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="skip or fail"):
        image_features(seeing()[0], dataset(tmp_path), on_error="ignore")
