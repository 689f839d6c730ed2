"""A folder is listed in one order, to the bottom, without what is hidden; its texts line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuwen.data.folder import find, read_lines
from tuwen.errors import InputError


def test_pictures_are_found_to_the_bottom_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "a/10.webp", "c.tiff", ".hidden.png", ".git/x.png", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find(tmp_path)
    assert [picture.id for picture in found.pictures] == ["b.JPG", "c.tiff", "a/10.webp", "a/z.png"]
    assert found.pictures[2].source == str(tmp_path / "a" / "10.webp")


def test_a_text_belongs_to_the_picture_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"x")
    (tmp_path / "cat.txt").write_text("一只猫\r\n\r\n  两只猫 \r\n", encoding="utf-8")
    (tmp_path / "other.txt").write_text("\ufeff别的", encoding="utf-8")
    assert [(text.id, text.text, text.line, text.image) for text in find(tmp_path).texts] == [
        ("cat.txt:1", "一只猫", 1, "cat.png"),
        ("cat.txt:3", "两只猫", 3, "cat.png"),
        ("other.txt:1", "别的", 1, ""),
    ]


def test_a_single_file_is_an_input_too(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "a.txt").write_text("猫", encoding="utf-8")
    assert [picture.id for picture in find(tmp_path / "a.png").pictures] == ["a.png"]
    assert [text.id for text in find(tmp_path / "a.txt").texts] == ["a.txt:1"]


def test_the_key_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    (before,) = find(tmp_path).pictures
    path.write_bytes(b"xy")
    (after,) = find(tmp_path).pictures
    assert before.key != after.key


def test_a_link_that_leads_nowhere_and_a_text_of_another_encoding_are_failures(tmp_path: Path) -> None:
    (tmp_path / "lost.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "old.txt").write_bytes("中文".encode("gb18030"))
    found = find(tmp_path)
    assert [failure.id for failure in found.failures] == ["lost.png", "old.txt"]
    assert "iconv" in found.failures[1].reason


@pytest.mark.parametrize(
    ("name", "said"), [("none", "does not exist"), ("empty", "is empty"), ("full", "1 files"), ("a.csv", "neither")]
)
def test_nothing_to_find_is_said(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.md").write_text("x", encoding="utf-8")
    (tmp_path / "a.csv").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        find(tmp_path / name)


def test_only_line_breaks_end_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\x0bstill one\u2028and still\ntwo", encoding="utf-8")
    assert [number for number, _ in read_lines(tmp_path / "a.txt")] == [1, 2]
