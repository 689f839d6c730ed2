"""Questions about pictures with their likeliest answers and how likely they are, in one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from tuwen.search.font import font
from tuwen.search.sheet import (
    CARD,
    GAP,
    INK,
    MARGIN,
    PALE,
    RIGHT,
    TITLE,
    corners,
    paper,
    thumbnail,
    wrapped,
    write_png,
)
from tuwen.tasks.answer import Answer

PICTURE = 232
COLUMNS, COLUMN = 2, 390  # questions beside each other, and the width of one
PADDING = 30  # inside the card; the ticks stand in it
QUESTION, BAR = 27, 27  # heights of a line of a question, and of a line with an answer
BETWEEN = 20  # from one question to the one below
WORDS, LONGEST = 172, 92  # widths of an answer's text, and of the longest bar
WASH = "#dfe9e4"  # behind a bar


@dataclass(frozen=True)
class Asked:
    """A question with its answers, best first; right: the true one, where somebody knows it."""

    question: str
    answers: Sequence[Answer]
    right: str | None = None


@dataclass(frozen=True)
class Questioned:
    """A picture and what was asked about it."""

    path: str
    asked: Sequence[Asked]


def write_answers(path: Path, pictures: Sequence[Questioned], title: str, subtitle: str, shown: int = 4) -> None:
    """Draw the sheet and write it as PNG."""
    write_png(path, draw_answers(pictures, title, subtitle, shown))


def draw_answers(pictures: Sequence[Questioned], title: str, subtitle: str, shown: int = 4) -> Image.Image:
    """Pictures down, RGB, each with its questions beside it and at most `shown` answers for each; the bars say how
    likely they are, and the true one has a tick. A picture that cannot be opened stays empty."""
    heights = [max(PICTURE, _height(picture, shown)) for picture in pictures]
    wide = 2 * MARGIN + PICTURE + COLUMNS * COLUMN
    sheet = paper(wide, sum(heights) + GAP * len(heights), title, subtitle)
    top = TITLE
    for picture, height in zip(pictures, heights, strict=True):
        sheet.paste(_card(picture, height, shown), (MARGIN, top), corners(sheet.width - 2 * MARGIN, height, 10))
        top += height + GAP
    return sheet


def _height(picture: Questioned, shown: int) -> int:
    rows = [picture.asked[start : start + COLUMNS] for start in range(0, len(picture.asked), COLUMNS)]
    return 2 * PADDING - BETWEEN + sum(_row_height(row, shown) for row in rows)


def _row_height(row: Sequence[Asked], shown: int) -> int:
    return max(len(_lines(asked)) * QUESTION + len(asked.answers[:shown]) * BAR for asked in row) + BETWEEN


def _lines(asked: Asked) -> list[str]:
    return wrapped(asked.question, 20, COLUMN - 2 * PADDING)[:3]


def _card(picture: Questioned, height: int, shown: int) -> Image.Image:
    card = Image.new("RGB", (PICTURE + COLUMNS * COLUMN, height), CARD)
    small = thumbnail(picture.path, PICTURE)
    if small:
        card.paste(small, (0, 0))
    pen = ImageDraw.Draw(card)
    top = PADDING
    for start in range(0, len(picture.asked), COLUMNS):
        row = picture.asked[start : start + COLUMNS]
        for column, asked in enumerate(row):
            _block(pen, asked, PICTURE + column * COLUMN + PADDING, top, shown)
        top += _row_height(row, shown)
    return card


def _block(pen: ImageDraw.ImageDraw, asked: Asked, left: int, top: int, shown: int) -> None:
    """A question, and below it a line for each answer: its words, its bar, its probability."""
    for line in _lines(asked):
        pen.text((left, top), line, INK, font(20))
        top += QUESTION
    for place, answer in enumerate(asked.answers[:shown]):
        middle = top + place * BAR + BAR // 2 + 2
        _fitted(pen, answer.text, left, middle, INK if place == 0 else PALE)
        bar = left + WORDS + 8
        pen.rounded_rectangle((bar, middle - 6, bar + LONGEST, middle + 6), 3, WASH)
        long = round(LONGEST * min(answer.probability, 1))
        if long >= 4:
            pen.rounded_rectangle((bar, middle - 6, bar + long, middle + 6), 3, RIGHT if place == 0 else PALE)
        pen.text((bar + LONGEST + 10, middle), f"{answer.probability:.1%}", INK, font(15), anchor="lm")
        if answer.text == asked.right:
            _tick(pen, left - 14, middle)


def _fitted(pen: ImageDraw.ImageDraw, text: str, left: int, middle: int, colour: str) -> None:
    """A line of text: smaller where it is too wide, and cut where it still is."""
    size = next((size for size in (17, 15, 13) if font(size).getlength(text) <= WORDS), 13)
    if font(size).getlength(text) > WORDS:
        text = wrapped(text, size, WORDS - 12)[0] + "…"
    pen.text((left, middle), text, colour, font(size), anchor="lm")


def _tick(pen: ImageDraw.ImageDraw, x: int, y: int) -> None:
    pen.line((x - 5, y, x - 1, y + 4, x + 6, y - 4), RIGHT, 2, joint="curve")
