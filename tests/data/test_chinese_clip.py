"""Chinese-CLIP's raw files: read by id, bad rows named, written as they were."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets import content_of, files_of, png, save_images, save_split, save_texts
from tuwen.data import formats
from tuwen.data.chinese_clip import Numbers, open_dataset
from tuwen.data.chinese_clip_table import decoded, open_table
from tuwen.data.dataset import Dataset
from tuwen.data.folder import Failure
from tuwen.data.options import Writing
from tuwen.errors import InputError, UsageError

ODD_ROWS = [
    b"1\tabcd\n",
    b"2\tab==\n",
    b"3\tabc=\n",
    b"4\tab=d\n",
    b"5\ta=b=\n",
    b"6\t====\n",
    b"7\tabc\n",
    b"8 \tabcd\n",
    b" 9\tabcd\n",
    b"10\tabcd \n",
    b"11\tabcd\r\n",
    b"1=2\tabc\n",
    b"=\tabcd\n",
    b"ab\n",
    b"\tabcd\n",
    b"12\t\n",
    b"\n",
    b"a.jpg\tab-_\n",
    "图\tabcd\n".encode(),
    b"1\tabce\n",
]


def failures(dataset: Dataset) -> dict[str, str]:
    return {failure.id: failure.reason for failure in dataset.failures}


def test_pictures_and_texts_are_found_by_id_and_place(tmp_path: Path) -> None:
    dataset = formats.open_dataset(save_split(tmp_path))
    assert (dataset.format, dataset.kind, dataset.split) == ("chinese-clip", "pairs", "train")
    assert list(dataset.pictures) == ["0", "7", "14", "21", "28", "35"]
    assert dataset.pictures["14"] == png(14)
    assert [text.image_ids for text in dataset.texts][:3] == [("0",), ("7", "0"), ("14",)]
    assert dataset.texts[3].place == "train_texts.jsonl:4"
    assert dataset.texts[-1].image_ids == ()
    assert len(dataset.samples()) == 9
    assert not dataset.failures
    with pytest.raises(KeyError):
        dataset.pictures["8"]


def test_splits_are_those_with_texts_and_pictures(tmp_path: Path) -> None:
    for split in ("test", "valid", "extra", "train"):
        save_split(tmp_path, split, 1)
    save_texts(tmp_path / "alone_texts.jsonl", [])
    assert formats.splits(tmp_path) == ["train", "valid", "test", "extra"]
    assert formats.splits(tmp_path / "valid_imgs.tsv") == ["valid"]
    assert formats.open_dataset(tmp_path / "valid_texts.jsonl").split == "valid"
    with pytest.raises(InputError, match=r"splits train, valid, test, extra: name one"):
        formats.open_dataset(tmp_path)
    with pytest.raises(InputError, match=r"no split 'dev'"):
        formats.open_dataset(tmp_path, "dev")


def test_a_truncated_tsv_loses_its_last_row_only(tmp_path: Path) -> None:
    path = save_split(tmp_path) / "train_imgs.tsv"
    path.write_bytes(path.read_bytes()[:-6])
    dataset = formats.open_dataset(tmp_path)
    assert len(dataset.pictures) == 5
    found = failures(dataset)
    assert "not a multiple of four" in found["train_imgs.tsv:6"]
    assert "the file ends in the middle of this row" in found["train_imgs.tsv:6"]
    assert found["train_texts.jsonl:6"] == "its pictures 35 are not in train_imgs.tsv, the others count"
    assert dataset.texts[5].image_ids == ("28",)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"5\tabc!", "'!'"),
        (b"5\tabcde", "5 letters, not a multiple of four"),
        (b"5\ta===", "not a multiple of four"),
        (b"5\t", "no tab"),
        (b"5", "no tab"),
        (b"5\tabcd\tabcd", "3 columns"),
        (b"\tabcd", "no tab"),
        (b"\xff\xfe\tabcd", "not UTF-8"),
        (b"", "the line is empty"),
    ],
)
def test_a_bad_row_is_named_and_the_others_count(row: bytes, reason: str, tmp_path: Path) -> None:
    path = save_images(tmp_path / "train_imgs.tsv", [(1, png(1))])
    path.write_bytes(row + b"\n" + path.read_bytes())
    save_texts(tmp_path / "train_texts.jsonl", [(1, "a", [1])])
    dataset = formats.open_dataset(tmp_path)
    assert list(dataset.pictures) == ["1"]
    assert reason in failures(dataset)["train_imgs.tsv:1"]


def test_both_alphabets_of_base64_are_read() -> None:
    assert decoded(b"-_-_", "x") == decoded(b"+/+/", "x") == b"\xfb\xff\xbf"
    with pytest.raises(InputError, match=r"^x: there is no picture"):
        decoded(b"", "x")


def test_marks_of_utf8_at_the_beginning_and_windows_lines_are_read(tmp_path: Path) -> None:
    save_split(tmp_path)
    plain = content_of(formats.open_dataset(tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    dataset = formats.open_dataset(tmp_path)
    assert content_of(dataset) == plain
    assert not dataset.failures


def test_ids_are_texts_or_numbers(tmp_path: Path) -> None:
    save_images(tmp_path / "train_imgs.tsv", [("a.jpg", png(1)), (2, png(2))])
    save_texts(tmp_path / "train_texts.jsonl", [("t1", "x", ["a.jpg", "2"]), (2, "y", [2])])
    dataset = formats.open_dataset(tmp_path)
    assert [(text.id, text.image_ids) for text in dataset.texts] == [("t1", ("a.jpg", "2")), ("2", ("2",))]
    assert not dataset.failures


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text_id": 1, "text": "a"}', "it has no image_ids"),
        ('{"text_id": 1.5, "text": "a", "image_ids": []}', "its text_id is 1.5"),
        ('{"text_id": 1, "text": ["a"], "image_ids": []}', "its text is"),
        ('{"text_id": 1, "text": "a", "image_ids": 3}', "its image_ids are 3"),
        ('{"text_id": 1, "text": "a", "image_ids": [null]}', "its image_ids are"),
        ('{"text_id": 1, "text": "a', "the file ends in the middle of this line"),
        ("[1]", "expected an object"),
        ('{"text_id": 1, "text": "a", "image_ids": [9]}', "its pictures 9 are not in train_imgs.tsv"),
    ],
)
def test_a_bad_line_is_named_and_the_others_count(line: str, reason: str, tmp_path: Path) -> None:
    path = save_split(tmp_path, count=2) / "train_texts.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
    dataset = formats.open_dataset(tmp_path)
    assert len(dataset.texts) == 3
    assert reason in failures(dataset)["train_texts.jsonl:4"]


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = save_split(tmp_path, count=2) / "train_texts.jsonl"
    path.write_bytes(path.read_bytes() + '{"text_id": 9, "text": "中文", "image_ids": []}\n'.encode("gb18030"))
    assert "not UTF-8" in failures(formats.open_dataset(tmp_path))["train_texts.jsonl:4"]


def test_of_two_pictures_with_one_id_the_later_counts_and_both_are_named(tmp_path: Path) -> None:
    save_images(tmp_path / "train_imgs.tsv", [(1, png(1)), (2, png(2)), (1, png(3)), (2, png(2))])
    save_texts(tmp_path / "train_texts.jsonl", [(1, "a", [1, 2])])
    dataset = formats.open_dataset(tmp_path)
    assert list(dataset.pictures) == ["1", "2"]
    assert dataset.pictures["1"] == png(3)
    assert failures(dataset) == {
        "train_imgs.tsv:1": "its id 1 has another picture in line 3, which is the one that counts"
    }


def test_text_ids_that_come_again_are_kept_and_told(tmp_path: Path) -> None:
    save_split(tmp_path, count=1)
    save_texts(tmp_path / "train_texts.jsonl", [(1, "a", [0]), (1, "b", [0])])
    dataset = formats.open_dataset(tmp_path)
    assert [text.text for text in dataset.texts] == ["a", "b"]
    assert dataset.notes == ["1 text ids come again, the first is 1: train_texts.jsonl"]


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    save_split(tmp_path)
    (tmp_path / "train_imgs.tsv").unlink()
    with pytest.raises(InputError, match=r"train_imgs\.tsv cannot be read"):
        open_dataset(tmp_path, "train")


def picture_of(given: tuple[Dataset, str]) -> tuple[bytes, str]:
    dataset, id = given
    picture = dataset.pictures[id]
    assert isinstance(picture, bytes)
    return picture, dataset.texts[1].text


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("to", ["chinese-clip", "chinese-clip-lmdb"])
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_other_processes_read_what_this_one_opened(method: str, to: str, tmp_path: Path) -> None:
    formats.write(formats.open_dataset(save_split(tmp_path / "raw")), tmp_path / "out", to)
    dataset = formats.open_dataset(tmp_path / "out")
    assert dataset.pictures["7"] == png(7)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(picture_of, [(dataset, "7"), (dataset, "14")]) == [
            (png(7), dataset.texts[1].text),
            (png(14), dataset.texts[1].text),
        ]
    assert content_of(pickle.loads(pickle.dumps(dataset))) == content_of(dataset)


@given(st.lists(st.sampled_from(ODD_ROWS), max_size=6), st.booleans())
def test_rows_are_judged_one_by_one_however_many_are_read_at_once(rows: list[bytes], cut: bool) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "train_imgs.tsv"
        alone = {}
        for number, row in enumerate(rows, 1):
            path.write_bytes(b"5\tabcd\n" * (number - 1) + row)
            found: list[Failure] = []
            open_table(path, found)
            alone[number] = [failure.reason for failure in found if failure.id.endswith(f":{number}")]
        path.write_bytes(b"".join(rows)[: -1 if cut else None])
        found = []
        pictures = open_table(path, found)
        reasons = {int(failure.id.rpartition(":")[2]): failure.reason for failure in found}
        if not cut:
            named = {number for number, reason in reasons.items() if "another picture" not in reason}
            assert named == {number for number, own in alone.items() if own}
        assert dict(pictures.all_encoded()) == {id: pictures.encoded(id) for id in pictures}
        for start in range(len(pictures) + 1):
            assert list(pictures.all_encoded(start)) == list(pictures.all_encoded())[start:]


@pytest.mark.parametrize("more", ["", '{"text_id": 9', "\n", '{"text_id": 9, "text": "x", "image_ids": ["7"]}\n'])
def test_texts_are_written_as_they_are_read_from_any_place(more: str, tmp_path: Path) -> None:
    path = save_split(tmp_path) / "train_texts.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    dataset = formats.open_dataset(tmp_path)
    expected = [(int(text.id), text.text, [*map(int, text.image_ids)]) for text in dataset.texts]
    for start in range(len(expected) + 1):
        rows = Numbers(dataset).rows(start, frozenset())
        assert [(text_id, text, [*image_ids]) for text_id, text, image_ids in rows] == expected[start:]


# -- writing ----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_the_file_that_was_read(tmp_path: Path) -> None:
    dataset = formats.open_dataset(save_split(tmp_path / "raw"))
    formats.write(dataset, tmp_path / "out", "chinese-clip")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "raw")
    with pytest.raises(InputError, match=r"is there already"):
        formats.write(dataset, tmp_path / "out", "chinese-clip")
    formats.write(dataset, tmp_path / "out", "chinese-clip", "valid")
    formats.write(dataset, tmp_path / "out", "chinese-clip", writing=Writing(overwrite=True))
    assert formats.splits(tmp_path / "out") == ["train", "valid"]


def test_ids_that_are_no_numbers_are_numbered_with_a_table(tmp_path: Path) -> None:
    save_images(tmp_path / "raw" / "train_imgs.tsv", [("b", png(1)), ("007", png(2))])
    save_texts(tmp_path / "raw" / "train_texts.jsonl", [("x", "one", ["007"]), ("y", "two", ["b", "007"])])
    writing = Writing()
    formats.write(formats.open_dataset(tmp_path / "raw"), tmp_path / "out", "chinese-clip", writing=writing)
    assert (tmp_path / "out" / "train_image_ids.tsv").read_text() == "0\tb\n1\t007\n"
    assert (tmp_path / "out" / "train_text_ids.tsv").read_text() == "0\tx\n1\ty\n"
    rows = [json.loads(line) for line in (tmp_path / "out" / "train_texts.jsonl").read_text().splitlines()]
    assert [(row["text_id"], row["image_ids"]) for row in rows] == [(0, [1]), (1, [0, 1])]
    assert ["train_image_ids.tsv" in note for note in writing.notes] == [True, False]
    assert list(formats.open_dataset(tmp_path / "out").pictures) == ["0", "1"]


def test_a_picture_that_cannot_be_read_is_left_out_of_its_texts(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(png(1))
    dataset = formats.open_dataset(save_split(tmp_path / "raw", count=2))
    dataset.pictures = {"0": str(good), "7": str(tmp_path / "gone.png")}
    writing = Writing()
    formats.write(dataset, tmp_path / "out", "chinese-clip", writing=writing)
    assert [failure.id for failure in writing.failures] == ["7"]
    assert [text.image_ids for text in formats.open_dataset(tmp_path / "out").texts] == [("0",), ("0",), ()]
    with pytest.raises(InputError, match=r"^7: .*gone\.png cannot be read"):
        formats.write(dataset, tmp_path / "other", "chinese-clip", writing=Writing(on_error="fail"))
    assert not (tmp_path / "other" / "train_imgs.tsv").exists()


def test_a_split_must_have_a_name(tmp_path: Path) -> None:
    dataset = formats.open_dataset(save_split(tmp_path / "raw"))
    dataset.split = ""
    for form in ("chinese-clip", "chinese-clip-lmdb"):
        with pytest.raises(UsageError, match=r"--split"):
            formats.write(dataset, tmp_path / "out", form)
