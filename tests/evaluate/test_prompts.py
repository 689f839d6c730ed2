"""Texts around the names of classes: our own for every kind of pictures, and files that people bring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuwen.errors import InputError, UsageError
from tuwen.evaluate.prompts import KINDS, LANGUAGES, kind_of, prompts, sets


def test_both_languages_have_the_same_kinds() -> None:
    assert set(sets("zh")) == set(sets("en"))
    assert set(KINDS.values()) <= set(sets("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_has_one_gap_and_comes_once(language: str) -> None:
    for kind, texts in sets(language).items():
        assert len(texts) >= 6, kind
        assert len(set(texts)) == len(texts), kind
        assert all(text.count("{}") == 1 for text in texts), kind
        assert "{}" in texts, kind


def test_a_known_set_takes_the_prompts_of_its_kind() -> None:
    assert prompts("auto", "zh", "food-101") == sets("zh")["food"]
    assert prompts("auto", "en", "EuroSAT_clip") == sets("en")["satellite"]
    assert prompts("auto", "en", "my own set") == sets("en")["photos"]
    assert prompts("flowers", "zh") == sets("zh")["flowers"]
    assert kind_of("mnist") == "digits"


def test_a_file_may_be_a_list_or_have_a_text_in_each_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(["一张{}", "一张{}"]), encoding="utf-8")
    (tmp_path / "a.txt").write_text("\ufeff一张{}\n\n{}的图\n", encoding="utf-8")
    assert prompts(tmp_path / "a.json", "zh") == ("一张{}", "一张{}")  # twice counts twice
    assert prompts(str(tmp_path / "a.txt"), "zh") == ("一张{}", "{}的图")


def test_of_a_file_of_lists_the_one_for_the_set_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "lists.json"
    lists = {"openai": ["o{}"], "flower": ["f{}"], "eurosat": ["e{}"], "food": ["g{}"], "mine": ["m{}"]}
    path.write_text(json.dumps(lists), encoding="utf-8")
    wanted = {"mine": "m{}", "oxford-flower-102": "f{}", "resisc45_clip": "e{}", "food-101": "g{}", "cifar-10": "o{}"}
    assert {name: prompts(path, "zh", name)[0] for name in wanted} == wanted
    path.write_text(json.dumps({"flower": ["f{}"]}), encoding="utf-8")
    with pytest.raises(InputError, match="has lists for flower, expected one of cifar-10, photos, openai"):
        prompts(path, "zh", "cifar-10")


@pytest.mark.parametrize(
    ("content", "said"), [("[]", "holds no texts"), ("[1]", "holds no texts"), ("no gap", "no {}")]
)
def test_a_file_of_something_else_is_an_error(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        prompts(tmp_path / "a.txt", "zh")


def test_unknown_kinds_and_languages_are_errors() -> None:
    with pytest.raises(UsageError, match="no prompts 'cats': name a file, or auto, or one of photos"):
        prompts("cats", "zh")
    with pytest.raises(UsageError, match="no prompts in 'fr'"):
        prompts("auto", "fr")
