"""VCR annotations: what a good line says, and what is said of a bad one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuwen.data.vcr import read_vcr
from tuwen.errors import InputError

ROW: dict[str, Any] = {
    "annot_id": "val-1",
    "objects": ["person", "cat"],
    "img_fn": "movie/a.png",
    "metadata_fn": "movie/a.json",
    "question": ["Is", [0], "near", [1], "?"],
    "answer_choices": [["yes"], [[0, 1], "are", "."]],
    "answer_label": 1,
    "rationale_choices": [["so"], ["no"], ["it", "is"]],
    "rationale_label": 0,
}


def write(folder: Path, *rows: dict[str, Any] | str) -> Path:
    path = folder / "val.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_line_is_an_item(tmp_path: Path) -> None:
    (item,) = read_vcr(write(tmp_path, "", ROW), tmp_path).items
    assert (item.id, item.line, item.label, item.rationale_label) == ("val-1", 2, 1, 0)
    assert item.image == tmp_path / "movie" / "a.png"
    assert item.said(item.question) == "Is person0 near cat1 ?"
    assert item.said(item.answers[1]) == "person0 and cat1 are ."
    assert len(item.rationales) == 3


def test_labels_may_be_missing(tmp_path: Path) -> None:
    row = {name: value for name, value in ROW.items() if not name.endswith("label") and name != "rationale_choices"}
    (item,) = read_vcr(write(tmp_path, row), tmp_path).items
    assert (item.label, item.rationale_label, item.rationales) == (None, None, [])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "not JSON"),
        ("[]", "is a list, expected a JSON object"),
        ({**ROW, "objects": None}, "objects must be a list, it has none"),
        ({**ROW, "objects": [1]}, "list of class names"),
        ({**ROW, "img_fn": 3}, "img_fn must be a text, it is 3"),
        ({**ROW, "question": "Is it?"}, 'question must be a list, it is "Is it?"'),
        ({**ROW, "question": ["Is", [2]]}, "question has [2], expected a word or numbers of the 2 objects"),
        ({**ROW, "question": ["Is", 0]}, "question has 0"),
        ({**ROW, "question": ["Is", ["0"]]}, 'question has ["0"]'),
        ({**ROW, "answer_choices": ["yes"]}, 'answer_choices has "yes", expected a list of words'),
        ({**ROW, "answer_label": 2}, "answer_label is 2, expected the number of one of 2 choices"),
        ({**ROW, "rationale_label": True}, "rationale_label is true"),
    ],
)
def test_a_bad_line_is_named_and_the_others_go_on(row: Any, said: str, tmp_path: Path) -> None:
    found = read_vcr(write(tmp_path, row, {**ROW, "annot_id": "val-2"}), tmp_path)
    assert [item.id for item in found.items] == ["val-2"]
    assert found.failures[0].id == "val.jsonl:1"
    assert said in found.failures[0].reason


def test_an_id_that_comes_twice_is_a_failure(tmp_path: Path) -> None:
    found = read_vcr(write(tmp_path, ROW, ROW), tmp_path)
    assert len(found.items) == 1
    assert "that of line 1, too" in found.failures[0].reason


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl cannot be read"):
        read_vcr(tmp_path / "none.jsonl", tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        read_vcr(write(tmp_path, ROW), tmp_path / "none")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("[]", "is not a JSON object with boxes"),
        ('{"boxes": [["a"]]}', "is not a JSON object with boxes"),
        ('{"boxes": [[1, 2, 3, 4, 0.5]]}', "has 1 boxes, the annotation has 2 objects"),
        (None, "cannot be read"),
    ],
)
def test_bad_metadata_is_named(metadata: str | None, said: str, tmp_path: Path) -> None:
    (item,) = read_vcr(write(tmp_path, ROW), tmp_path).items
    item.metadata.parent.mkdir()
    if metadata is not None:
        item.metadata.write_text(metadata, encoding="utf-8")
    with pytest.raises(InputError, match=f"a.json {said}"):
        item.boxes()


def test_the_stamp_changes_with_the_line_and_the_files(tmp_path: Path) -> None:
    (tmp_path / "movie").mkdir()
    for name in ("a.png", "a.json"):
        (tmp_path / "movie" / name).write_text("{}", encoding="utf-8")
    (item,) = read_vcr(write(tmp_path, ROW), tmp_path).items
    (again,) = read_vcr(write(tmp_path, {**ROW, "objects": ["person", "dog"]}), tmp_path).items
    before = item.stamp()
    assert again.stamp() != before
    (tmp_path / "movie" / "a.json").write_text("{ }", encoding="utf-8")
    assert item.stamp() != before
    (tmp_path / "movie" / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png cannot be read"):
        item.stamp()
