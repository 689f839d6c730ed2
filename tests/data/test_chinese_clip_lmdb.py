"""Chinese-CLIP's LMDB: ours is read by the original's code, its is read by us, and nothing in it is run."""

from __future__ import annotations

import base64
import os
import pickle
from pathlib import Path
from typing import Any

import lmdb
import pytest

from tests.datasets import content_of, png, save_images, save_split, save_texts
from tuwen.data import formats, lmdb_store
from tuwen.data.lmdb_building import build_original
from tuwen.data.lmdb_store import read_pair
from tuwen.data.options import Writing
from tuwen.errors import InputError


def dump(folder: Path) -> dict[str, bytes]:
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as reading:
        return {key.decode(): value for key, value in reading.cursor()}


def put(folder: Path, **values: bytes | None) -> None:
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as writing:
        for key, value in values.items():
            if value is None:
                writing.delete(key.encode())
            else:
                writing.put(key.encode(), value)


def as_the_original_reads(folder: Path, index: int) -> tuple[bytes, Any, Any, str]:
    """(picture, image id, text id, text) of a sample, looked up as training does."""
    images, pairs = dump(folder / "imgs"), dump(folder / "pairs")
    image_id, text_id, text = pickle.loads(pairs[str(index % int(pairs["num_samples"]))])
    return base64.urlsafe_b64decode(images[str(image_id)]), image_id, text_id, text


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The folder of a split."""
    formats.write(formats.open_dataset(save_split(tmp_path / "raw")), tmp_path / "lmdb", "chinese-clip-lmdb")
    return tmp_path / "lmdb" / "train"


def test_the_original_reads_ours(built: Path) -> None:
    assert int(dump(built / "imgs")["num_images"]) == 6
    assert int(dump(built / "pairs")["num_samples"]) == 9
    assert as_the_original_reads(built, 2) == (png(0), 0, 1, "第1张图 picture")
    assert {value[:2] for key, value in dump(built / "pairs").items() if key != "num_samples"} == {b"\x80\x04"}


def test_it_comes_back_but_for_texts_without_pictures(built: Path, tmp_path: Path) -> None:
    raw = formats.open_dataset(tmp_path / "raw")
    for path in (built, built.parent, tmp_path):
        dataset = formats.open_dataset(path, format="chinese-clip-lmdb")
        pictures, texts = content_of(raw)
        assert content_of(dataset) == (pictures, texts[:-1])
        assert (dataset.split, dataset.failures, dataset.notes) == ("train", [], [])
    assert list(dataset.pictures) == ["0", "14", "21", "28", "35", "7"]  # bytewise
    assert dataset.texts[1].place == "train/pairs:1"
    assert [text.id for text in dataset.texts[-2:]] == ["4", "5"]
    assert formats.recognise(built.parent) == "chinese-clip-lmdb"


def test_texts_of_the_raw_files_find_their_pictures_in_the_lmdb(built: Path, tmp_path: Path) -> None:
    raw = content_of(formats.open_dataset(tmp_path / "raw"))
    (tmp_path / "raw" / "train_imgs.tsv").unlink()
    (built.parent).rename(tmp_path / "raw" / "lmdb")
    dataset = formats.open_dataset(tmp_path / "raw")
    assert dataset.format == "chinese-clip"
    assert content_of(dataset) == raw


def test_two_readers_of_one_file_do_not_disturb_each_other(built: Path) -> None:
    one, other = formats.open_dataset(built), formats.open_dataset(built)
    first = iter(one.pictures)
    assert one.pictures[next(first)] == other.pictures["0"]
    del one
    assert other.pictures[next(first)] == png(14)


def test_memory_of_pages_that_were_read_is_let_go_of(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_store, "READ_BYTES", 200)
    monkeypatch.setattr(lmdb_store, "BATCH", 2)
    dataset = formats.open_dataset(built)
    assert content_of(dataset)[0]["35"] == png(35)


def test_stale_keys_and_ids_that_came_twice_are_told(tmp_path: Path) -> None:
    folder = save_split(tmp_path / "large", count=6)
    small = tmp_path / "small"
    save_images(small / "train_imgs.tsv", [(0, png(9)), (1, png(1)), (1, png(2))])
    save_texts(small / "train_texts.jsonl", [(5, "new", [0, 1])])
    target = tmp_path / "lmdb"
    assert build_original(folder, target, "train", Writing()) == [
        f"Finished serializing 9 train split pairs into {target}/train/pairs.",
        f"Finished serializing 6 train split images into {target}/train/imgs.",
    ]
    assert build_original(small, target, "train", Writing())[1].startswith("Finished serializing 3 train split images")
    images = dump(target / "train" / "imgs")
    assert (images["num_images"], len(images)) == (b"3", 8)
    assert base64.b64decode(images["1"]) == png(2)
    dataset = formats.open_dataset(target)
    assert [(text.id, text.image_ids) for text in dataset.texts] == [("5", ("0", "1"))]
    assert len(dataset.pictures) == 7
    assert [note.split(":")[0] for note in dataset.notes] == [
        "7 pairs that an earlier build left are passed over, as in the original",
        "num_images is 3, there are 7 pictures",
    ]


def test_ours_counts_pictures_and_not_lines(tmp_path: Path) -> None:
    save_images(tmp_path / "train_imgs.tsv", [(1, png(1)), (1, png(1)), (2, png(2))])
    save_texts(tmp_path / "train_texts.jsonl", [(1, "a", [1])])
    formats.write(formats.open_dataset(tmp_path), tmp_path / "lmdb", "chinese-clip-lmdb")
    assert dump(tmp_path / "lmdb" / "train" / "imgs")["num_images"] == b"2"


def test_the_original_stops_at_a_bad_line(tmp_path: Path) -> None:
    folder = save_split(tmp_path / "raw")
    with (folder / "train_imgs.tsv").open("a") as file:
        file.write("77\n")
    with pytest.raises(InputError, match=r"train_imgs\.tsv:7: it has 1 columns"):
        build_original(folder, tmp_path / "lmdb", "train", Writing())
    with (folder / "train_texts.jsonl").open("a") as file:
        file.write('{"text": "a"}\n')
    with pytest.raises(InputError, match=r"train_texts\.jsonl:8: .*image_ids"):
        build_original(folder, tmp_path / "lmdb", "train", Writing())
    with pytest.raises(InputError, match=r"valid_imgs\.tsv does not exist"):
        build_original(folder, tmp_path / "lmdb", "valid", Writing())
    assert not list((tmp_path / "lmdb").rglob("train/*/data.mdb"))


@pytest.mark.parametrize("pages", [1.5, 2, 2.5])
def test_a_file_that_is_cut_off_is_refused(built: Path, pages: float) -> None:
    path = built / "imgs" / "data.mdb"
    assert path.stat().st_size >= 3 * 4096
    with path.open("rb+") as file:
        file.truncate(int(pages * 4096))
    with pytest.raises(InputError, match=r"imgs/data\.mdb is (cut off|no LMDB, or damaged)"):
        formats.open_dataset(built)


@pytest.mark.parametrize("content", [b"", b"x" * 10, bytes(12288)])
def test_what_is_no_lmdb_is_refused(built: Path, content: bytes) -> None:
    (built / "pairs" / "data.mdb").write_bytes(content)
    with pytest.raises(InputError, match=r"pairs/data\.mdb is no LMDB, or damaged"):
        formats.open_dataset(built)


def test_a_build_that_was_stopped_says_so(built: Path) -> None:
    put(built / "pairs", num_samples=None)
    with pytest.raises(InputError, match=r"no num_samples: it was not built to its end"):
        formats.open_dataset(built)


def test_bad_entries_are_named_and_the_others_count(built: Path) -> None:
    put(built / "pairs", **{"3": None, "4": b"rubbish", "5": pickle.dumps((1, 2)), "7": pickle.dumps((999, 3, "x"), 4)})
    put(built / "imgs", **{"14": b"!!!!"})
    dataset = formats.open_dataset(built)
    found = {failure.id: failure.reason for failure in dataset.failures}
    assert "num_samples counts it" in found["train/pairs:3"]
    assert "no pickled pair" in found["train/pairs:4"]
    assert "expected (image_id, text_id, text)" in found["train/pairs:5"]
    assert found["train/pairs:7"] == "its picture 999 is not in imgs"
    assert [(text.id, text.image_ids, text.place) for text in dataset.texts] == [
        ("0", ("0",), "train/pairs:0"),
        ("1", ("7", "0"), "train/pairs:1"),
        ("4", ("28",), "train/pairs:6"),
        ("5", ("28",), "train/pairs:8"),
    ]
    with pytest.raises(InputError, match=r"picture 14: its base64 has '!'"):
        dataset.pictures["14"]


def test_samples_are_the_pairs_of_texts_and_pictures(built: Path) -> None:
    put(built / "pairs", **{"3": None, "5": pickle.dumps(("7", "a", "two texts for ids"), 4)})
    dataset = formats.open_dataset(built)
    expected: list[Any] = [
        (dataset.pictures[id], text.text, id, text.id, {}) for text in dataset.texts for id in text.image_ids
    ]
    samples = dataset.samples()
    for found in ([samples[number] for number in range(len(samples))], [*samples]):
        assert [(one.image, one.text, one.image_id, one.text_id, one.columns) for one in found] == expected
    assert len(expected) == 8


class Harmful:
    def __reduce__(self) -> tuple[Any, Any]:
        return os.mkdir, ("harm",)


def test_a_pickle_that_would_run_something_is_named_and_not_run(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(built / "pairs", **{"0": pickle.dumps((0, Harmful(), "x"), 4)})
    assert "wants posix.mkdir" in formats.open_dataset(built).failures[0].reason
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "pair",
    [
        (1, 2, "一只猫"),
        (0, 255, ""),
        (256, 65535, "a" * 300),
        (65536, 2**31 - 1, "x"),
        (2**31, 2**40, "y"),
        (-1, 2**70, "z"),
        ("a.jpg", "t", "图" * 70_000),
        ("same", "same", "same"),
    ],
)
def test_a_pair_is_read_however_python_wrote_it(pair: tuple[Any, Any, str], protocol: int) -> None:
    assert read_pair(pickle.dumps(pair, protocol)) == pair


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_pair_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(InputError, match=r"it is no pickled pair|it is "):
        read_pair(pickle.dumps((300, 70_000, "一只猫 cat"), 4)[:-cut])


@pytest.mark.parametrize("value", [(True, 1, "x"), (1, None, "x"), (1, 2, 3), [1, 2, "x"], (1, 2, "x", 4)])
def test_what_is_no_pair_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"expected \(image_id, text_id, text\)"):
        read_pair(pickle.dumps(value, 4))
