"""Every format that can be written holds what every other gave it, and survives being stopped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.datasets import files_of, png, save_images, save_texts
from tuwen.data import formats, growing, lmdb_growing
from tuwen.data.dataset import PAIRS, Dataset
from tuwen.data.options import Writing, content_of

WRITABLE = [name for name in formats.writable() if PAIRS in formats.module(name).KINDS]


class Stop(BaseException):
    pass


@pytest.fixture
def raw(tmp_path: Path) -> Dataset:
    """Nine pictures, each with its texts; two texts are about two of them."""
    save_images(tmp_path / "raw" / "train_imgs.tsv", [(3 * id, png(id)) for id in range(9)])
    texts = [(10 * id + copy, f"第{id}张图 number {copy}", [3 * id]) for id in range(9) for copy in range(1 + id % 3)]
    save_texts(tmp_path / "raw" / "train_texts.jsonl", [*texts, (200, "两张图", [3, 6]), (201, "another", [0, 24])])
    return formats.open_dataset(tmp_path / "raw")


def opened(path: Path, form: str) -> Dataset:
    names = formats.splits(path, form)
    return formats.open_dataset(path, "train" if len(names) > 1 else "", form)


def written(dataset: Dataset, folder: Path, form: str, writing: Writing | None = None) -> Path:
    target = folder / ("train.tsv" if form == "ernie-tsv" else form)
    formats.write(dataset, target, form, "train", writing=writing)
    return target


def pairs(dataset: Dataset) -> Counter[tuple[str, bytes]]:
    """Each text with the bytes of its picture, whatever the ids are now."""
    assert not dataset.failures
    return Counter((sample.text, content_of(sample.image)) for sample in dataset.samples())


@pytest.mark.parametrize("first", WRITABLE)
def test_pairs_come_through_every_two_formats(first: str, raw: Dataset, tmp_path: Path) -> None:
    expected = pairs(raw)
    assert sum(expected.values()) == 22
    path = written(raw, tmp_path / "one", first)
    assert formats.recognise(path) == first
    between = opened(path, first)
    assert pairs(between) == expected
    for second in WRITABLE:
        assert pairs(opened(written(between, tmp_path / "two", second), second)) == expected, second


@pytest.mark.parametrize("form", WRITABLE)
@pytest.mark.parametrize("rows", [0, 1, 4, 9, 15, 20, 24])
def test_a_conversion_that_was_stopped_ends_with_the_same_bytes(
    form: str, rows: int, raw: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "SECONDS", 0.0)
    monkeypatch.setattr(lmdb_growing, "BATCH_ROWS", 3)
    whole = written(raw, tmp_path / "whole", form)
    count = 0

    def advance(done: int) -> None:
        nonlocal count
        count += done
        if count > rows:
            raise Stop

    try:
        written(raw, tmp_path / "out", form, Writing(advance=advance))
    except Stop:
        part = tmp_path / "out" / whole.name
        assert not part.is_file()
        written(formats.open_dataset(raw.path), tmp_path / "out", form)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
