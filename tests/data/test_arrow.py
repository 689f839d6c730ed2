"""Arrow tables of BridgeTower and VLE: read by row, written as published, told apart from others."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from tests import official
from tests.datasets import png, save_split
from tuwen.data import formats
from tuwen.data.answers import write_labels
from tuwen.data.arrow_rows import SCHEMAS
from tuwen.data.arrow_table import Table
from tuwen.data.dataset import Dataset
from tuwen.data.folder import Failure
from tuwen.data.options import Options, Writing
from tuwen.errors import InputError


def save_table(
    path: Path, rows: list[dict[str, Any]], form: str, batch: int = 2, compression: str | None = None
) -> Path:
    """An Arrow file in batches of so many rows."""
    schema = SCHEMAS[form]
    table = pyarrow.Table.from_pylist(rows, schema)
    options = pyarrow.ipc.IpcWriteOptions(compression=compression)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch)
    return path


def captions(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "image": png(n),
            "caption": [f"caption {n} {m}" for m in range(1 + n % 3)],
            "image_id": f"{n}.jpg",
            "split": "train",
        }
        for n in range(first, first + count)
    ]


def whole(dataset: Dataset) -> Any:
    return [(text.id, text.text, text.image_ids, text.columns) for text in dataset.texts], dict(dataset.pictures)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_rows_are_found_in_any_order_and_process(compression: str | None, tmp_path: Path) -> None:
    path = save_table(tmp_path / "a.arrow", captions(7), "captions", compression=compression)
    assert formats.recognise(path) == formats.recognise(tmp_path) == "arrow"
    dataset = formats.open_dataset(path)
    assert dataset.pictures["5.jpg"] == png(5)
    assert dataset.texts[-1].place == "a.arrow:7"
    assert [text.id for text in dataset.texts][:4] == ["0.jpg#0", "1.jpg#0", "1.jpg#1", "2.jpg#0"]
    assert [dataset.texts[place] for place in reversed(range(len(dataset.texts)))] == list(dataset.texts)[::-1]
    with pytest.raises(KeyError):
        dataset.pictures["7.jpg"]
    content = whole(dataset)
    assert whole(pickle.loads(pickle.dumps(dataset))) == content
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(whole, [dataset] * 2) == [content] * 2


def test_numbered_files_are_one_table_and_others_are_none(tmp_path: Path) -> None:
    for shard in (10, 2, 0):
        save_table(tmp_path / f"sbu_{shard}.arrow", captions(2, 100 * shard), "captions", batch=1)
    save_table(tmp_path / "nlvr2_dev.arrow", [], "statements")
    other = pyarrow.table({"image": [b"1"], "text": ["a"]})
    with (
        pyarrow.OSFile(str(tmp_path / "other.arrow"), "wb") as file,
        pyarrow.ipc.new_file(file, other.schema) as writer,
    ):
        writer.write_table(other)
    (tmp_path / "broken.arrow").write_bytes(b"ARROW1")
    assert formats.splits(tmp_path) == ["nlvr2_dev", "sbu"]
    dataset = formats.open_dataset(tmp_path, "sbu")
    assert list(dataset.pictures) == ["0.jpg", "1.jpg", "200.jpg", "201.jpg", "1000.jpg", "1001.jpg"]
    assert [text.place for text in dataset.texts if text.id.endswith("#0")][2:4] == ["sbu_2.arrow:1", "sbu_2.arrow:2"]
    assert len(formats.open_dataset(tmp_path, "nlvr2_dev").texts) == 0
    with pytest.raises(InputError, match="looks like none of"):
        formats.recognise(tmp_path / "other.arrow")


@pytest.mark.parametrize("cut", [1, 100, 900])
def test_a_file_that_is_cut_off_is_refused(cut: int, tmp_path: Path) -> None:
    path = save_table(tmp_path / "a.arrow", captions(4), "captions")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=r"a\.arrow is no whole Arrow file, it may be cut off"):
        formats.open_dataset(path, format="arrow")
    with pytest.raises(InputError, match="is no whole Arrow file"):
        Table([path])


def test_bad_rows_are_named(tmp_path: Path) -> None:
    rows = captions(6)
    rows[0]["image"] = None
    rows[1]["caption"] = []
    rows[3]["image_id"] = "2.jpg"
    rows[4]["image_id"] = None
    dataset = formats.open_dataset(save_table(tmp_path / "a.arrow", rows, "captions"))
    assert list(dataset.pictures) == ["2.jpg", "5.jpg"]
    assert {failure.id: failure.reason for failure in dataset.failures} == {
        "a.arrow:1": "its image is missing",
        "a.arrow:2": "it has no caption",
        "a.arrow:4": "its image_id 2.jpg is that of a.arrow:3, too",
        "a.arrow:5": "its image_id is empty",
    }
    assert {text.image_ids for text in dataset.texts} == {("2.jpg",), ("5.jpg",)}
    question = {"image": b"1", "questions": ["a", "b"], "image_id": 1, "question_id": [1], "split": "train"}
    answers = {"answers": [["x"], []], "answer_labels": [[0], []], "answer_scores": [[1.0], []]}
    good = {**question, "image_id": 2, "question_id": [5, 6]}
    path = save_table(tmp_path / "q.arrow", [question | answers, good | answers], "questions")
    found = formats.open_dataset(path)
    assert found.failures == [Failure("q.arrow:1", "it has not as many question_id as questions")]
    assert [text.columns for text in found.texts] == [
        {"scores": {"x": 1.0}, "labels": [0], "answer": "x"},
        {"scores": {}, "labels": [], "answer": ""},
    ]


@pytest.mark.parametrize(
    ("make", "path", "split"),
    [
        (official.save_karpathy, "karpathy/dataset_flickr30k.json", "test"),
        (official.save_visual_genome, "", "regions"),
        (official.some_vqa, "", "val"),
        (official.some_vqa, "", "test"),
        (official.save_nlvr2, "", "train"),
        (official.save_snli_ve, "", "dev"),
    ],
)
def test_what_is_written_is_read_again(make: Callable[[Path], Path], path: str, split: str, tmp_path: Path) -> None:
    source = formats.open_dataset(make(tmp_path / "raw") / path, split)
    write_labels(tmp_path, {"yes": 0, "2": 1})
    formats.write(source, tmp_path / "made.arrow", "arrow", split)
    made = formats.open_dataset(tmp_path / "made.arrow")
    assert made.kind == source.kind
    said = [sorted(text.text for text in dataset.texts) for dataset in (made, source)]
    if split == "val":  # a question without a known answer is left out
        said[1].remove("why?")
    assert said[0] == said[1]
    files = [sorted(content_of(dataset)) for dataset in (made, source)]
    assert files[0] == files[1]
    again = tmp_path / "again.arrow"
    formats.write(made, again, "arrow", split)
    assert whole(formats.open_dataset(again)) == whole(made)


def content_of(dataset: Dataset) -> list[bytes]:
    pictures = (dataset.pictures[id] for text in dataset.texts for id in text.image_ids)
    return list({picture if isinstance(picture, bytes) else Path(str(picture)).read_bytes() for picture in pictures})


def test_answers_need_their_labels(tmp_path: Path) -> None:
    source = formats.open_dataset(official.some_vqa(tmp_path / "raw"), "val")
    with pytest.raises(InputError, match=r"answer2label\.json is not there.*--label-file"):
        formats.write(source, tmp_path / "made", "arrow", "val")
    write_labels(tmp_path, {"no": 0, "yes": 1})
    labels = Options(label_file=tmp_path / "label2answer.json")
    formats.write(source, tmp_path / "made", "arrow", "val", labels)
    made = formats.open_dataset(tmp_path / "made" / "val.arrow")
    assert [(text.id, text.columns["scores"]) for text in made.texts] == [("200", {"yes": 1.0, "no": 0.3})]


def test_names_become_numbers_where_the_table_wants_numbers(tmp_path: Path) -> None:
    source = formats.open_dataset(official.some_vqa(tmp_path / "raw"), "test")
    texts = [type(text)(f"q{text.id}", text.text, text.image_ids, text.place, text.columns) for text in source.texts]
    source.texts = texts
    writing = Writing()
    formats.write(source, tmp_path / "made", "arrow", "test", writing=writing)
    table = Table([tmp_path / "made" / "test.arrow"])
    assert [table.value(row, "question_id") for row in range(2)] == [[0, 1], [2]]
    assert (tmp_path / "made" / "test_text_ids.tsv").read_text() == "0\tq300\n1\tq301\n2\tq302\n"
    assert "test_text_ids.tsv" in writing.notes[0]


def test_a_picture_that_cannot_be_read_is_a_failure_and_no_row(tmp_path: Path) -> None:
    save_split(tmp_path / "raw")
    official.save_karpathy(tmp_path)
    dataset = formats.open_dataset(tmp_path / "karpathy" / "dataset_flickr30k.json", "test")
    (tmp_path / "flickr30k-images" / "2.jpg").unlink()
    writing = Writing()
    formats.write(dataset, tmp_path / "made.arrow", "arrow", writing=writing)
    assert [failure.id for failure in writing.failures] == ["2.jpg"]
    assert list(formats.open_dataset(tmp_path / "made.arrow").pictures) == ["3.jpg"]
    with pytest.raises(InputError, match="cannot be read"):
        formats.write(dataset, tmp_path / "other.arrow", "arrow", writing=Writing(on_error="fail"))
    assert not (tmp_path / "other.arrow").exists()
    with pytest.raises(InputError, match="is there already"):
        formats.write(dataset, tmp_path / "made.arrow", "arrow")


def test_tables_from_other_formats_hold_their_pairs(tmp_path: Path) -> None:
    source = formats.open_dataset(save_split(tmp_path / "raw"))
    formats.write(source, tmp_path / "made", "arrow")
    made = formats.open_dataset(tmp_path / "made" / "train.arrow")
    pairs = [(sample.image_id, sample.text) for sample in source.samples()]
    assert sorted((sample.image_id, sample.text) for sample in made.samples()) == sorted(pairs)
    assert {id: made.pictures[id] for id in made.pictures} == dict(source.pictures)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("vqav2_val", "vqav2_rest_val_fix", True),
        ("vqav2_rest_val", "vqav2_trainable_val", False),
        ("vqav2_test", "vqav2_test-dev", True),
        ("nlvr2_dev", "nlvr2_balanced_dev", True),
        ("nlvr2_dev", "nlvr2_train", False),
        ("vgqa_train", "vgqa_coco_train", True),
        ("snli_train", "snli_dev", False),
    ],
)
def test_parts_of_a_split_are_known_to_share_its_pictures(one: str, other: str, shared: bool) -> None:
    assert formats.share_pictures("arrow", one, other) is shared
    assert formats.share_pictures("arrow", other, one) is shared
