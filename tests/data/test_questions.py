"""Questions from files, and which picture is asked which."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuwen.data.folder import PictureFile
from tuwen.data.questions import Question, pair_up, read_questions
from tuwen.errors import InputError

PICTURES = [PictureFile(name, f"/pictures/{name}", 1, 1) for name in ("a.png", "b/c.png")]


def test_a_text_file_holds_a_question_per_line(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("\ufeffwhat is it?\n\n 有几只猫？\n", encoding="utf-8")
    questions, failures = read_questions(tmp_path / "q.txt")
    assert questions == [Question("what is it?", "", "q.txt:1"), Question("有几只猫？", "", "q.txt:3")]
    assert not failures


def test_a_table_may_say_which_picture_is_meant(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("image,question\nb\\c.png,who?\n,what?\n./a.png,\n", encoding="utf-8")
    questions, failures = read_questions(tmp_path / "q.csv")
    assert questions == [Question("who?", "b/c.png", "q.csv:2"), Question("what?", "", "q.csv:3")]
    assert [failure.id for failure in failures] == ["q.csv:4"]


def test_every_picture_gets_its_questions_once_and_in_order() -> None:
    asked = [Question("who?", "b/c.png"), Question("what?"), Question("who?"), Question("where?", "a.png")]
    pairs, failures = pair_up(PICTURES, asked)
    assert [(picture.id, texts) for picture, texts in pairs] == [
        ("a.png", ["what?", "who?", "where?"]),
        ("b/c.png", ["who?", "what?"]),
    ]
    assert not failures


def test_a_question_about_a_missing_picture_is_named_by_its_line() -> None:
    pairs, failures = pair_up(PICTURES, [Question("who?", "d.png", "q.csv:7")])
    assert not pairs
    assert (failures[0].id, failures[0].reason) == ("q.csv:7", "there is no picture d.png in the folder")


def test_a_file_without_a_question_is_refused(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("\n", encoding="utf-8")
    (tmp_path / "q.jsonl").write_text('{"question": "  "}\n', encoding="utf-8")
    for name, said in (("q.txt", "holds no questions"), ("q.jsonl", "its question is empty"), ("q.md", "must end in")):
        with pytest.raises(InputError, match=said):
            read_questions(tmp_path / name)
