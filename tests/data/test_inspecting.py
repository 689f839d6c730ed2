"""What inspection finds in a dataset, and what two splits share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import png, save_images, save_split, save_texts
from tuwen.data import formats
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.inspecting import Finding, Inspected, Looking, inspect, leaks
from tuwen.errors import InputError


def findings(inspected: Inspected) -> dict[str, Finding]:
    return {finding.name: finding for finding in inspected.findings}


def check(content: bytes) -> None:
    if not content.startswith(b"\x89PNG"):
        raise InputError("it is no picture")


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    save_images(tmp_path / "train_imgs.tsv", [(1, png(1)), (2, png(2)), (3, png(1)), (4, b"no picture"), (5, png(1))])
    texts = [
        (1, "一只猫", [1]),
        (2, "一只猫", [2]),
        (2, "男人/n 骑/v 马/n", [3]),
        (4, "", [3]),
        (5, "坏\ufffd字", [1]),
        (6, "没有图", []),
        (7, "a much longer text than all the others are", [2, 99]),
    ]
    save_texts(tmp_path / "train_texts.jsonl", texts)
    return tmp_path


def test_everything_that_is_wrong_is_found(messy: Path) -> None:
    dataset = formats.open_dataset(messy)
    advanced: list[int] = []
    looking = Looking(check, lambda texts: [len(text.split()) for text in texts], 3, advanced.append)
    inspected = inspect(dataset, looking)
    found = findings(inspected)
    assert {name: finding.count for name, finding in found.items()} == {
        "broken_rows": 1,
        "empty_texts": 1,
        "no_pictures": 1,
        "tagged_texts": 1,
        "damaged_texts": 1,
        "long_texts": 1,
        "duplicate_texts": 1,
        "duplicate_text_ids": 1,
        "broken_pictures": 1,
        "duplicate_pictures": 2,
    }
    assert {finding.name for finding in inspected.problems} == {
        "broken_rows",
        "empty_texts",
        "tagged_texts",
        "damaged_texts",
        "broken_pictures",
    }
    assert found["duplicate_pictures"].examples == ["3 and 1", "5 and 1"]
    assert found["duplicate_texts"].examples == ["train_texts.jsonl:2 and train_texts.jsonl:1: 一只猫"]
    assert found["long_texts"].examples == ["train_texts.jsonl:7: 9"]
    assert found["tagged_texts"].examples == ["train_texts.jsonl:3: 男人/n 骑/v 马/n"]
    assert found["broken_pictures"].examples == ["4: it is no picture"]
    sizes = 3 * len(png(1)) + len(png(2))
    assert inspected.counts == {"pictures": 5, "texts": 7, "pairs": 6, "picture_bytes": sizes}
    assert inspected.lengths["characters"]["longest"] == 42
    assert inspected.lengths["tokens"]["longest"] == 9
    assert sum(advanced) == 12


def test_a_clean_dataset_has_no_findings(tmp_path: Path) -> None:
    save_split(tmp_path)
    texts = [(number, f"第{number}张", [7 * number]) for number in range(6)]
    save_texts(tmp_path / "train_texts.jsonl", texts)
    inspected = inspect(formats.open_dataset(tmp_path), Looking(check))
    assert inspected.findings == []


def test_pictures_are_left_unread_where_nobody_checks_them(messy: Path) -> None:
    inspected = inspect(formats.open_dataset(messy), Looking())
    assert "duplicate_pictures" not in findings(inspected)
    assert "picture_bytes" not in inspected.counts


def test_missing_pictures_are_found_whatever_the_format_says(tmp_path: Path) -> None:
    dataset = Dataset(
        "x", tmp_path, PAIRS, {"1": png(1), "2": str(tmp_path / "gone.png")}, [Text("1", "a", ("1", "9"))]
    )
    found = findings(inspect(dataset, Looking(check)))
    assert found["missing_pictures"].examples == ["1: 9"]
    assert "gone.png cannot be read" in found["broken_pictures"].examples[0]


def test_more_examples_than_anyone_reads_are_only_counted(tmp_path: Path) -> None:
    dataset = Dataset("x", tmp_path, PAIRS, {}, [Text(str(number), "same") for number in range(30)])
    found = findings(inspect(dataset, Looking()))
    assert (found["duplicate_texts"].count, len(found["duplicate_texts"].examples)) == (29, 5)
    assert (found["no_pictures"].count, len(found["no_pictures"].examples)) == (30, 5)


def test_pictures_and_texts_of_another_split_are_found(tmp_path: Path) -> None:
    save_split(tmp_path, "train", 5)
    save_split(tmp_path, "valid", 5, first=21)  # pictures 21 and 28 are in both
    save_texts(tmp_path / "valid_texts.jsonl", [(1, "第1张图 picture", [21]), (2, "new", [28])])
    train, valid = (inspect(formats.open_dataset(tmp_path, split), Looking(check)) for split in ("train", "valid"))
    found = {finding.name: finding for finding in leaks(valid, train, "train")}
    assert found["leaked_pictures"].examples == ["21", "28"]
    assert found["leaked_pictures"].problem
    assert found["leaked_texts"].examples == ["valid_texts.jsonl:1: 第1张图 picture"]
    assert not leaks(inspect(formats.open_dataset(tmp_path, "valid"), Looking()), train, "train")[1:]


def test_an_empty_dataset_is_inspected(tmp_path: Path) -> None:
    empty = inspect(Dataset("x", tmp_path, PAIRS, {}, []), Looking(check))
    assert empty.findings == []
    assert leaks(empty, empty, "itself") == []
