"""Answers as labels: their normal form, which are learnt, and how right each is."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tuwen.data.answers import (
    ANSWER_TO_LABEL,
    CONTRACTIONS,
    LABEL_TO_ANSWER,
    normalize,
    read_labels,
    soft_score,
    soft_targets,
    vocabulary,
    write_labels,
)
from tuwen.errors import InputError


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The  Dog.", "dog"),
        ("An apple, a pear", "apple pear"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("black /white-ish", "black white ish"),  # the slash touches a space, the dash does not
        ("1,000-2", "10002"),  # a number with a comma: all marks vanish
        ("Zero", "0"),
        ("ten o'clock", "10 o'clock"),
        ("dont", "don't"),
        ("somebody'd", "somebodyd"),
        ("couldnt've", "couldn't've"),
        ("Im", "im"),
        ("3.5.", "3.5"),
        ("", ""),
    ],
)
def test_an_answer_has_its_normal_form(answer: str, normal: str) -> None:
    assert normalize(answer) == normal


def step_by_step(answer: str) -> str:
    """The published rule letter by letter, without regular expressions and without contractions."""

    def at(text: str, place: int) -> str:
        return text[place] if 0 <= place < len(text) else "x"

    commas = [n for n, sign in enumerate(answer) if sign == ","]
    number = any(at(answer, n - 1).isdecimal() and at(answer, n + 1).isdecimal() for n in commas)
    beside = {sign for n, sign in enumerate(answer) if " " in (at(answer, n - 1), at(answer, n + 1))}
    marks = dict.fromkeys(';/[]"{}()=+\\_-><@`,?!', " ")
    marks |= {sign: "" for sign in marks if number or sign in beside}
    text = "".join(marks.get(sign, sign) for sign in answer)
    stops = [n for n, sign in enumerate(text) if sign == "." and not at(text, n + 1).isdecimal()][:32]
    words = "".join(sign for n, sign in enumerate(text) if n not in stops).lower().split()
    digits = dict(
        zip("zero one two three four five six seven eight nine ten none".split(), [*range(11), 0], strict=True)
    )
    return " ".join(str(digits.get(word, word)) for word in words if word not in ("a", "an", "the"))


def test_any_string_has_the_form_that_the_rule_gives_step_by_step() -> None:
    chance = random.Random(0)
    words = "\u3000 \n 1 23 ２ ² A The Two dog 狗 İ None".split(" ")
    signs = [*';/[]"{}()=+\\_-><@`,?! ..  ,', *words]
    for _ in range(20_000):
        answer = "".join(chance.choices(signs, k=chance.randrange(12)))
        assert normalize(answer) == step_by_step(answer), repr(answer)
    for length in range(30, 36):
        assert normalize("x." * length) == step_by_step("x." * length)


def test_only_32_full_stops_are_taken_away() -> None:
    assert normalize("." * 40) == "." * 8


def test_contractions_end_in_themselves() -> None:
    ends = set(CONTRACTIONS.values()) - {"somebodyd"}
    assert all(CONTRACTIONS.get(word, word) == word for word in ends)


def test_answers_are_numbered_by_first_appearance_when_frequent_enough() -> None:
    answers = ["No"] * 3 + ["yes"] * 8 + ["rare"] * 8 + ["Yes!"] + ["no."] * 6
    assert vocabulary(answers) == {"no": 0, "yes": 1}
    assert vocabulary(answers, least=8) == {"no": 0, "yes": 1, "rare": 2}


def test_scores_grow_with_the_people() -> None:
    assert [soft_score(count) for count in range(6)] == [0.0, 0.3, 0.6, 0.9, 1.0, 1.0]


def test_raw_answers_lose_what_is_written_differently() -> None:
    people = ["Yes", "yes", "maybe", "a dog", "yes"]
    labels = {"yes": 0, "dog": 1}
    assert soft_targets(people, labels) == (["yes", "dog"], [0, 1], [0.9, 0.3])
    assert soft_targets(people, labels, normalized=False) == (["yes"], [0], [0.6])


def test_labels_are_written_in_both_forms_and_read_from_each(tmp_path: Path) -> None:
    labels = {"no": 0, "2": 1, "gelb é": 2}
    write_labels(tmp_path, labels)
    assert json.loads((tmp_path / LABEL_TO_ANSWER).read_text()) == ["no", "2", "gelb é"]
    assert all(read_labels(tmp_path / name) == labels for name in (ANSWER_TO_LABEL, LABEL_TO_ANSWER))
    of_a_model = tmp_path / "id2label.json"
    of_a_model.write_text(json.dumps({str(label): answer for answer, label in labels.items()}))
    assert read_labels(of_a_model) == labels


@pytest.mark.parametrize("content", ["{", '{"a": 1}', '{"a": 0, "b": 0}', '["a", 1]', '{"a": "b"}', "3"])
def test_other_files_are_no_labels(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(InputError, match=r"labels\.json"):
        read_labels(tmp_path / "labels.json")
