"""Rows of BriVL's jsonl and the two lists of its second line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import png
from tuwen.data import formats
from tuwen.data.brivl_jsonl import find, find_lists, looks_like, read, read_lists
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.options import content_of
from tuwen.errors import InputError

BOXES = [[1, 2, 3.5, 4]]


def row(**changed: Any) -> str:
    content = {"image_id": "imgs/a.png", "sentences": [["alt_text", "甲"], ["sur_text", " 乙，丙"]], "bbox": BOXES}
    content |= changed
    return json.dumps({key: value for key, value in content.items() if value is not None}, ensure_ascii=False)


def no_failure(failure: Failure) -> None:
    raise AssertionError(f"{failure.id}: {failure.reason}")


def data(folder: Path, *lines: str) -> Path:
    """`imgs/` with one picture, and `jsonls/` with one file of these lines."""
    for name in ("imgs", "jsonls"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "imgs" / "a.png").write_bytes(b"")
    path = folder / "jsonls" / "example.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_row_has_a_picture_the_text_named_sur_text_and_boxes(tmp_path: Path) -> None:
    path = data(tmp_path / "data", row(), row(image_id="../data/imgs/a.png", bbox=[]))
    failures: list[Failure] = []
    first, second = read(path, failures.append)
    assert not failures
    assert first.text == " 乙，丙"  # not stripped, as the original
    assert Path(str(first.image)) == Path(str(second.image)) == (tmp_path / "data/imgs/a.png").resolve()
    assert (first.image_id, first.text_id, first.columns) == (
        "imgs/a.png",
        "example.jsonl:1",
        {"line": 1, "boxes": BOXES},
    )
    assert second.columns["boxes"] == []


def test_of_two_sentences_of_one_name_the_later_counts(tmp_path: Path) -> None:
    (sample,) = read(data(tmp_path, row(sentences=[["sur_text", "甲"], ["sur_text", "乙"]])), no_failure)
    assert sample.text == "乙"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "it is not JSON"),
        ("[1]", "it is [1], expected an object"),
        ("", "the line is empty"),
        (row(image_id=None), "its image_id is missing"),
        (row(image_id=3), "its image_id is 3"),
        (row(image_id="imgs/b.png"), "its picture imgs/b.png is not in"),
        (row(sentences=[["alt_text", "甲"]]), "no sentence named sur_text, only alt_text"),
        (row(sentences=None), "its sentences are missing"),
        (row(sentences=[["sur_text", 1]]), "no sentence named sur_text"),
        (row(bbox=None), 'it has no bbox: "bbox": []'),
        (row(bbox={}), "its bbox is {}"),
        (row(bbox=[[1, 2, 3, 4], [1, 2, 3]]), "box 2 of 2 is [1, 2, 3]"),
        (row(bbox=[[1, 2, 3, "4"]]), 'box 1 of 1 is [1, 2, 3, "4"]'),
        (row(bbox=[[1, 2, 3, float("nan")]]), "box 1 of 1 is [1, 2, 3, NaN]"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line_and_the_others_are_read(line: str, said: str, tmp_path: Path) -> None:
    failures: list[Failure] = []
    samples = list(read(data(tmp_path, row(), line, row()), failures.append))
    assert len(samples) == 2
    (failure,) = failures
    assert failure.id == "example.jsonl:2"
    assert said in failure.reason


def test_a_folder_for_the_pictures_is_the_only_place_looked_at(tmp_path: Path) -> None:
    path = data(tmp_path, row())
    failures: list[Failure] = []
    assert not list(read(path, failures.append, tmp_path / "elsewhere"))
    assert "--pictures" in failures[0].reason


def test_names_begin_at_the_working_directory_as_in_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data(tmp_path / "data", row())
    other = tmp_path / "other"
    (other / "imgs").mkdir(parents=True)
    (other / "imgs/a.png").write_bytes(b"")
    monkeypatch.chdir(other)
    (sample,) = read(path, no_failure)
    assert Path(str(sample.image)) == (other / "imgs/a.png").resolve()


def test_it_is_told_by_its_first_rows(tmp_path: Path) -> None:
    path = data(tmp_path / "data", "{", row())
    assert looks_like(path)
    assert find(path) == find(tmp_path / "data") == find(tmp_path / "data/jsonls") == [path]
    (tmp_path / "questions.jsonl").write_text('{"question": "?"}\n{"image_id": 1}\n', encoding="utf-8")
    assert not looks_like(tmp_path / "questions.jsonl")
    assert not find(tmp_path)
    assert find(tmp_path / "questions.jsonl")  # a file of that name is taken for one, and `read` says what it lacks


def test_rows_that_all_lack_the_same_are_still_told_and_every_file_of_the_folder_is_read(tmp_path: Path) -> None:
    for lacking in ("image_id", "sentences", "bbox"):
        assert looks_like(data(tmp_path / lacking, row(**{lacking: None})))
    path = data(tmp_path / "both", row())
    (path.parent / "broken.jsonl").write_text("{\n", encoding="utf-8")
    assert [file.name for file in find(tmp_path / "both")] == ["broken.jsonl", "example.jsonl"]


def test_rows_that_were_skipped_to_tell_the_file_are_reported_when_it_is_read(tmp_path: Path) -> None:
    path = data(tmp_path, "{", "", "[1]", row(), row(image_id=None))
    assert looks_like(path)
    failures: list[Failure] = []
    assert len(list(read(path, failures.append))) == 1
    assert [failure.id for failure in failures] == [f"example.jsonl:{line}" for line in (1, 2, 3, 5)]


def test_a_file_of_another_encoding_is_an_error(tmp_path: Path) -> None:
    path = data(tmp_path, row())
    path.write_bytes(row().encode("gb18030"))
    with pytest.raises(InputError, match="not UTF-8"):
        list(read(path, no_failure))


# -- written ----------------------------------------------------------------------------------------------------------


def test_pictures_of_one_id_in_two_splits_stay_two_pictures(tmp_path: Path) -> None:
    for first, split in enumerate(("train", "valid")):
        pictures = {id: png(10 * first + number) for number, id in enumerate(("a", "b"))}
        texts = [Text(id, f"{split} {id}", (id,)) for id in pictures]
        formats.write(Dataset("none", tmp_path, PAIRS, pictures, texts, split), tmp_path / "out", "brivl")
    for first, split in enumerate(("train", "valid")):
        again = formats.open_dataset(tmp_path / "out", split)
        assert not again.failures
        assert [content_of(again.pictures[id]) for id in again.pictures] == [png(10 * first), png(10 * first + 1)]
        assert [text.text for text in again.texts] == [f"{split} a", f"{split} b"]
        assert {path.parent.name for path in (tmp_path / "out" / "imgs" / split).iterdir()} == {split}


# -- lists ------------------------------------------------------------------------------------------------------------


def lists(folder: Path, images: str, texts: str) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "images/a.png").write_bytes(b"")
    (folder / "input_data").mkdir()
    (folder / "input_data/images.csv").write_text(images, encoding="utf-8")
    (folder / "input_data/texts.csv").write_text(texts, encoding="utf-8")
    return folder / "input_data"


def test_lists_are_lines_without_a_header_and_commas_belong_to_the_text(tmp_path: Path) -> None:
    folder = lists(tmp_path, "a.png\n", " 今晚，月光, 好美 \n山高月小\n")
    assert find_lists(tmp_path) == find_lists(folder) == folder
    found = read_lists(folder, no_failure)
    assert found.images == [("images.csv:1", (tmp_path / "images/a.png").resolve())]
    assert found.texts == [("texts.csv:1", "今晚，月光, 好美"), ("texts.csv:2", "山高月小")]


def test_bad_lines_of_lists_are_named(tmp_path: Path) -> None:
    folder = lists(tmp_path, "a.png\nb.png\n\n", "甲\n\n乙")
    failures: list[Failure] = []
    found = read_lists(folder, failures.append, tmp_path / "images")
    assert (len(found.images), len(found.texts)) == (1, 2)
    assert [failure.id for failure in failures] == ["images.csv:2", "images.csv:3", "texts.csv:2"]
