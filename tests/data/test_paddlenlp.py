"""PaddleNLP's retrieval files: pictures and texts of a split, with and without the files beside the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pytest

from tests.datasets import content_of, save_split
from tuwen.data import formats, paddlenlp
from tuwen.data.folder import Failure
from tuwen.data.options import DEFAULT, Writing
from tuwen.errors import UsageError


def save(path: Path, rows: Sequence[dict[str, object]], schema: pyarrow.Schema) -> None:
    table = pyarrow.Table.from_pylist(rows, schema)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, schema) as writer:
        writer.write_table(table)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    source = formats.open_dataset(save_split(tmp_path / "raw"))
    made = tmp_path / "made"
    for split in ("valid", "train"):
        formats.write(source, made, "paddlenlp", split)
    assert sorted(path.name for path in made.iterdir()) == [
        "train.arrow",
        "train_texts.jsonl",
        "valid.arrow",
        "valid_img.arrow",
        "valid_texts.jsonl",
    ]
    assert formats.recognise(made) == "paddlenlp"
    assert formats.splits(made) == ["train", "valid"]
    for split in ("train", "valid"):
        assert content_of(formats.open_dataset(made, split)) == content_of(source)
    with pytest.raises(UsageError, match="name one"):
        paddlenlp.write(source, made, "", DEFAULT, Writing())


def test_a_table_alone_holds_both(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"image": b"one", "caption": "a", "image_id": 5},
        {"image": b"one", "caption": "b", "image_id": 5},
        {"image": b"two", "caption": None, "image_id": 7},
        {"image": None, "caption": "c", "image_id": 8},
        {"image": b"no", "caption": "d", "image_id": None},
    ]
    save(tmp_path / "train.arrow", rows, paddlenlp.PAIR)
    dataset = formats.open_dataset(tmp_path)
    assert dict(dataset.pictures) == {"5": b"one", "7": b"two"}
    assert [(text.id, text.text, text.image_ids) for text in dataset.texts] == [("0", "a", ("5",)), ("1", "b", ("5",))]
    assert sorted(dataset.failures, key=lambda failure: failure.id) == [
        Failure("train.arrow:3", "its caption is missing"),
        Failure("train.arrow:4", "its image is missing"),
        Failure("train.arrow:5", "its image_id is missing"),
    ]


def test_pictures_that_come_twice_and_texts_without_theirs_are_named(tmp_path: Path) -> None:
    pictures: list[dict[str, object]] = [{"image": b"one", "image_id": 5}, {"image": b"two", "image_id": 5}]
    save(tmp_path / "test_img.arrow", pictures, paddlenlp.PICTURE)
    (tmp_path / "test_texts.jsonl").write_text(
        '{"text_id": 1, "text": "a", "image_ids": [5]}\n{"text_id": 2, "text": "b", "image_ids": [6]}\n'
    )
    dataset = formats.open_dataset(tmp_path)
    assert dict(dataset.pictures) == {"5": b"one"}
    assert [text.id for text in dataset.texts] == ["1"]
    assert {failure.id: failure.reason for failure in dataset.failures} == {
        "test_img.arrow:2": "its image_id 5 is that of test_img.arrow:1, too",
        "test_texts.jsonl:2": "its pictures 6 are not in test_img.arrow",
    }
