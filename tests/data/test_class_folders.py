"""Folders of classes: whose picture is whose, in every order that names can have."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tuwen.data import formats
from tuwen.data.class_folders import looks_like, open_dataset, splits
from tuwen.data.dataset import CLASSES, Dataset
from tuwen.data.options import Options
from tuwen.errors import InputError


def made(root: Path, folders: dict[str, int], names: list[str] | None = None, split: str = "test") -> Path:
    """So many pictures in each folder; the bytes of each are its id."""
    for folder, count in folders.items():
        (root / split / folder).mkdir(parents=True)
        for number in range(count):
            (root / split / folder / f"{number}.jpg").write_bytes(f"{folder}/{number}.jpg".encode())
    if names is not None:
        (root / "label_cn.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


def classes(dataset: Dataset) -> dict[str, list[str]]:
    return {text.text: list(text.image_ids) for text in dataset.texts}


def test_every_picture_belongs_to_the_line_of_its_folder(tmp_path: Path) -> None:
    dataset = open_dataset(made(tmp_path, {"0": 2, "1": 1}, ["猫", "狗"]), "test")
    assert dataset.kind == CLASSES
    assert classes(dataset) == {"猫": ["0/0.jpg", "0/1.jpg"], "狗": ["1/0.jpg"]}
    assert [text.place for text in dataset.texts] == ["label_cn.txt:1", "label_cn.txt:2"]
    assert list(dataset.pictures) == ["0/0.jpg", "0/1.jpg", "1/0.jpg"]
    assert Path(str(dataset.pictures["1/0.jpg"])).read_bytes() == b"1/0.jpg"
    assert not dataset.failures
    again = pickle.loads(pickle.dumps(dataset))
    assert classes(again) == classes(dataset)
    assert again.pictures["1/0.jpg"] == dataset.pictures["1/0.jpg"]


def test_numbers_as_names_count_though_ten_stands_before_two(tmp_path: Path) -> None:
    dataset = open_dataset(made(tmp_path, {str(n): 1 for n in range(12)}, [f"类{n}" for n in range(12)]), "test")
    assert classes(dataset)["类10"] == ["10/0.jpg"]
    assert "the original takes their order as text" in dataset.notes[0]


@pytest.mark.parametrize("start", [0, 1])
def test_numbers_with_zeros_before_them_begin_anywhere(tmp_path: Path, start: int) -> None:
    folders = {f"{n + start:03d}": 1 for n in range(11)}
    dataset = open_dataset(made(tmp_path, folders, [f"类{n}" for n in range(11)]), "test")
    assert classes(dataset)["类10"] == [f"{10 + start:03d}/0.jpg"]
    assert not dataset.notes


def test_a_class_without_a_folder_has_no_pictures(tmp_path: Path) -> None:
    dataset = open_dataset(made(tmp_path, {"0": 1, "2": 1}, ["a", "b", "c"]), "test")
    assert classes(dataset) == {"a": ["0/0.jpg"], "b": [], "c": ["2/0.jpg"]}


def test_folders_and_names_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 2 folders and label_cn\.txt 3 names"):
        open_dataset(made(tmp_path, {"cat": 1, "dog": 1}, ["a", "b", "c"]), "test")


def test_without_names_folders_are_the_names(tmp_path: Path) -> None:
    assert classes(open_dataset(made(tmp_path, {"dog": 1, "cat": 1}), "test")) == {
        "cat": ["cat/0.jpg"],
        "dog": ["dog/0.jpg"],
    }


def test_an_empty_line_at_the_end_is_no_class_and_one_between_is_an_error(tmp_path: Path) -> None:
    made(tmp_path, {"0": 1, "1": 1}, ["猫", "狗", "", ""])
    assert len(open_dataset(tmp_path, "test").texts) == 2
    (tmp_path / "label_cn.txt").write_text("猫\n\n狗", encoding="utf-8")
    with pytest.raises(InputError, match="line 2 is empty"):
        open_dataset(tmp_path, "test")


def test_as_the_original_reads_them_folders_count_by_rank_and_empty_lines_are_classes(tmp_path: Path) -> None:
    folders = {str(n): 1 for n in (0, 2, 10)}
    root = made(tmp_path, folders, ["猫", "狗", "", "马", ""])
    dataset = open_dataset(root, "test", Options(original=True))
    assert [(text.text, text.image_ids) for text in dataset.texts] == [
        ("猫", ("0/0.jpg",)),
        ("狗", ("10/0.jpg",)),
        ("", ("2/0.jpg",)),
        ("马", ()),
        ("", ()),
    ]
    assert not dataset.notes
    (root / "label_cn.txt").write_text("猫\n狗\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"3 folders and label_cn.txt 2 names"):
        open_dataset(root, "test", Options(original=True))


def test_names_in_both_languages_stand_side_by_side(tmp_path: Path) -> None:
    made(tmp_path, {"0": 1, "1": 1}, ["猫", "狗"])
    (tmp_path / "label.txt").write_text("cat\ndog\n", encoding="utf-8")
    texts = open_dataset(tmp_path, "test").texts
    assert texts[1].columns == {"number": 1, "zh": "狗", "en": "dog"}
    (tmp_path / "label.txt").write_text("cat\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"2 in label_cn\.txt and 1 in label\.txt"):
        open_dataset(tmp_path, "test")


def test_a_file_of_names_may_lie_anywhere(tmp_path: Path) -> None:
    made(tmp_path / "set", {"0": 1, "1": 1}, ["猫", "狗"])
    (tmp_path / "mine.txt").write_text("甲\n乙", encoding="utf-8")
    dataset = open_dataset(tmp_path / "set", "test", Options(label_file=tmp_path / "mine.txt"))
    assert list(classes(dataset)) == ["甲", "乙"]


def test_pictures_stand_in_the_order_of_folders_and_names_to_the_bottom(tmp_path: Path) -> None:
    made(tmp_path, {"0": 1, "1": 1}, ["a", "b"])
    for name in ("b/2.png", "a/1.PNG", "z.webp", "notes.md"):
        (tmp_path / "test" / "0" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "test" / "0" / name).write_bytes(b"x")
    (tmp_path / "test" / "stray.jpg").write_bytes(b"x")
    dataset = open_dataset(tmp_path, "test")
    assert list(dataset.pictures) == ["0/0.jpg", "0/z.webp", "0/a/1.PNG", "0/b/2.png", "1/0.jpg"]
    assert [failure.id for failure in dataset.failures] == ["stray.jpg"]
    assert dataset.notes == ["1 files in 0 are no pictures and are left out"]


def test_an_index_says_which_row_a_picture_has(tmp_path: Path) -> None:
    made(tmp_path, {"0": 2, "1": 1}, ["a", "b"])
    (tmp_path / "index.json").write_text(json.dumps([2, 0, 1]), encoding="utf-8")
    columns = open_dataset(tmp_path, "test").picture_columns
    assert columns == {"1/0.jpg": {"row": 0}, "0/0.jpg": {"row": 1}, "0/1.jpg": {"row": 2}}


@pytest.mark.parametrize(
    ("index", "failed", "said"),
    [
        ("[0, 0, 1]", True, "each of the numbers 0 to 2 once"),
        ("{", True, "JSON"),
        ("[1, 0]", False, "not of this split"),
    ],
)
def test_an_index_that_does_not_fit_is_told(tmp_path: Path, index: str, failed: bool, said: str) -> None:
    made(tmp_path, {"0": 2, "1": 1}, ["a", "b"])
    (tmp_path / "index.json").write_text(index, encoding="utf-8")
    dataset = open_dataset(tmp_path, "test")
    assert not dataset.picture_columns
    found = [failure.reason for failure in dataset.failures] if failed else dataset.notes
    assert said in found[0]


def test_the_format_is_recognised_by_its_names_or_its_splits(tmp_path: Path) -> None:
    named = made(tmp_path / "named", {"0": 1, "1": 1}, ["a", "b"])
    split = made(tmp_path / "split", {"cat": 1, "dog": 1}, split="train")
    for root in (named, split, tmp_path / "named" / "test"):
        (root / "label_cn.txt").exists() or root is split or (root / "label_cn.txt").write_text("a\nb")
        assert looks_like(root), root
    assert splits(named) == ["test"]
    assert splits(split) == ["train"]
    assert formats.recognise(named) == "class-folders"
    plain = tmp_path / "plain"
    made(plain, {"2020": 1, "2021": 1}, split=".")
    assert not looks_like(plain)
    assert not looks_like(named / "label_cn.txt")


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test" / "0").mkdir(parents=True)
    with pytest.raises(InputError, match="hold no pictures"):
        open_dataset(tmp_path, "test")
    with pytest.raises(InputError, match="holds no folders"):
        open_dataset(tmp_path / "test" / "0")
