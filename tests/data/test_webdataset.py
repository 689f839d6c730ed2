"""Webdataset's tars: those of others, ours in its own reader, and what is said of damaged ones."""

from __future__ import annotations

import gc
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset

from tests.data.test_round_trips import rich, said, sample, written
from tests.datasets import png
from tuwen.data import formats
from tuwen.data.dataset import Dataset
from tuwen.data.options import Options, Writing
from tuwen.data.tars import members as members_of
from tuwen.errors import InputError


def tar(path: Path, members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def failures(dataset: Dataset) -> dict[str, str]:
    return {failure.id: failure.reason for failure in dataset.failures}


def foreign(number: int) -> dict[str, bytes]:
    return {f"{number:05d}.png": png(number), f"{number:05d}.txt": f"第{number}张".encode()}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the package leaves its files open
def test_the_package_webdataset_reads_what_is_written(tmp_path: Path) -> None:
    path = written(sample(), "webdataset", tmp_path)
    names = [str(file) for file in sorted(path.iterdir())]
    assert [Path(name).name for name in names] == ["train-000000.tar", "train-000001.tar"]
    rows: list[dict[str, Any]] = list(webdataset.WebDataset(names, shardshuffle=False).decode())
    gc.collect()
    assert [row["__key__"] for row in rows] == ["000000000", "000000001", "000000002"]
    assert [row["png"] for row in rows] == [png(number) for number in (7, 3, 12)]
    assert [row["json"]["image_id"] for row in rows] == ["7", "3", "12"]
    assert [row["txt"].split("\n") for row in rows] == [row["json"]["text"] for row in rows]


def test_what_the_package_webdataset_writes_is_read(tmp_path: Path) -> None:
    with webdataset.TarWriter(str(tmp_path / "a-000.tar")) as writer:
        writer.write({"__key__": "x/one", "png": png(1), "txt": "一只猫\n两只猫", "json": {"width": 3}})
        writer.write({"__key__": "x/two", "jpg": b"\xff\xd8\xff", "txt": "cat"})
    dataset = formats.open_dataset(tmp_path)
    assert not dataset.failures
    assert (dataset.format, dataset.split) == ("webdataset", "a")
    assert [(text.id, text.text, text.image_ids, text.columns) for text in dataset.texts] == [
        ("x/one#0", "一只猫", ("x/one",), {"width": 3}),
        ("x/one#1", "两只猫", ("x/one",), {"width": 3}),
        ("x/two", "cat", ("x/two",), {}),
    ]
    assert dataset.pictures["x/one"] == png(1)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_names_of_any_length_and_folders_are_read(form: int, tmp_path: Path) -> None:
    key = "图" * 60 if form != tarfile.USTAR_FORMAT else f"{'a' * 90}/{'b' * 90}"
    path = tar(tmp_path / "a.tar", {f"{key}.PNG": png(1), f"{key}.txt": b"one"}, form)
    dataset = formats.open_dataset(path)
    assert dict(dataset.pictures) == {key: png(1)}


def test_captions_may_stand_in_the_json_or_under_another_ending(tmp_path: Path) -> None:
    members = {"1.jpg": png(1), "1.json": json.dumps({"caption": "甲", "uid": 5}).encode(), "1.seg.png": png(9)}
    path = tar(tmp_path / "a.tar", {**members, "1.zh.txt": "乙".encode()})
    (text,) = formats.open_dataset(path).texts
    assert (text.text, text.columns) == ("甲", {"uid": 5})
    dataset = formats.open_dataset(path, options=Options(columns={"image": "seg.png", "text": "zh.txt"}))
    assert dataset.pictures["1"] == png(9)
    assert [text.text for text in dataset.texts] == ["乙"]


@pytest.mark.parametrize("pattern", ["a-{00..02}.tar", "a-*.tar"])
def test_a_pattern_stands_for_its_tars(pattern: str, tmp_path: Path) -> None:
    for number in range(3):
        tar(tmp_path / f"a-{number:02d}.tar", foreign(number))
    tar(tmp_path / "b-00.tar", foreign(9))
    dataset = formats.open_dataset(tmp_path / pattern)
    assert list(dataset.pictures) == ["00000", "00001", "00002"]
    assert formats.splits(tmp_path) == ["a", "b"]
    with pytest.raises(InputError, match=r"none-\*\.tar looks like none of"):
        formats.open_dataset(tmp_path / "none-*.tar")


@pytest.mark.parametrize("cut", range(0, 9 * 512, 100))
def test_a_tar_that_is_cut_off_loses_nothing_before_the_cut(cut: int, tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar", {name: part for number in range(3) for name, part in foreign(number).items()})
    content = whole.read_bytes()[: 12 * 512 - cut]
    whole.write_bytes(content)
    dataset = formats.open_dataset(whole, format="webdataset")
    complete = sum(len(content) >= 4 * 512 * number + 3 * 512 + len("第0张".encode()) for number in range(3))
    assert list(dataset.pictures)[:complete] == [f"{number:05d}" for number in range(complete)]
    assert [text.text for text in dataset.texts][:complete] == [f"第{number}张" for number in range(complete)]
    assert "cut off at byte" in failures(dataset)["a.tar"]
    assert len(dataset.pictures) == len(dataset.texts) == complete


def test_damage_is_named_with_the_tar_and_the_sample(tmp_path: Path) -> None:
    members = {
        "0.png": png(0),
        "0.txt": b"good",
        "1.txt": b"no picture",
        "2.png": png(2),
        "2.json": b"{",
        "3.cls": b"1",
    }
    tar(tmp_path / "a-0.tar", {**members, "4.png": png(4), "4.txt": b"\xff\xfe", "5.png": png(5), "5.jpg": b"x"})
    (tmp_path / "a-1.tar").write_bytes(b"no tar" * 200)
    content = bytearray(tar(tmp_path / "a-2.tar", foreign(7) | foreign(8)).read_bytes())
    content[4 * 512 + 3] ^= 1
    (tmp_path / "a-2.tar").write_bytes(content)
    dataset = formats.open_dataset(tmp_path)
    assert list(dataset.pictures) == ["0", "5", "00007"]
    found = failures(dataset)
    assert found["a-0.tar:1"] == "it has no picture, only txt"
    assert "not JSON" in found["a-0.tar:2"]
    assert found["a-0.tar:3"] == "it has neither a picture nor a text, only cls"
    assert "not UTF-8" in found["a-0.tar:4"]
    assert "is no tar" in found["a-1.tar"]
    assert "damaged at byte 2048, behind 00007.txt" in found["a-2.tar"]


def test_two_samples_of_one_key_keep_both_pictures(tmp_path: Path) -> None:
    tar(tmp_path / "a-0.tar", foreign(1))
    tar(tmp_path / "a-1.tar", {"00001.png": png(2), "00001.txt": b"other"})
    dataset = formats.open_dataset(tmp_path)
    assert dict(dataset.pictures) == {"00001": png(1), "00001 (a-1.tar:00001)": png(2)}
    assert [text.image_ids for text in dataset.texts] == [("00001",), ("00001 (a-1.tar:00001)",)]
    assert "a-1.tar:00001 has another picture of the id 00001" in dataset.notes[0]


def test_shards_hold_as_many_samples_as_asked_for(tmp_path: Path) -> None:
    formats.write(rich(), tmp_path, "webdataset", "x", Options(shard_rows=3), Writing())
    names = [{member.name[:9] for member in members_of(file, [])} for file in sorted(tmp_path.iterdir())]
    assert [len(samples) for samples in names] == [3, 3, 2]
    assert said(formats.open_dataset(tmp_path)) == said(rich())
