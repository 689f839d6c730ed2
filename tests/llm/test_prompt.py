"""What an LLM is told and how its letter is read: the published scheme's facts."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tuwen.errors import InputError
from tuwen.llm.prompt import FORMS, listed, read_letter, template


class Scored(NamedTuple):
    text: str
    probability: float


CANDIDATES = [Scored("yes", 0.914), Scored("no", 0.05), Scored("2", 0.02), Scored("maybe", 0.01), Scored("cat", 0.004)]


@pytest.mark.parametrize("form", FORMS)
def test_a_prompt_holds_caption_question_and_four_scored_candidates(form: str) -> None:
    prompt = template(form).fill("a {question} on \\1 grass", "Is it {raining}?", CANDIDATES)
    assert '"a {question} on \\1 grass"' in prompt
    assert '"Is it {raining}?"' in prompt
    assert "0.8" in prompt
    for candidate in CANDIDATES[:4]:
        assert f"{candidate.text} ({candidate.probability:.2f})" in prompt
    assert "cat" not in prompt


def test_only_the_short_form_has_letters() -> None:
    assert listed(CANDIDATES, "short") == "A. yes (0.91)\nB. no (0.05)\nC. 2 (0.02)\nD. maybe (0.01)"
    assert listed(CANDIDATES[:2], "long") == "- yes (0.91)\n- no (0.05)"
    assert "letter" in template("short").text
    assert "sentence" in template("long").text
    assert "letter" not in template("long").text


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("B", 1),
        ("C.", 2),
        ("The answer is: D", 3),
        ("answer:B,because A\nis wrong", 1),
        ("A dog", 0),
        ("I think\nC", 2),
        ("(B)", None),
        ("b", None),
        ("BC", None),
        ("E", None),
        ("", None),
        ("都不对", None),
    ],
)
def test_the_first_word_that_is_a_letter_counts(reply: str, place: int | None) -> None:
    assert read_letter(reply, 4) == place


def test_a_letter_beyond_the_candidates_names_none() -> None:
    assert read_letter("C", 2) is None
    assert read_letter("B", 2) == 1


def test_a_template_of_ones_own_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text('\ufeff{candidates}\n{"a": {question}} {caption} {} {question}\n', encoding="utf-8")
    filled = template("long", path).fill("猫", "几只？", CANDIDATES[:1])
    assert filled == '- yes (0.91)\n{"a": 几只？} 猫 {} 几只？'
    assert template("long", path).fingerprint != template("long").fingerprint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{caption} {question}", r"has no \{candidates\}: it needs \{caption\}, \{question\}, \{candidates\}"),
        ("{caption} {question} {candidates} {image}", r"has \{image\}, which nothing fills"),
    ],
)
def test_a_template_with_wrong_placeholders_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        template("short", tmp_path / "mine.txt")


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.txt cannot be read"):
        template("short", tmp_path / "missing.txt")
