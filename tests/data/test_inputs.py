"""What an input is, told by looking, and how its pictures are found again."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.data.test_brivl_jsonl import BOXES, data, lists, row
from tuwen.data.inputs import Contents, boxes_of, content, find, is_inside
from tuwen.errors import InputError

PICTURES = [b"\xff\xd8\xff first", b"\x89PNG second"]


def table(folder: Path, *rows: tuple[str, str, bytes]) -> Path:
    path = folder / "pairs.data"
    lines = [f"{text}\t{name}\t{base64.b64encode(picture).decode()}\n" for text, name, picture in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_rows_of_one_picture_share_it_and_another_of_its_name_is_told_apart(tmp_path: Path) -> None:
    first, second = PICTURES
    found = find(table(tmp_path, ("猫", "x", first), ("狗", "x", first), ("鸟", "x", second), ("鱼", "y", second)))
    assert [picture.id for picture in found.pictures] == ["x", "x (pairs.data:3)", "y"]
    assert [(text.text, text.image, text.line) for text in found.texts] == [
        ("猫", "x", 1),
        ("狗", "x", 2),
        ("鸟", "x (pairs.data:3)", 3),
        ("鱼", "y", 4),
    ]
    assert found.origins["y"] == "pairs.data:4"
    contents = Contents([picture.source for picture in found.pictures])
    assert list(contents) == [first, second, second]
    assert list(contents[1:]) == [second, second]
    assert boxes_of(found.pictures) is None


def test_a_picture_in_a_file_stays_a_path() -> None:
    assert list(Contents(["/data/a#1.png"])) == ["/data/a#1.png"]


def test_only_a_place_in_a_table_is_inside_one(tmp_path: Path) -> None:
    (tmp_path / "a#7").write_bytes(b"")
    assert not is_inside(str(tmp_path / "a#7"))
    assert is_inside(str(tmp_path / "b#7"))
    assert not any(map(is_inside, ("a.png", "a#1.png", "#7", "a#", "a#²")))


def test_a_table_that_has_changed_since_is_an_error(tmp_path: Path) -> None:
    path = table(tmp_path, ("猫", "x", PICTURES[0]), ("狗", "y", PICTURES[1]))
    (_, second) = find(path).pictures
    path.write_text("短\n", encoding="utf-8")
    with pytest.raises(InputError, match="the line is empty"):
        content(second.source)
    path.unlink()
    with pytest.raises(InputError, match=r"pairs\.data cannot be read"):
        content(second.source)


def test_rows_with_boxes_keep_them_and_have_their_own_vectors(tmp_path: Path) -> None:
    path = data(tmp_path, row(), row(bbox=[]), row())
    found = find(tmp_path)
    assert [picture.boxes for picture in found.pictures] == [json.dumps(BOXES), "[]"]
    assert len({picture.key for picture in found.pictures}) == 2
    assert boxes_of(found.pictures) == [BOXES, []]
    assert [text.image for text in found.texts] == ["imgs/a.png", "imgs/a.png (example.jsonl:2)", "imgs/a.png"]
    assert find(path).pictures == found.pictures


def test_two_lists_are_pictures_and_texts_that_do_not_belong_together(tmp_path: Path) -> None:
    lists(tmp_path, "a.png\n", "甲\n乙\n")
    found = find(tmp_path)
    assert [picture.id for picture in found.pictures] == ["images.csv:1"]
    assert [(text.id, text.line, text.image) for text in found.texts] == [
        ("texts.csv:1", 1, ""),
        ("texts.csv:2", 2, ""),
    ]


def test_anything_else_is_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "images.csv").write_text("a.png\n", encoding="utf-8")
    assert [picture.id for picture in find(tmp_path).pictures] == ["a.png"]
    (tmp_path / "notes.csv").write_text("a,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="neither a folder nor a picture"):
        find(tmp_path / "notes.csv")
    with pytest.raises(InputError, match="does not exist"):
        find(tmp_path / "missing")
