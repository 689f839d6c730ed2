"""Recall of prediction files, and what each script says of one that it does not take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuwen.evaluate.original.evaluation import RULES, asks_with_text, evaluate

TEN = list(range(101, 111))
GOLD = [{"text_id": 1, "text": "a", "image_ids": [103]}, {"text_id": 2, "text": "b", "image_ids": []}]
TURNED = [{"image_id": 1, "text_ids": [103]}, {"image_id": 2, "text_ids": [999]}]


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def said(folder: Path, rows: list[Any], whose: str = "chinese-clip", query: str = "text") -> str:
    """The message of the score file, or "" where there is none; it must be what is printed, too."""
    gold = lines(folder / "gold", GOLD if query == "text" else TURNED)
    predictions = lines(folder / "predictions", rows)
    printed = evaluate(gold, predictions, folder / "score", RULES[whose, query])
    assert printed[:2] == [f"Read standard from {gold}", f"Read user submit file from {predictions}"]
    content = json.loads((folder / "score").read_text(encoding="utf-8"))
    if content["success"]:
        assert printed[2] == "The evaluation finished successfully."
        return ""
    assert content == {**dict.fromkeys(("errorDetail", "errorMsg"), content["errorMsg"]), "score": 0} | {
        "scoreJson": {},
        "success": False,
    }
    assert printed[2] == f"The evaluation failed: {content['errorMsg']}"
    return str(content["errorMsg"])


def test_a_right_answer_anywhere_among_the_first_counts_and_no_answer_is_a_miss(tmp_path: Path) -> None:
    assert said(tmp_path, [{"text_id": 2, "image_ids": TEN}, {"text_id": 1, "image_ids": TEN}]) == ""
    content = '{"success": true, "score": 33.33333333333333, "scoreJson": {"score": 33.33333333333333, '
    content += '"mean_recall": 33.33333333333333, "r1": 0.0, "r5": 50.0, "r10": 50.0}}'
    assert (tmp_path / "score").read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "The following text_ids have no prediction in your submission, please check again: 1, 2"),
        ([{"image_ids": TEN}], 'There exists one line not containing text_id: {"image_ids": [101, 102, 103'),
        ([{"text_id": "1", "image_ids": TEN}], "cannot access local variable 'qid'"),
        ([{"text_id": 1, "image_ids": TEN}, {"text_id": "2"}], "Found an invalid text_id 1, it should be an integer"),
        ([{"text_id": 1}], "There exists one line not containing the predicted image_ids"),
        ([{"text_id": 1, "image_ids": 5}], "The image_ids field of text_id 1 is not a list"),
        ([{"text_id": 1, "image_ids": [1]}], "wrong number of predicted image_ids! Require 10, but 1 founded."),
        ([{"text_id": 1, "image_ids": ["x"] * 10}], "Text_id 1 has an invalid predicted image_id x at rank 1"),
        ([{"text_id": 1, "image_ids": [1] * 10}], "Text_id 1 has duplicate topk images in your prediction."),
    ],
)
def test_the_first_thing_that_is_wrong_is_told(tmp_path: Path, rows: list[Any], message: str) -> None:
    assert message in said(tmp_path, rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image_id": "1", "text_ids": TEN}], "Found an invalid image_id 1, it should be an integer"),
        ([{"image_id": 1, "text_ids": [1] * 10}], "Image_id 1 has duplicate topk texts in your prediction."),
        ([{"image_id": 1, "text_ids": TEN[:9]}], "Image_id 1 has wrong number of predicted text_ids!"),
        ([{"image_id": 1, "text_ids": TEN}], "The following image_ids have no prediction"),
    ],
)
def test_the_other_direction_has_its_own_words(tmp_path: Path, rows: list[Any], message: str) -> None:
    assert message in said(tmp_path, rows, query="image")


def test_paddlenlp_takes_texts_as_picture_ids_and_repeated_texts(tmp_path: Path) -> None:
    words = [str(number) for number in TEN]
    rows = [{"text_id": 1, "image_ids": words}, {"text_id": 2, "image_ids": words}]
    assert said(tmp_path, rows, "paddlenlp") == ""
    assert "has duplicate products" in said(tmp_path, [{"text_id": 1, "image_ids": [1] * 10}], "paddlenlp")
    turned = [{"image_id": number, "text_ids": [1] * 10} for number in (1, 2)]
    assert said(tmp_path, turned, "paddlenlp", "image") == ""


def test_a_file_that_is_not_there_is_told_as_each_script_does(tmp_path: Path) -> None:
    gold = lines(tmp_path / "gold", GOLD)
    for whose, words in (("chinese-clip", "The submission file"), ("paddlenlp", "The file")):
        printed = evaluate(gold, tmp_path / "absent", tmp_path / "score", RULES[whose, "text"])
        assert printed[-1] == f"The evaluation failed: {words} is not found!"


def test_without_the_answers_the_system_speaks(tmp_path: Path) -> None:
    assert evaluate(tmp_path / "no", tmp_path / "no", tmp_path / "score", RULES["chinese-clip", "text"])[-1].endswith(
        "2"
    )


def test_the_direction_shows_in_the_first_line(tmp_path: Path) -> None:
    assert asks_with_text(lines(tmp_path / "a", GOLD))
    assert not asks_with_text(lines(tmp_path / "b", TURNED))
    assert asks_with_text(tmp_path / "absent")
