"""Every format that can hold the pairs of another: there and back, nothing is lost that is not told."""

from __future__ import annotations

import base64
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import files_of, png
from tuwen.data import formats, growing
from tuwen.data.dataset import PAIRS, QUESTIONS, Dataset, Text
from tuwen.data.options import Options, Writing, content_of
from tuwen.errors import InputError

# name -> what `write` is told to make: a folder, or a file in one
TARGETS = {name: "" for name in formats.writable() if PAIRS in formats.module(name).KINDS}
FILES = {"table .csv": "pairs.csv", "table .tsv": "pairs.tsv", "table base64": "inside.csv"}
FILES |= {"parquet file": "pairs.parquet", "webdataset file": "pairs.tar"}
TARGETS |= FILES
NO_TEXT_IDS = {"ernie-tsv", "arrow"}
# Formats that hold everything that a dataset of pairs may say.
WHOLE = ["webdataset", "parquet", "folder", "table", *FILES]


def written(dataset: Dataset, to: str, folder: Path, writing: Writing | None = None) -> Path:
    """The dataset in a format, in a folder or file of its own."""
    target = folder / TARGETS[to] if TARGETS[to] else folder
    columns = {"image_base64": "image_base64"} if "base64" in to else {}
    formats.write(dataset, target, to.split()[0], "train", Options(columns=columns, shard_rows=2), writing)
    return target


def said(dataset: Dataset, ids: bool = True) -> tuple[dict[str, bytes], Any]:
    """All pictures, and all texts with their pictures; without ids, every pair of words and picture."""
    pictures = {id: content_of(dataset.pictures[id]) for id in dataset.pictures}
    if ids:
        return pictures, sorted((text.id, text.text, sorted(text.image_ids)) for text in dataset.texts)
    return pictures, sorted((text.text, id) for text in dataset.texts for id in text.image_ids)


def sample(words: str = '一只猫, 两只 "狗"') -> Dataset:
    """Three pictures, their ids are numbers; a text has two pictures, and a picture two texts."""
    pictures = {str(number): png(number) for number in (7, 3, 12)}
    texts = [Text("4", "第一张图 first", ("7",)), Text("1", words, ("3", "7")), Text("9", "第三张", ("12",))]
    return Dataset("none", Path("nowhere"), PAIRS, pictures, texts, "train")


def pairs_of_formats() -> list[tuple[str, str]]:
    plain = [name for name in TARGETS if name not in FILES]
    return [(one, other) for one in plain for other in plain] + [("chinese-clip", name) for name in FILES]


@pytest.mark.parametrize(("source", "to"), pairs_of_formats())
def test_there_and_back_everything_is_the_same(source: str, to: str, tmp_path: Path) -> None:
    ids = not {source, to} & NO_TEXT_IDS
    first = formats.open_dataset(written(sample(), source, tmp_path / "first"))
    second = formats.open_dataset(written(first, to, tmp_path / "second"))
    third = formats.open_dataset(written(second, source, tmp_path / "third"))
    for dataset in (first, second, third):
        assert not dataset.failures
        assert said(dataset, ids) == said(sample(), ids)
    assert formats.recognise(tmp_path / "second" / TARGETS[to]) == to.split()[0]


# -- what not every format holds --------------------------------------------------------------------------------------


def rich() -> Dataset:
    """Strange ids and words, texts and pictures of their own, boxes, and columns of every sort."""
    names = ["b", "007", "a/b.png", "../c d.jpg", "字#1?.png", "b.png", "alone"]
    pictures = {name: png(number) for number, name in enumerate(names)}
    columns: dict[str, Any] = {
        "source": "web",
        "score": 0.5,
        "tags": ["x", "y"],
        "number": "12",
        "true": True,
        "list": "[1",
    }
    texts = [
        Text("t1", 'line one\nline two\t"quoted", 中文', ("b", "007"), columns=columns),
        Text("t2", "  spaces  ", ("a/b.png",)),
        Text("t3", "no picture", ()),
        Text("t4", "", ("../c d.jpg",), columns={"tags": []}),
        Text("t5", "again", ("b", "b.png", "字#1?.png")),
        Text("t1", "the same id, other words", ("b",)),
    ]
    boxes: dict[str, dict[str, Any]] = {"b": {"boxes": [[1, 2, 3.5, 4]]}, "alone": {"boxes": []}}
    return Dataset("none", Path("nowhere"), PAIRS, pictures, texts, "train", picture_columns=boxes)


def everything(dataset: Dataset) -> tuple[Any, ...]:
    texts = [(text.id, text.text, sorted(text.image_ids), text.columns) for text in dataset.texts]
    boxes = {id: dataset.picture_columns[id] for id in dataset.picture_columns}
    return said(dataset)[0], sorted(texts, key=lambda text: text[:2]), boxes


@pytest.mark.parametrize("to", WHOLE)
@pytest.mark.parametrize("source", WHOLE[:4])
def test_ids_columns_boxes_and_what_is_in_no_pair_are_kept(source: str, to: str, tmp_path: Path) -> None:
    writing = Writing()
    first = formats.open_dataset(written(rich(), source, tmp_path / "first", writing))
    second = formats.open_dataset(written(first, to, tmp_path / "second", writing))
    assert not first.failures
    assert not second.failures
    assert not writing.failures
    assert not writing.notes
    assert everything(first) == everything(rich())
    assert everything(second) == everything(rich())
    assert second.notes == ["1 text ids come again with other words"]


@pytest.mark.parametrize("to", WHOLE)
def test_questions_keep_their_answers_and_stay_questions(to: str, tmp_path: Path) -> None:
    dataset = sample()
    dataset.kind = QUESTIONS
    dataset.texts = [
        Text(text.id, text.text, text.image_ids, columns={"answers": ["yes", "no"], "answer": "yes"})
        for text in dataset.texts
    ]
    again = formats.open_dataset(written(dataset, to, tmp_path))
    assert again.kind == QUESTIONS
    assert everything(again) == everything(dataset)


def test_brivl_keeps_boxes_and_columns_and_tells_what_it_cannot_hold(tmp_path: Path) -> None:
    writing = Writing()
    again = formats.open_dataset(written(rich(), "brivl", tmp_path, writing))
    pictures, texts, boxes = everything(again)
    expected = everything(rich())
    assert pictures == {id: content for id, content in expected[0].items() if id != "alone"}
    assert texts == [text for text in expected[1] if text[0] != "t3"]
    assert boxes["b"] == {"boxes": [[1, 2, 3.5, 4]]}
    assert writing.notes == ["1 texts without a picture are left out", "1 pictures without a text are left out"]


def test_ernies_rows_tell_what_they_cannot_hold(tmp_path: Path) -> None:
    writing = Writing()
    path = written(rich(), "ernie-tsv", tmp_path, writing)
    rows = [line.split("\t") for line in (path / "train.coco.data").read_text(encoding="utf-8").splitlines()]
    assert [row[:2] for row in rows] == [
        ['line one line two "quoted", 中文', "b"],
        ['line one line two "quoted", 中文', "007"],
        ["spaces", "a/b.png"],
        ["again", "b"],
        ["again", "b.png"],
        ["again", "字#1?.png"],
        ["the same id, other words", "b"],
    ]
    assert base64.b64decode(rows[1][2]) == png(1)
    assert [failure.id for failure in writing.failures] == ["t4"]
    assert writing.notes == [
        "what the dataset says of its pictures as boxes is left out",
        "what the dataset says of its texts as source, score, tags, number, true, list is left out",
        "1 texts without a picture are left out",
        "1 pictures without a text are left out",
        "3 texts or ids have blanks in place of tabs and ends of lines, or lost those around them",
        "ids of texts are left out: rows have none",
    ]


def test_a_row_of_ernies_file_is_written_byte_for_byte(tmp_path: Path) -> None:
    line = "一只 猫\t12\t".encode() + base64.b64encode(png(1)) + b"\n"
    (tmp_path / "a.coco.data").write_bytes(line * 3)
    dataset = formats.open_dataset(tmp_path / "a.coco.data")
    formats.write(dataset, tmp_path / "b.coco.data", "ernie-tsv")
    assert (tmp_path / "b.coco.data").read_bytes() == line * 3


# -- reading ----------------------------------------------------------------------------------------------------------


def one_of(given: tuple[Dataset, str]) -> tuple[bytes, list[str]]:
    dataset, id = given
    return content_of(dataset.pictures[id]), [text.text for text in dataset.texts]


@pytest.mark.parametrize("to", ["webdataset", "parquet", "folder", "table", "table base64", "ernie-tsv", "brivl"])
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_other_processes_read_what_this_one_opened(to: str, tmp_path: Path) -> None:
    dataset = formats.open_dataset(written(sample(), to, tmp_path))
    assert content_of(dataset.pictures["12"]) == png(12)
    expected = [text.text for text in dataset.texts]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        given = [(dataset, id) for id in ("3", "7", "12") * 3]
        assert pool.map(one_of, given) == [(png(int(id)), expected) for _, id in given]
    assert said(pickle.loads(pickle.dumps(dataset))) == said(dataset)


@pytest.mark.parametrize("to", WHOLE)
def test_texts_are_found_by_place(to: str, tmp_path: Path) -> None:
    texts = formats.open_dataset(written(rich(), to, tmp_path)).texts
    assert [texts[place] for place in range(-len(texts), 0)] == list(texts) == texts[:]
    assert texts[1:3] == list(texts)[1:3]
    with pytest.raises(IndexError):
        texts[len(texts)]


# -- stopped and gone on with -----------------------------------------------------------------------------------------


class Stop(BaseException):
    pass


@pytest.mark.parametrize("rows", range(7))
@pytest.mark.parametrize("to", [*WHOLE, "ernie-tsv", "brivl"])
def test_stopped_after_any_row_and_run_again_it_is_the_same(
    to: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "SECONDS", 0.0)
    left = rows

    def advance(count: int) -> None:
        nonlocal left
        left -= count
        if left < 0:
            raise Stop

    dataset = rich()
    dataset.pictures = {**dataset.pictures, "007": str(tmp_path / "gone.png")}
    dataset.path = tmp_path
    whole, again = Writing(), Writing()
    written(dataset, to, tmp_path / "whole.coco", whole)
    with pytest.raises(Stop):
        written(dataset, to, tmp_path / "out.coco", Writing(advance=advance))
    assert all(any(part[0] == "." for part in Path(name).parts) for name in files_of(tmp_path / "out.coco"))
    written(dataset, to, tmp_path / "out.coco", again)
    assert files_of(tmp_path / "out.coco") == files_of(tmp_path / "whole.coco") != {}
    assert not [path for path in (tmp_path / "out.coco").rglob("*") if path.name.startswith(".")]
    assert [failure.id for failure in again.failures] == [failure.id for failure in whole.failures]
    assert "007" in [failure.id for failure in again.failures]
    assert again.notes == whole.notes


@pytest.mark.parametrize("to", WHOLE)
def test_what_is_there_is_replaced_only_when_asked_for(to: str, tmp_path: Path) -> None:
    written(sample(), to, tmp_path)
    with pytest.raises(InputError, match=r"is there already: choose another place, or pass --overwrite"):
        written(sample("other"), to, tmp_path)
    path = written(sample("other"), to, tmp_path, Writing(overwrite=True))
    assert said(formats.open_dataset(path)) == said(sample("other"))


@pytest.mark.parametrize("to", WHOLE)
def test_a_text_whose_pictures_cannot_be_read_stays(to: str, tmp_path: Path) -> None:
    dataset = sample()
    dataset.pictures = {**dataset.pictures, "12": str(tmp_path / "gone.png"), "3": str(tmp_path / "gone.png")}
    writing = Writing()
    again = formats.open_dataset(written(dataset, to, tmp_path / "out", writing))
    assert sorted(failure.id for failure in writing.failures) == ["12", "3"]
    assert {text.id: text.image_ids for text in again.texts} == {"4": ("7",), "1": ("7",), "9": ()}
