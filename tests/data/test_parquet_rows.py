"""Parquet files of pictures and texts: those of Hugging Face, several files, and damaged ones."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.datasets import png
from tuwen.data import formats
from tuwen.data.dataset import Dataset
from tuwen.data.options import Options, content_of
from tuwen.errors import InputError

PICTURE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def save(path: Path, columns: dict[str, Any], rows_per_group: int = 2, **types: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: pyarrow.array(values, types.get(name)) for name, values in columns.items()}
    pyarrow.parquet.write_table(pyarrow.table(arrays), path, row_group_size=rows_per_group)
    return path


def failures(dataset: Dataset) -> dict[str, str]:
    return {failure.id: failure.reason for failure in dataset.failures}


def contents(dataset: Dataset) -> dict[str, bytes]:
    return {id: content_of(dataset.pictures[id]) for id in dataset.pictures}


def test_the_files_of_hugging_face_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.png").write_bytes(png(3))
    first = [{"bytes": png(1), "path": "a.png"}, {"bytes": png(2), "path": None}, {"bytes": None, "path": "c.png"}]
    save(tmp_path / "train-00000-of-00002.parquet", {"image": first, "caption": [["x", "y"], ["z"], []]}, image=PICTURE)
    second = [{"bytes": png(4), "path": "d.png"}, None, {"bytes": None, "path": "gone.png"}]
    save(
        tmp_path / "train-00001-of-00002.parquet",
        {"image": second, "caption": [["w"], ["alone"], ["lost"]]},
        image=PICTURE,
    )
    save(tmp_path / "test-00000-of-00001.parquet", {"image": first[:1], "caption": [["v"]]}, image=PICTURE)
    assert formats.recognise(tmp_path) == "parquet"
    assert formats.splits(tmp_path) == ["train", "test"]
    dataset = formats.open_dataset(tmp_path, "train")
    second_row = "train-00000-of-00002.parquet:2"
    assert contents(dataset) == {"a.png": png(1), second_row: png(2), "c.png": png(3), "d.png": png(4)}
    assert [(text.text, text.image_ids) for text in dataset.texts] == [
        ("x", ("a.png",)),
        ("y", ("a.png",)),
        ("z", (second_row,)),
        ("w", ("d.png",)),
        ("alone", ()),
    ]
    assert dataset.texts[2].id == second_row
    found = failures(dataset)["train-00001-of-00002.parquet:3"]
    assert found.startswith("its picture gone.png is not in")


@pytest.mark.parametrize("kind", ["bytes", "large", "paths", "base64"])
def test_pictures_are_bytes_paths_or_base64(kind: str, tmp_path: Path) -> None:
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    for number, name in enumerate(names):
        Path(name).write_bytes(png(number))
    images: dict[str, tuple[list[Any], Any]] = {
        "bytes": ([png(0), png(1), png(2)], pyarrow.binary()),
        "large": ([png(0), png(1), png(2)], pyarrow.large_binary()),
        "paths": ([*names], pyarrow.string()),
        "base64": ([base64.b64encode(png(number)).decode() for number in range(3)], pyarrow.string()),
    }
    values, of = images[kind]
    columns = {"picture": values, "words": ["a", "b", "c"], "key": [5, 6, 7], "more": [1.5, None, 2.5]}
    path = save(tmp_path / "x.parquet", columns, picture=of)
    dataset = formats.open_dataset(
        path, format="parquet", options=Options(columns={"text": "words", "image_id": "key"})
    )
    assert contents(dataset) == {"5": png(0), "6": png(1), "7": png(2)}
    assert [(text.id, text.image_ids) for text in dataset.texts][2] == ("x.parquet:3", ("7",))
    assert [text.columns for text in dataset.texts] == [{"more": 1.5}, {}, {"more": 2.5}]


def test_bad_rows_are_named_and_the_others_count(tmp_path: Path) -> None:
    columns = {
        "image": [png(0), None, png(2), png(3), b""],
        "text": [["a"], [], ["b", "c"], ["d"], ["e"]],
        "text_id": [["1"], [], ["2"], ["4"], ["5"]],
    }
    dataset = formats.open_dataset(save(tmp_path / "x.parquet", columns, image=pyarrow.binary()))
    assert [(text.id, text.image_ids) for text in dataset.texts] == [
        ("1", ("x.parquet:1",)),
        ("4", ("x.parquet:4",)),
    ]
    assert failures(dataset) == {
        "x.parquet:2": "it has neither a picture nor a text",
        "x.parquet:3": "it has 2 texts and 1 ids of texts",
        "x.parquet:5": "its picture holds no bytes",
    }


def test_a_file_that_is_cut_off_is_named_and_the_others_count(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"train-{number}.parquet", {"image": [png(number)], "text": ["a"], "image_id": [number]})
    cut = tmp_path / "train-1.parquet"
    cut.write_bytes(cut.read_bytes()[:-20])
    dataset = formats.open_dataset(tmp_path)
    assert contents(dataset) == {"0": png(0), "2": png(2)}
    assert "no whole Parquet file, it may be cut off" in failures(dataset)["train-1.parquet"]
    with pytest.raises(InputError, match=r"train-1\.parquet is no whole Parquet file"):
        formats.open_dataset(cut, format="parquet")


def test_a_damaged_group_of_rows_is_named_and_the_others_count(tmp_path: Path) -> None:
    words = [f"text number {number} " * 9 for number in range(6)]
    path = save(tmp_path / "x.parquet", {"image": [png(number) for number in range(6)], "text": words})
    column = pyarrow.parquet.ParquetFile(path).metadata.row_group(1).column(1)
    start = column.dictionary_page_offset or column.data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    dataset = formats.open_dataset(path)
    assert [text.text for text in dataset.texts] == [words[number] for number in (0, 1, 4, 5)]
    assert list(failures(dataset)) == ["x.parquet:3-4"]
    assert "these rows are damaged" in failures(dataset)["x.parquet:3-4"]


def test_pictures_of_other_groups_are_read_in_any_order(tmp_path: Path) -> None:
    columns = {"image": [png(number) for number in range(9)], "text": [f"{number}" for number in range(9)]}
    dataset = formats.open_dataset(save(tmp_path / "x.parquet", columns))
    for number in (8, 0, 5, 4, 1):
        assert content_of(dataset.pictures[f"x.parquet:{number + 1}"]) == png(number)
        assert dataset.texts[number].text == str(number)


def test_large_sets_go_to_several_files(tmp_path: Path) -> None:
    columns = {"image": [png(number) for number in range(5)], "text": [f"{number}" for number in range(5)]}
    dataset = formats.open_dataset(save(tmp_path / "x.parquet", columns))
    formats.write(dataset, tmp_path / "out", "parquet", "train", Options(shard_rows=2))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"train-0000{number}-of-00003.parquet" for number in range(3)
    ]
    assert contents(formats.open_dataset(tmp_path / "out")) == contents(dataset)
