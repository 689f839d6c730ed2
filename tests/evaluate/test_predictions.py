"""Recall of prediction files, whichever way they go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuwen.errors import InputError
from tuwen.evaluate.predictions import as_json, score

GOLD = [
    {"text_id": 1, "text": "a", "image_ids": [7]},
    {"text_id": 2, "text": "b", "image_ids": ["8", 9]},
    {"text_id": 3, "text": "c", "image_ids": []},
]


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def found(folder: Path, rows: list[Any], gold: list[Any] = GOLD) -> dict[str, float]:
    return score(lines(folder / "gold.jsonl", gold), lines(folder / "found.jsonl", rows)).figures


def test_queries_without_an_answer_are_left_out(tmp_path: Path) -> None:
    rows = [{"text_id": "1", "image_ids": [7, 8]}, {"text_id": 2, "image_ids": [1, 2, 3, 4, 9]}]
    figures = found(tmp_path, rows)
    assert figures["text_to_image_r1"] == 0.5
    assert figures["text_to_image_r5"] == 1
    notes = score(tmp_path / "gold.jsonl", tmp_path / "found.jsonl").notes
    assert notes == [
        "1 queries have no right answer: left out",
        "the shortest list has 2 predictions: recall at more counts what is there",
    ]


def test_predictions_of_texts_are_scored_by_the_same_annotation(tmp_path: Path) -> None:
    rows = [{"image_id": 7, "text_ids": [1]}, {"image_id": 8, "text_ids": [1, 2]}, {"image_id": 9, "text_ids": [3]}]
    figures = found(tmp_path, rows)
    assert figures["image_to_text_r1"] == pytest.approx(1 / 3)
    assert figures["image_to_text_r10"] == pytest.approx(2 / 3)


def test_the_file_has_the_form_of_the_originals(tmp_path: Path) -> None:
    found(tmp_path, [{"text_id": 1, "image_ids": [7]}, {"text_id": 2, "image_ids": [0]}])
    content = as_json(score(tmp_path / "gold.jsonl", tmp_path / "found.jsonl"))
    parts = {"score": 50.0, "mean_recall": 50.0, "r1": 50.0, "r5": 50.0, "r10": 50.0}
    assert content == {"success": True, "score": 50.0, "scoreJson": parts}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text_id": 1, "image_ids": [7]}], "lacks 1 of 2 text_ids, e.g. 2"),
        ([{"text_id": 1, "image_ids": [7, "7"]}], "line 1: 1 has the same prediction twice"),
        ([{"text_id": 1, "image_ids": []}], "line 1: 1 has no prediction"),
        ([{"text_id": 1, "image_ids": 7}], "line 1: its image_ids must be a list"),
        (
            [{"text_id": 1, "image_ids": [7]}, {"image_id": 1, "text_ids": [7]}],
            "line 2: expected an object with text_id",
        ),
        ([{"text_id": 1, "image_ids": [7]}, {"text_id": 1, "image_ids": [7]}], "line 2: 1 comes again"),
        ([5], "line 1: expected an object"),
        ([], "is empty"),
    ],
)
def test_a_line_that_cannot_be_scored_is_named(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        found(tmp_path, rows)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="line 1 is not JSON"):
        score(lines(tmp_path / "gold", GOLD), tmp_path / "bad")
    with pytest.raises(InputError, match="there is nothing at"):
        score(tmp_path / "gold", tmp_path / "absent")
