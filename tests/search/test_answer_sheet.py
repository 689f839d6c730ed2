"""The sheet of questions and answers: what it shows, also of pictures that are gone and texts that are long."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tuwen.search.answer_sheet import BAR, COLUMN, PADDING, PICTURE, Asked, Questioned, draw_answers, write_answers
from tuwen.search.sheet import MARGIN, RIGHT, TITLE
from tuwen.tasks.answer import Answer

FULL = Asked("what is it?", [Answer("a dog", 1.0), Answer("a cat", 0.0)])


@pytest.fixture
def picture(tmp_path: Path) -> str:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def green(sheet: Image.Image) -> int:
    """Points of the colour of the likeliest answer's bar."""
    colour = tuple(int(RIGHT[start : start + 2], 16) for start in (1, 3, 5))
    return sum(count for count, found in sheet.getcolors(sheet.width * sheet.height) or [] if found == colour)


def test_each_picture_has_a_card_and_each_question_its_block(picture: str) -> None:
    one, two = (draw_answers([Questioned(picture, [FULL])] * count, "t", "s") for count in (1, 2))
    assert two.height - one.height == pytest.approx(PICTURE, abs=40)
    many = draw_answers([Questioned(picture, [FULL] * 9)], "t", "s")
    assert many.height > one.height
    assert one.getpixel((MARGIN + 100, TITLE + 100)) == (255, 0, 0)


def test_a_bar_is_as_long_as_its_answer_is_likely(picture: str) -> None:
    sure, half = (
        green(draw_answers([Questioned(picture, [Asked("?", [Answer("yes", share)])])], "t", "s"))
        for share in (1.0, 0.5)
    )
    assert sure == pytest.approx(2 * half, rel=0.1)
    assert not green(draw_answers([Questioned(picture, [Asked("?", [Answer("yes", 0.0)])])], "t", "s"))


def test_the_true_answer_has_a_tick_wherever_it_stands(picture: str) -> None:
    def tick(right: str | None, place: int) -> bool:
        asked = Asked(FULL.question, FULL.answers, right)
        sheet = draw_answers([Questioned(picture, [asked])], "t", "s")
        top = TITLE + PADDING + 27 + place * BAR
        left = MARGIN + PICTURE + 4
        return green(sheet.crop((left, top, left + PADDING - 4, top + BAR))) > 0

    assert tick("a dog", 0) and not tick("a dog", 1)
    assert tick("a cat", 1) and not tick("a cat", 0)
    assert not tick(None, 0) and not tick("a bird", 0)


def test_long_texts_stay_in_their_place_and_only_the_best_answers_are_shown(picture: str) -> None:
    long = Asked("why " * 60, [Answer("because of the very long rain in Spain", 0.4)] * 20)
    sheet = draw_answers([Questioned(picture, [long, FULL])], "t", "s", shown=3)
    plain = draw_answers([Questioned(picture, [Asked("?", [Answer("a", 0.4)] * 3), FULL])], "t", "s", shown=3)
    assert sheet.height < plain.height + 100
    second = MARGIN + PICTURE + COLUMN
    box = (second, TITLE, second + PADDING - 16, TITLE + PICTURE)
    assert sheet.crop(box).getcolors() == plain.crop(box).getcolors()


def test_a_picture_that_is_gone_leaves_an_empty_place(tmp_path: Path) -> None:
    sheet = draw_answers([Questioned(str(tmp_path / "gone.png"), [FULL])], "t", "s")
    assert sheet.getpixel((MARGIN + 100, TITLE + 100)) == (255, 255, 255)


def test_the_sheet_is_written_as_png(tmp_path: Path, picture: str) -> None:
    write_answers(tmp_path / "sheet.png", [Questioned(picture, [FULL])], "就图片提问", "模型")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "sheet.png"]
