"""Answers to questions about pictures: the model's own, however many are asked at once, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import fusing
from tests.fusing import counting, pictures
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.model import Model
from tuwen.tasks.answer import Answer, answer_rows

QUESTIONS = ["what is it?", "how many dogs are there?", "is the woman wearing glasses?"]
NAMES = ["zero", "one", "two", "three", "four", "five"]


@pytest.fixture(scope="module")
def model() -> Model:
    return fusing.model("vqa")


def same(one: list[list[Answer]], other: list[list[Answer]]) -> None:
    assert [[answer.text for answer in row] for row in one] == [[answer.text for answer in row] for row in other]
    for row, expected in zip(one, other, strict=True):
        assert [answer.probability for answer in row] == pytest.approx([answer.probability for answer in expected])


def test_answers_are_those_of_the_model_pair_by_pair_best_first(model: Model) -> None:
    (image,) = pictures(1)
    for question, found in zip(QUESTIONS, model.answer(image, QUESTIONS, top_k=4), strict=True):
        chances = fusing.pair_by_pair(model, "answer", image, question).softmax(0)
        best = chances.topk(4)
        answers = model.towers.config.answers
        assert [answer.text for answer in found] == [answers[place] for place in best.indices.tolist()]
        assert [answer.probability for answer in found] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_one_picture_or_one_question_meets_all_of_the_others(model: Model) -> None:
    images = pictures(3)
    same(model.answer(images[0], QUESTIONS), [model.answer(images[0], text)[0] for text in QUESTIONS])
    same(model.answer(images, QUESTIONS[1]), [model.answer(image, QUESTIONS[1])[0] for image in images])
    pairs = zip(images, QUESTIONS, strict=True)
    same(model.answer(images, QUESTIONS), [model.answer(image, text)[0] for image, text in pairs])


def test_states_may_stand_for_pictures_and_questions(model: Model) -> None:
    images = pictures(3)
    image, text = model.image_state(images), model.text_state(QUESTIONS)
    wanted = model.answer(images, QUESTIONS)
    for one in (images, image):
        for other in (QUESTIONS, text):
            same(model.answer(one, other), wanted)
    same(model.answer(image[2], text[:2]), model.answer(images[2], QUESTIONS[:2]))


def test_pictures_and_questions_that_come_again_are_encoded_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = counting(monkeypatch)
    one, other = pictures(2)
    found = model.answer([one, other, one, one], [QUESTIONS[0], QUESTIONS[0], QUESTIONS[1], QUESTIONS[0]])
    assert counted == {"pictures": 2, "texts": 2, "pairs": 3}
    same([found[0]], [found[3]])


def test_a_stream_answers_what_each_picture_is_asked(model: Model, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    images: list[Any] = [*pictures(1), tmp_path / "broken.png"]
    rows = dict(answer_rows(model, images, QUESTIONS, 1, lambda number: [2]))
    assert isinstance(rows[0], dict)
    assert list(rows[0]) == [2]
    assert isinstance(rows[1], InputError)
    with pytest.raises(InputError, match=r"broken\.png"):
        model.answer(images, QUESTIONS[0])


def test_more_candidates_than_answers_are_all_of_them_and_none_is_none(model: Model) -> None:
    (found,) = model.answer(pictures(1), QUESTIONS[0], top_k=1000)
    assert len(found) == 13
    assert sum(answer.probability for answer in found) == pytest.approx(1)
    assert model.answer(pictures(1), QUESTIONS[0], top_k=0) == [[]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gives_nearly_the_same_probabilities(model: Model, dtype: str) -> None:
    (exact,) = model.answer(pictures(1), QUESTIONS[0], top_k=13)
    (half,) = fusing.opened("vqa", dtype=dtype).answer(pictures(1), QUESTIONS[0], top_k=13)
    wanted = {answer.text: answer.probability for answer in exact}
    assert {answer.text: answer.probability for answer in half} == pytest.approx(wanted, abs=2e-2)


# -- the texts of answers ---------------------------------------------------------------------------------------------


def test_answers_that_no_file_names_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps(NAMES), encoding="utf-8")
    (tmp_path / "numbers.json").write_text(json.dumps({name: n for n, name in enumerate(NAMES)}), encoding="utf-8")
    texts = {str(number): name for number, name in enumerate(NAMES)}
    (tmp_path / "texts.json").write_text(json.dumps(dict(reversed(texts.items()))), encoding="utf-8")
    forms: list[Any] = [
        NAMES,
        tuple(NAMES),
        texts,
        *(tmp_path / f"{form}.json" for form in ("list", "numbers", "texts")),
    ]
    for form in forms:
        named = fusing.opened("original vqa", answers=form)
        assert named.towers.config.answers == tuple(NAMES)
        assert {answer.text for answer in named.answer(pictures(1), "what?", top_k=6)[0]} == set(NAMES)


def test_without_their_texts_the_way_to_name_them_is_said() -> None:
    with pytest.raises(UsageError, match=r"among 6 answers, but none of them are named: load it with answers="):
        fusing.model("original vqa").answer(pictures(1), "what?")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (NAMES[:4], "4 answers are named, but the model chooses among 6"),
        ({"a": 0, "b": 2}, "the 2 answers do not carry the numbers 0 to 1, each once"),
        ({"a": 0, "b": 0}, "the 2 answers do not carry the numbers 0 to 1, each once"),
        ({"a": "b"}, "carry no numbers on either side"),
        ([1, 2], "must be a list of texts, or a mapping"),
        ("nowhere.json", r"the answers in nowhere\.json cannot be read as JSON"),
    ],
)
def test_answers_that_cannot_be_right_are_refused(answers: Any, said: str) -> None:
    with pytest.raises((InputError, UsageError), match=said):
        fusing.opened("original vqa", answers=answers)


def test_answers_for_a_model_without_that_head_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no head for them: heads=\('answer',\) adds a new one"):
        fusing.opened("vle", answers=NAMES)


# -- what is wrong is named -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "questions", "said"),
    [
        (pictures(2), QUESTIONS, "2 pictures and 3 questions make no pairs"),
        ([], QUESTIONS, "there is no picture"),
        (pictures(1), [], "there is no text"),
        (pictures(1), ["what?", ""], "text 2 of 2 is empty"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(model: Model, images: Any, questions: Any, said: str) -> None:
    with pytest.raises((InputError, UsageError), match=said):
        model.answer(images, questions)


def test_a_negative_number_of_candidates_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="top_k is -1: it must be 0 or more"):
        model.answer(pictures(1), QUESTIONS, top_k=-1)


def test_a_model_without_the_head_names_those_it_has() -> None:
    with pytest.raises(
        UnsupportedTask, match=r"bridgetower cannot answer: .*vle/base-vqa.*\(the heads that it has: ml"
    ):
        fusing.model("bridgetower").answer(pictures(1), QUESTIONS)


def test_a_new_head_answers_with_the_texts_that_it_is_given() -> None:
    torch.manual_seed(1)
    model = fusing.opened("bridgetower", heads=("answer",), answers=NAMES)
    (found,) = model.answer(pictures(1), QUESTIONS[0], top_k=2)
    assert {answer.text for answer in found} < set(NAMES)
