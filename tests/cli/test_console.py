"""Tables line up on a terminal, also where their text is Chinese."""

from __future__ import annotations

import pytest

from tuwen.cli import console


def test_chinese_takes_two_columns_and_an_accent_none() -> None:
    assert console.width("猫 cat") == 6
    assert console.width("，！") == 4
    assert console.width("é") == console.width("e\u0301") == 1


def test_columns_begin_at_the_same_place_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["名称", "n", "last"], [["猫", 1, "x"], ["a cat", 1000, "图"]], right=["n"])
    heading, rule, first, second = capsys.readouterr().out.splitlines()
    assert heading == "名称      n  last"
    assert rule == "─────  ────  ────"
    assert first == "猫        1  x"
    assert second == "a cat  1000  图"


def test_only_the_first_failures_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    console.failures([(f"{number}.png", "it is empty") for number in range(25)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[0].endswith("0.png: it is empty")
    assert "5 more" in lines[-1]


def test_a_name_that_the_reason_holds_is_not_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    console.failures([("a.png", "a.png is empty")])
    assert capsys.readouterr().err.count("a.png") == 1


def test_amounts_are_grammatical() -> None:
    assert console.amount(1, "picture") == "1 picture"
    assert console.amount(1200, "picture") == "1,200 pictures"
