"""A contact sheet: queries down, their best pictures across, in one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from tuwen.checkpoint import replacing
from tuwen.search.font import font
from tuwen.search.gallery import Answer, Hit

PAPER, CARD, INK, PALE, LINE = "#f4f3ef", "#ffffff", "#1d2126", "#6d737c", "#dcdad3"
RIGHT, WRONG = "#1f8a5b", "#b9bcc2"

MARGIN, GAP = 40, 18
LABEL = 300  # width of the column with the queries
TITLE = 122  # height of the heading
PICTURE, CAPTION = 196, 36
CARD_HEIGHT = PICTURE + CAPTION
SMOOTH = 4  # corners are drawn this much larger


def write_sheet(path: Path, answers: Sequence[Answer], title: str, subtitle: str) -> None:
    """Draw the sheet and write it as PNG."""
    sheet = draw_sheet(answers, title, subtitle)
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def draw_sheet(answers: Sequence[Answer], title: str, subtitle: str) -> Image.Image:
    """The sheet as an RGB picture; a picture that cannot be opened stays an empty card."""
    columns = max((len(answer.hits) for answer in answers), default=0)
    width = 2 * MARGIN + LABEL + columns * (PICTURE + GAP)
    height = TITLE + len(answers) * (CARD_HEIGHT + GAP) + MARGIN
    sheet = Image.new("RGB", (max(width, 900), height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 28), title, INK, font(30))
    pen.text((MARGIN, 70), subtitle, PALE, font(17))
    for row, answer in enumerate(answers):
        top = TITLE + row * (CARD_HEIGHT + GAP)
        _label(sheet, answer, top)
        for column, hit in enumerate(answer.hits):
            _card(sheet, hit, MARGIN + LABEL + GAP + column * (PICTURE + GAP), top)
    return sheet


def _label(sheet: Image.Image, answer: Answer, top: int) -> None:
    """The query, and what is known about its hits."""
    pen = ImageDraw.Draw(sheet)
    pen.line((MARGIN, top, MARGIN + LABEL - GAP, top), LINE, 2)
    lines = wrapped(answer.query, 26, LABEL - GAP)[:4]
    y = top + 16
    for line in lines:
        pen.text((MARGIN, y), line, INK, font(26))
        y += 37
    if answer.image:
        small = _thumbnail(answer.image, 96)
        if small:
            sheet.paste(small, (MARGIN, y + 4), _corners(96, 96, 8))
    note = verdict(answer)
    if note:
        pen.text((MARGIN, top + CARD_HEIGHT - 28), note, PALE, font(16))


def verdict(answer: Answer) -> str:
    """Where the right pictures stand; empty where nobody knows."""
    if answer.right is None:
        return ""
    return f"相符 {len(answer.right)} 张，名次 {ranks(answer.right)}"


def ranks(right: Sequence[int]) -> str:
    """1, 2, 5: at most six of them."""
    return ", ".join(map(str, right[:6])) + (" ..." if len(right) > 6 else "")


def _card(sheet: Image.Image, hit: Hit, left: int, top: int) -> None:
    card = Image.new("RGB", (PICTURE, CARD_HEIGHT), CARD)
    picture = _thumbnail(hit.path, PICTURE)
    if picture:
        card.paste(picture, (0, 0))
    pen = ImageDraw.Draw(card)
    middle = PICTURE + CAPTION / 2
    pen.text((12, middle), f"{hit.rank}", PALE, font(18), anchor="lm")
    pen.text((46, middle), f"{hit.score:.3f}", INK, font(18), anchor="lm")
    if hit.right is not None:
        _mark(pen, PICTURE - 20, PICTURE + CAPTION // 2, hit.right)
    sheet.paste(card, (left, top), _corners(PICTURE, CARD_HEIGHT, 10))


def _mark(pen: ImageDraw.ImageDraw, x: int, y: int, right: bool) -> None:
    """A tick for a right hit, a dash for a wrong one: told apart without colour, too."""
    if right:
        pen.line((x - 8, y, x - 2, y + 6, x + 8, y - 6), RIGHT, 3, joint="curve")
    else:
        pen.line((x - 6, y, x + 6, y), WRONG, 3)


def _thumbnail(path: str, side: int) -> Image.Image | None:
    try:
        with Image.open(path) as picture:
            whole = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return ImageOps.fit(whole, (side, side), Image.Resampling.LANCZOS)


def _corners(width: int, height: int, radius: int) -> Image.Image:
    """A mask with round corners."""
    large = Image.new("L", (width * SMOOTH, height * SMOOTH))
    box = (0, 0, width * SMOOTH - 1, height * SMOOTH - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius * SMOOTH, 255)
    return large.resize((width, height), Image.Resampling.BOX)


def wrapped(text: str, size: int, width: int) -> list[str]:
    """The text in lines no wider than `width` pixels: after a comma if it takes more than one, else Chinese breaks
    anywhere, other words at spaces where they fit."""
    face = font(size)
    before, comma, after = text.partition("，")
    if after and face.getlength(text) > width:
        return wrapped(before + comma, size, width) + wrapped(after, size, width)
    lines = [""]
    for word in _pieces(text):
        if face.getlength((lines[-1] + word).rstrip()) <= width:
            lines[-1] += word
        elif face.getlength(word) <= width:
            lines.append(word.lstrip())
        else:
            for letter in word:
                if face.getlength(lines[-1] + letter) > width:
                    lines.append("")
                lines[-1] += letter
    return [line.rstrip() for line in lines if line.strip()]


def _pieces(text: str) -> list[str]:
    """Chinese characters, each with the punctuation that may not begin a line; words with the space before them."""
    pieces: list[str] = []
    for letter in text:
        joins = pieces and letter.isascii() and letter != " " and pieces[-1][-1].isascii()
        if joins or (pieces and letter in "，。、！？：；）》」』"):
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces
