"""Questions: their answers follow from the boxes; choices: exactly one is true."""

from __future__ import annotations

import pytest

from tuwen.scenes.backgrounds import BACKGROUNDS
from tuwen.scenes.layout import CHINESE_PLACES, places
from tuwen.scenes.pack import glyphs
from tuwen.scenes.questions import choices, questions
from tuwen.scenes.scene import make
from tuwen.scenes.words import LANGUAGES

KINDS = {"what", "how many", "where", "is there", "colour", "background", "larger"}


def test_every_kind_of_question_comes_up() -> None:
    assert {question.kind for index in range(60) for question in questions(make(1, index), "zh")} == KINDS
    assert {choice.kind for index in range(60) for choice in choices(make(1, index), "zh")} == KINDS - {
        "is there",
        "larger",
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_counts_and_presence_are_answered_from_the_scene(language: str) -> None:
    for index in range(150):
        scene = make(2, index)
        for question in questions(scene, language):
            if question.kind == "how many":
                group = scene.groups[question.glyph] if question.glyph is not None else scene.things
                assert question.answer == str(len(group))
            if question.kind == "is there":
                there = question.glyph in scene.groups
                assert question.answer == {"zh": ("没有", "有"), "en": ("no", "yes")}[language][there]


def test_both_a_thing_that_is_there_and_one_that_is_not_are_asked_for() -> None:
    answers = [question.answer for question in questions(make(2, 5), "zh") if question.kind == "is there"]
    assert sorted(answers) == ["有", "没有"]


def test_where_and_what_agree_with_the_places() -> None:
    for index in range(150):
        scene = make(3, index)
        where = places(scene)
        for question in questions(scene, "zh"):
            if question.kind == "where":
                assert question.glyph is not None
                assert question.answer == CHINESE_PLACES[where[question.glyph]]
            if question.kind == "what":
                assert question.glyph is not None
                assert question.answer == glyphs()[question.glyph].zh


def test_the_larger_thing_has_the_larger_box() -> None:
    asked = 0
    for index in range(200):
        scene = make(4, index)
        for question in (one for one in questions(scene, "en") if one.kind == "larger"):
            asked += 1
            assert question.glyph == max(scene.things, key=lambda thing: thing.extent).glyph
    assert asked > 10


def test_the_background_is_named() -> None:
    for index in range(60):
        scene = make(5, index)
        question = next(one for one in questions(scene, "zh") if one.kind in ("colour", "background"))
        assert question.answer == BACKGROUNDS[scene.background].zh


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_choice_has_four_different_answers_and_reasons_and_the_marked_one_is_true(language: str) -> None:
    for index in range(150):
        scene = make(6, index)
        true = {(question.text, question.answer) for question in questions(scene, language)}
        for choice in choices(scene, language):
            assert len(set(choice.choices)) == len(set(choice.reasons)) == 4
            found = [(choice.question, answer) in true for answer in choice.choices]
            assert found.index(True) == choice.answer
            assert sum(found) == 1


def test_wrong_names_are_not_at_the_place_asked_for() -> None:
    for index in range(200):
        scene = make(7, index)
        here = {glyphs()[glyph].en for glyph in scene.groups}
        for choice in choices(scene, "en"):
            if choice.kind == "what" and len(here) == 1:
                assert [name in here for name in choice.choices].count(True) == 1


def test_questions_and_choices_are_the_same_each_time() -> None:
    assert questions(make(8, 1), "zh") == questions(make(8, 1), "zh")
    assert choices(make(8, 1), "en") == choices(make(8, 1), "en")


def test_right_answers_are_spread_over_the_four_places() -> None:
    places_of_answers = [choice.answer for index in range(200) for choice in choices(make(9, index), "zh")]
    assert all(places_of_answers.count(place) > len(places_of_answers) / 6 for place in range(4))
