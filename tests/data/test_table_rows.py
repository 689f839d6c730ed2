"""Tables that people bring along, and folders of pictures: columns by many names, and what is said of bad rows."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import png
from tuwen.data import formats
from tuwen.data.dataset import QUESTIONS, Dataset
from tuwen.data.options import Options, content_of
from tuwen.data.separated import cells, record_of, records
from tuwen.errors import InputError

BASE64 = base64.b64encode(png(9)).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures in images/."""
    (tmp_path / "images").mkdir()
    for number in (1, 2):
        (tmp_path / "images" / f"{number}.png").write_bytes(png(number))
    return tmp_path


def failures(dataset: Dataset) -> dict[str, str]:
    return {failure.id: failure.reason for failure in dataset.failures}


def texts(dataset: Dataset) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(text.id, text.text, text.image_ids) for text in dataset.texts]


def save(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


# -- CSV, TSV, JSON lines ---------------------------------------------------------------------------------------------


def test_quotes_and_line_breaks_stand_within_cells(folder: Path) -> None:
    path = folder / "pairs.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file)
        table.writerows(
            [["filepath", "title", "n"], ["images/1.png", 'a "b",\nc\r\n\nd', 5], ["images/2.png", "中", ""]]
        )
        table.writerow(["images/1.png", "three", "x"])
    dataset = formats.open_dataset(path)
    assert not dataset.failures
    assert texts(dataset) == [
        ("pairs.csv:2", 'a "b",\nc\r\n\nd', ("images/1.png",)),
        ("pairs.csv:6", "中", ("images/2.png",)),
        ("pairs.csv:7", "three", ("images/1.png",)),
    ]
    assert [text.columns for text in dataset.texts] == [{"n": 5}, {}, {"n": "x"}]
    assert content_of(dataset.pictures["images/2.png"]) == png(2)


def test_bad_rows_of_a_csv_are_named_and_the_others_count(folder: Path) -> None:
    content = (
        "image,text\n1.png,one\n3.png,gone\n1.png\n\n" + f"{BASE64[:-3]},cut\n{BASE64[:-8]}!!!!{BASE64[-4:]},letters\n"
    )
    content += '2.png,"never closed\n2.png,two\n1.png,last,'
    dataset = formats.open_dataset(save(folder / "pairs.csv", content))
    assert [text[1] for text in texts(dataset)] == ["one", "two"]
    found = failures(dataset)
    assert list(found) == [f"pairs.csv:{number}" for number in (3, 4, 6, 7, 8, 10)]
    assert found["pairs.csv:3"].startswith("its picture 3.png is not in ")
    assert found["pairs.csv:4"] == "it has 1 columns, the first line has 2"
    assert "not a multiple of four" in found["pairs.csv:6"]
    assert "'!'" in found["pairs.csv:7"]
    assert found["pairs.csv:8"] == "it has a quote that is never closed"
    assert found["pairs.csv:10"] == "it has 3 columns, the first line has 2, and the file ends in this row"


def test_a_row_that_is_not_utf8_is_named(folder: Path) -> None:
    path = save(folder / "pairs.csv", "image,text\n1.png,one\n")
    path.write_bytes(path.read_bytes() + "2.png,中文\n".encode("gb18030") + b"2.png,two\n")
    dataset = formats.open_dataset(path)
    assert [text[1] for text in texts(dataset)] == ["one", "two"]
    assert "not UTF-8" in failures(dataset)["pairs.csv:3"]


def test_json_lines_hold_paths_base64_lists_and_numbers(folder: Path) -> None:
    rows: list[Any] = [
        {"image": "1.png", "captions": ["a", "b"], "score": 0.5},
        {"image": BASE64, "captions": "c", "caption_id": 7, "image_id": 3},
        {"image": {"path": "images/2.png", "bytes": None}, "captions": []},
        {"image": "data:image/png;base64," + BASE64, "captions": "d"},
        {"captions": "alone"},
    ]
    content = "\ufeff" + "".join(json.dumps(row) + "\n" for row in rows)
    dataset = formats.open_dataset(save(folder / "pairs.jsonl", content))
    assert not dataset.failures
    assert texts(dataset) == [
        ("pairs.jsonl:1#0", "a", ("1.png",)),
        ("pairs.jsonl:1#1", "b", ("1.png",)),
        ("7", "c", ("3",)),
        ("pairs.jsonl:4", "d", ("pairs.jsonl:4",)),
        ("pairs.jsonl:5", "alone", ()),
    ]
    assert list(dataset.pictures) == ["1.png", "3", "images/2.png", "pairs.jsonl:4"]
    assert [content_of(dataset.pictures[id]) for id in dataset.pictures] == [png(1), png(9), png(2), png(9)]
    assert dataset.texts[1].columns == {"score": 0.5}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"image": "1.png", "text": "a', "and the file ends in this row"),
        ("[1]", "it is a list, expected a JSON object"),
        ('{"image": 5, "text": "a"}', "its image is 5, expected a path or base64"),
        ('{"image": "1.png", "text": {"a": 1}}', 'its text is {"a": 1}, expected a text'),
        ('{"image": "1.png", "text": ["a", "b"], "text_id": [1]}', "it has 2 texts and 1 ids of texts"),
        ('{"image": "1.png", "text": "a", "boxes": "[1"}', "its boxes are not JSON"),
        ('{"image": "", "text": "", "x": 1}', "it has neither a picture nor a text"),
        ('{"image": "../images/9.png", "text": "a"}', "its picture ../images/9.png is not in"),
    ],
)
def test_a_bad_line_is_named_and_the_others_count(row: str, reason: str, folder: Path) -> None:
    good = '{"image": "1.png", "text": "one"}\n'
    dataset = formats.open_dataset(save(folder / "pairs.jsonl", good + good + row))
    assert len(dataset.texts) == 2
    assert reason in failures(dataset)["pairs.jsonl:3"]


def test_columns_are_named_where_nobody_can_guess_them(folder: Path) -> None:
    path = save(folder / "pairs.tsv", "where\twords\timage_id\n1.png\tone\ta\n2.png\ttwo\tb\n")
    columns = {"image": "where", "text": "words"}
    dataset = formats.open_dataset(path, format="table", options=Options(columns=columns))
    assert texts(dataset) == [("pairs.tsv:2", "one", ("a",)), ("pairs.tsv:3", "two", ("b",))]
    with pytest.raises(
        InputError, match=r"pairs\.tsv has no column of pictures: it has where, words, image_id; name it"
    ):
        formats.open_dataset(path, format="table")
    with pytest.raises(InputError, match=r"there is no column place: it has where"):
        formats.open_dataset(path, format="table", options=Options(columns={"image": "place"}))


def test_pictures_may_lie_anywhere(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("tables")
    path = save(elsewhere / "pairs.csv", f"image,text\n1.png,one\n{folder / 'images' / '2.png'},two\n")
    assert list(failures(formats.open_dataset(path))) == ["pairs.csv:2"]
    dataset = formats.open_dataset(path, options=Options(pictures=folder / "images"))
    assert not dataset.failures
    assert [content_of(dataset.pictures[id]) for id in dataset.pictures] == [png(1), png(2)]


def test_an_id_of_two_pictures_keeps_both_and_is_told(folder: Path) -> None:
    content = "image,text,image_id\n1.png,one,x\n1.png,two,x\n2.png,three,x\n2.png,four,x\n"
    dataset = formats.open_dataset(save(folder / "pairs.csv", content))
    assert [text[2] for text in texts(dataset)] == [("x",), ("x",), ("x (pairs.csv:4)",), ("x (pairs.csv:4)",)]
    assert content_of(dataset.pictures["x (pairs.csv:4)"]) == png(2)
    assert dataset.notes == ["pairs.csv:4 has another picture of the id x, and is called x (pairs.csv:4)"]


def test_a_folder_of_tables_has_their_names_as_splits(folder: Path) -> None:
    for name in ("test.csv", "train.csv", "extra.csv"):
        save(folder / name, "image,question,answer\n1.png,who?,me\n")
    save(folder / "other.csv", "a,b\n1,2\n")
    assert formats.recognise(folder) == "table"
    assert formats.splits(folder) == ["train", "test", "extra"]
    dataset = formats.open_dataset(folder, "test")
    assert (dataset.split, dataset.kind) == ("test", QUESTIONS)
    assert dataset.texts[0].columns == {"answer": "me"}


@pytest.mark.parametrize("separator", [",", "\t"])
def test_records_are_those_of_the_csv_module(separator: str, tmp_path: Path) -> None:
    rows = [["a", 'b"c', "\r\n"], ['""', f"{separator}\n", " x "], ["\n\n", "", "é"], ["", "", "\r"]]
    path = tmp_path / "x.csv"
    path.write_bytes(b"".join(record_of(row, separator) for row in rows))
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file, delimiter=separator)) == rows
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    assert [cells(record, separator) for _, _, record, whole in records(path, separator) if whole] == rows


# -- folders ----------------------------------------------------------------------------------------------------------


def test_texts_lie_beside_pictures_under_their_names(folder: Path) -> None:
    save(folder / "images" / "1.txt", "\ufeffone\n\n  two \n")
    save(folder / "images" / "3.txt", "no picture")
    save(folder / "images" / "2.txt", "中文", "gb18030")
    (folder / "images" / "1.webp").write_bytes(b"x")
    dataset = formats.open_dataset(folder)
    assert (dataset.format, dataset.kind) == ("folder", "pairs")
    assert texts(dataset) == [
        ("images/1.txt:1", "one", ("images/1.png",)),
        ("images/1.txt:3", "two", ("images/1.png",)),
        ("images/3.txt:1", "no picture", ()),
    ]
    assert list(dataset.pictures) == ["images/1.png", "images/1.webp", "images/2.png"]
    assert "not UTF-8" in failures(dataset)["images/2.txt"]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_metadata_names_the_pictures_as_imagefolder_does(name: str, folder: Path) -> None:
    rows = [{"file_name": "1.png", "text": "one", "mood": "good"}, {"file_name": "9.png", "text": "gone", "mood": ""}]
    if name.endswith("csv"):
        lines = [list(rows[0]), *([row[key] for key in row] for row in rows)]
        content = "".join(",".join(line) + "\n" for line in lines)
    else:
        content = "".join(json.dumps(row) + "\n" for row in rows)
    for split in ("train", "validation"):
        (folder / split).mkdir()
        (folder / split / "1.png").write_bytes(png(1))
        (folder / split / "2.png").write_bytes(png(2))
        save(folder / split / name, content)
    (folder / "images" / "1.png").unlink()
    (folder / "images" / "2.png").unlink()
    assert formats.recognise(folder) == "folder"
    assert formats.splits(folder) == ["train", "validation"]
    dataset = formats.open_dataset(folder, "train")
    assert [(text.text, text.image_ids, text.columns) for text in dataset.texts] == [
        ("one", ("1.png",), {"mood": "good"})
    ]
    assert next(iter(failures(dataset).values())).startswith("its picture 9.png is not in")
    assert dataset.notes == [f"{name} names 1 of the 2 pictures in train"]
