"""Soft accuracies by hand and by brute force, the original's score and its file of answers."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fusing import ANSWERING, CASES, opened, pictures
from tuwen.data import arrow
from tuwen.data.dataset import PAIRS, QUESTIONS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.vqa import Answered, official_score, predict, score, submission, target_score, type_of, vqa
from tuwen.loading import load
from tuwen.model import Model
from tuwen.tasks.answer import Answer

CASE = CASES / "bridgetower" / "orig_vqa"
TABLES = CASES / "vle" / "vqa_data" / "arrow"  # those that VLE was trained on when its file was recorded
RECORDED = Path(__file__).with_name("recorded_vqa_finetune.json")


def people(count: int, answer: str = "red", of: int = 10) -> list[str]:
    """`count` who say it, and others who all say something else."""
    return [answer] * count + [f"word {letter}" for letter in "abcdefghij"[: of - count]]


@pytest.mark.parametrize(("count", "wanted"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (7, 1), (10, 1)])
def test_both_scores_of_an_answer_by_how_many_gave_it(count: int, wanted: float) -> None:
    assert official_score("red", people(count)) == pytest.approx(wanted)
    assert target_score("red", people(count)) == pytest.approx(wanted)


@pytest.mark.parametrize("of", [3, 4, 7, 10])
def test_the_official_score_is_the_mean_over_all_groups_that_leave_one_out(of: int) -> None:
    for count in range(of + 1):
        given = people(count, of=of)
        groups = [min(1, group.count("red") / 3) for group in combinations(given, of - 1)]
        assert official_score("red", given) == pytest.approx(np.mean(groups))


def test_answers_are_compared_in_their_normal_form_where_people_differ() -> None:
    assert official_score("The Two dogs!", ["2 dogs"] * 4 + ["a dog"] * 6) == 1
    assert official_score("dont know", ["Don't know"] * 5 + ["no"] * 5) == 1
    # Where all agree the official code compares letter by letter.
    assert official_score("Yes.", ["yes"] * 10) == 0
    assert official_score("yes\n", ["yes"] * 10) == 1
    with pytest.raises(UsageError, match="nobody has answered"):
        official_score("yes", [])


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"answer_type": "yes/no"}, "yes_no"),
        ({"answer_type": "number", "answer": "yes"}, "number"),
        ({"answer": "Yes"}, "yes_no"),
        ({"answer": "two"}, "number"),
        ({"answers": ["cat", "dog", "cat"]}, "other"),
        ({}, None),
    ],
)
def test_types_come_from_the_annotation_or_from_the_usual_answer(columns: dict[str, Any], wanted: str | None) -> None:
    assert type_of(columns) == wanted


# -- figures ----------------------------------------------------------------------------------------------------------


def asked(*columns: dict[str, Any]) -> Dataset:
    texts = [Text(str(n), f"what {n}?", ("a",), columns=each) for n, each in enumerate(columns)]
    return Dataset("test", Path("set"), QUESTIONS, {"a": b""}, texts)


def said(dataset: Dataset, *words: str) -> Answered:
    answers = {number: [Answer(word, 0.5)] for number, word in enumerate(words)}
    return Answered(dataset, answers, frozenset({"yes", "no", "2", "cat"}))


def test_figures_are_means_over_questions_and_over_those_of_a_type() -> None:
    dataset = asked(
        {"answers": people(10, "yes"), "answer_type": "yes/no"},
        {"answers": people(2, "no"), "answer_type": "yes/no"},
        {"answers": people(3, "2"), "answer_type": "number"},
        {"answers": people(5, "cat"), "answer_type": "other"},
        {},
    )
    scored = score(said(dataset, "yes", "no", "2", "dog", "yes"))
    wanted = {"accuracy": 0.625, "accuracy_yes_no": 0.8, "accuracy_number": 0.9, "accuracy_other": 0}
    assert scored.figures == pytest.approx(wanted | {"target_score": 0.625})
    assert scored.queries["questions"]["predicted"] == ["yes", "no", "2", "dog"]
    assert scored.notes == ["1 questions have no answers to compare with: they count in no figure"]


def test_the_original_drops_questions_whose_answers_the_model_cannot_give() -> None:
    dataset = asked({"answers": people(10, "yes")}, {"answers": people(10, "umbrella")})
    answered = said(dataset, "yes", "no")
    assert score(answered).figures["target_score"] == 0.5
    assert score(answered, original=True).figures == {"target_score": 1, "target_score_yes_no": 1}


def test_tables_with_scores_alone_have_no_official_accuracy() -> None:
    dataset = asked({"scores": {"yes": 1.0, "no": 0.3}, "answer": "yes"}, {"scores": {"2": 0.6}, "answer": "2"})
    assert score(said(dataset, "no", "2")).figures == pytest.approx(
        {"target_score": 0.45, "target_score_yes_no": 0.3, "target_score_number": 0.6}
    )


# -- with a model -----------------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_python_call_and_each_picture_is_opened_once() -> None:
    model = opened("vqa")
    shown = pictures(2)
    reads: list[str] = []

    class Counted(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            reads.append(name)
            return super().__getitem__(name)

    words = ["what is it?", "how many?", "what is it?", "is it red?"]
    texts = [Text(str(n), word, (("a", "b")[n % 2],)) for n, word in enumerate(words)]
    dataset = Dataset("test", Path("set"), QUESTIONS, Counted(a=shown[0], b=shown[1]), texts)
    answered = predict(model, dataset)
    assert sorted(reads) == ["a", "b"]
    alone = model.answer([shown[0], shown[1], shown[0], shown[1]], words)
    for number, best in enumerate(alone):
        assert [one.text for one in answered.answers[number]] == [one.text for one in best]
        np.testing.assert_allclose(
            [one.probability for one in answered.answers[number]], [one.probability for one in best], atol=1e-5
        )


def test_a_broken_picture_and_an_empty_question_are_told_and_the_file_refused() -> None:
    texts = [Text("1", "what?", ("a",)), Text("2", "what?", ("b",)), Text("3", " ", ("b",), "q.json:3")]
    dataset = Dataset("test", Path("set"), QUESTIONS, {"a": b"broken", "b": pictures(1)[0]}, texts)
    told: dict[str, str] = {}
    answered = predict(opened("vqa"), dataset, on_error=lambda name, error: told.update({name: str(error)}))
    assert set(told) == {"a", "q.json:3"}
    assert set(answered.answers) == {1}
    with pytest.raises(InputError, match="2 questions of set were not answered"):
        submission(answered)
    with pytest.raises(InputError, match="its text is empty"):
        predict(opened("vqa"), dataset)


def test_captions_are_no_questions() -> None:
    with pytest.raises(UsageError, match="needs questions, set holds pairs"):
        predict(opened("vqa"), Dataset("test", Path("set"), PAIRS, {}, []))


# -- the original's numbers -------------------------------------------------------------------------------------------


def answering() -> tuple[Model, dict[str, Any]]:
    expected = json.loads((CASE / "expected.json").read_text(encoding="utf-8"))
    names = [expected["id2answer"].get(str(number), "unknown") for number in range(6)]
    return load(ANSWERING, tokenizer=ANSWERING.parent / "roberta", device="cpu", answers=names), expected


def test_the_score_of_a_validation_table_is_bridgetowers() -> None:
    model, expected = answering()
    dataset = arrow.open_dataset(CASE / "data", "vqav2_val_fix")
    for original in (False, True):
        scored = vqa(model, dataset, original)
        assert scored.figures["target_score"] == pytest.approx(expected["val"]["score"], abs=1e-6)


def test_the_file_of_a_test_table_is_bridgetowers_byte_for_byte() -> None:
    model, expected = answering()
    answered = predict(model, arrow.open_dataset(CASE / "data", "vqav2_test"))
    assert submission(answered) == expected["submission_text"]


def test_the_file_of_a_test_table_is_vles_byte_for_byte() -> None:
    """Recorded after training, so the answers are the recorded ones: order, ids and form are ours."""
    expected = json.loads(RECORDED.read_text(encoding="utf-8"))
    words = {str(row["question_id"]): row["answer"] for row in json.loads(expected["submission_text"])}
    dataset = arrow.open_dataset(TABLES, "vqav2_rest_val")  # what VLE's own test split is
    answers = {number: [Answer(words[text.id], 1.0)] for number, text in enumerate(dataset.texts)}
    known = json.loads((TABLES / "label2answer.json").read_text(encoding="utf-8"))
    answered = Answered(dataset, answers, frozenset(known))
    assert submission(answered) == expected["submission_text"]
    assert score(answered, original=True).figures["target_score"] == pytest.approx(expected["score"], abs=1e-6)
