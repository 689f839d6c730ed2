"""A contact sheet: queries down, their best pictures across, in one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from tuwen.checkpoint import replacing
from tuwen.data.inputs import content
from tuwen.search.font import font
from tuwen.search.gallery import Answer, Hit

PAPER, CARD, INK, PALE, LINE = "#f4f3ef", "#ffffff", "#1d2126", "#6d737c", "#dcdad3"
RIGHT, WRONG = "#1f8a5b", "#b9bcc2"

MARGIN, GAP = 40, 18
LABEL = 300  # width of the column with the queries
TITLE = 122  # height of the heading
PICTURE, CAPTION = 196, 36
CARD_HEIGHT = PICTURE + CAPTION
SECOND_LINE = 26  # of the caption of a reranked picture
BAND = 64  # height of the lines from one order to the other
SMOOTH = 4  # corners and lines are drawn this much larger


def write_sheet(path: Path, answers: Sequence[Answer], title: str, subtitle: str) -> None:
    """Draw the sheet and write it as PNG."""
    write_png(path, draw_sheet(answers, title, subtitle))


def draw_sheet(answers: Sequence[Answer], title: str, subtitle: str) -> Image.Image:
    """The sheet as an RGB picture; a picture that cannot be opened stays an empty card."""
    step = CARD_HEIGHT + GAP + (SECOND_LINE if any(answer.reranked for answer in answers) else 0)
    columns = max((len(answer.hits) for answer in answers), default=0)
    sheet = paper(_wide(columns), len(answers) * step, title, subtitle)
    for row, answer in enumerate(answers):
        _row(sheet, answer, TITLE + row * step)
    return sheet


def write_before_after(path: Path, answers: Sequence[Answer], columns: int, title: str, subtitle: str) -> None:
    """Draw what reranking did and write it as PNG."""
    write_png(path, draw_before_after(answers, columns, title, subtitle))


def write_png(path: Path, sheet: Image.Image) -> None:
    """The file appears whole."""
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def draw_before_after(answers: Sequence[Answer], columns: int, title: str, subtitle: str) -> Image.Image:
    """For each reranked query its first pictures as they were found, below them the first ones as they are ordered now,
    and a line from each picture's old place to its new one."""
    step = 2 * CARD_HEIGHT + SECOND_LINE + BAND + 2 * GAP
    shown = min(columns, max((len(answer.hits) for answer in answers), default=0))
    sheet = paper(_wide(shown), len(answers) * step, title, subtitle)
    for number, answer in enumerate(answers):
        before, top = _recalled(answer), TITLE + number * step
        after = replace(answer, query="", image="")
        _row(sheet, replace(before, hits=before.hits[:columns]), top, "召回，按余弦")
        _lines(sheet, answer, shown, top + CARD_HEIGHT)
        _row(sheet, replace(after, hits=after.hits[:columns]), top + CARD_HEIGHT + BAND, "重排，按匹配概率")
    return sheet


def _recalled(answer: Answer) -> Answer:
    """A reranked answer as it was before."""
    hits = sorted(answer.hits, key=lambda hit: hit.recall_rank or hit.rank)
    plain = [replace(hit, rank=hit.recall_rank or hit.rank, recall_rank=None, match=None) for hit in hits]
    right = answer.right
    if right is not None:
        right = (*(hit.rank for hit in plain if hit.right), *(rank for rank in right if rank > len(plain)))
    return replace(answer, hits=plain, right=right)


def _wide(columns: int) -> int:
    return max(2 * MARGIN + LABEL + columns * (PICTURE + GAP), 900)


def paper(width: int, height: int, title: str, subtitle: str) -> Image.Image:
    """An empty sheet under its heading; `height` is that of what comes below it."""
    sheet = Image.new("RGB", (width, TITLE + height + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 28), title, INK, font(30))
    pen.text((MARGIN, 70), subtitle, PALE, font(17))
    return sheet


def _row(sheet: Image.Image, answer: Answer, top: int, order: str = "") -> None:
    """A query and its hits."""
    _label(sheet, answer, top, order)
    for column, hit in enumerate(answer.hits):
        _card(sheet, hit, _left(column), top)


def _left(column: int) -> int:
    return MARGIN + LABEL + GAP + column * (PICTURE + GAP)


def _lines(sheet: Image.Image, answer: Answer, columns: int, top: int) -> None:
    """From where a picture stood to where it stands, for those that are shown in both orders."""
    band = Image.new("RGB", (sheet.width * SMOOTH, BAND * SMOOTH), PAPER)
    pen = ImageDraw.Draw(band)
    for hit in sorted(answer.hits, key=lambda hit: hit.moved.startswith("↑")):  # those that rise lie above the others
        if hit.recall_rank is None or max(hit.recall_rank, hit.rank) > columns:
            continue
        ends = [_left(rank - 1) + PICTURE // 2 for rank in (hit.recall_rank, hit.rank)]
        colour, wide = (RIGHT, 3) if hit.rank < hit.recall_rank else (WRONG, 2)
        points = [(x * SMOOTH, y * SMOOTH) for x, y in _curve(*ends)]
        pen.line(points, colour, wide * SMOOTH, joint="curve")
    sheet.paste(band.resize((sheet.width, BAND), Image.Resampling.BOX), (0, top))


def _curve(start: int, end: int) -> list[tuple[float, float]]:
    """From the top of the band to its bottom, leaving and arriving upright."""
    steps = [step / 32 for step in range(33)]
    return [(start + (end - start) * part * part * (3 - 2 * part), 6 + (BAND - 12) * part) for part in steps]


def _label(sheet: Image.Image, answer: Answer, top: int, order: str) -> None:
    """The query, what orders its hits, and what is known about them."""
    pen = ImageDraw.Draw(sheet)
    if answer.query or answer.image:
        pen.line((MARGIN, top, MARGIN + LABEL - GAP, top), LINE, 2)
    lines = wrapped(answer.query, 26, LABEL - GAP)[:4]
    y = top + 16
    for line in lines:
        pen.text((MARGIN, y), line, INK, font(26))
        y += 37
    if answer.image:
        small = thumbnail(answer.image, 96)
        if small:
            sheet.paste(small, (MARGIN, y + 4), corners(96, 96, 8))
    for above, note in enumerate(filter(None, (verdict(answer), order))):
        pen.text((MARGIN, top + CARD_HEIGHT - 28 - 26 * above), note, PALE, font(16))


def verdict(answer: Answer) -> str:
    """Where the right pictures stand; empty where nobody knows."""
    if answer.right is None:
        return ""
    return f"相符 {len(answer.right)} 张，名次 {ranks(answer.right)}"


def ranks(right: Sequence[int]) -> str:
    """1, 2, 5: at most six of them."""
    return ", ".join(map(str, right[:6])) + (" ..." if len(right) > 6 else "")


def _card(sheet: Image.Image, hit: Hit, left: int, top: int) -> None:
    height = CARD_HEIGHT + (SECOND_LINE if hit.recall_rank is not None else 0)
    card = Image.new("RGB", (PICTURE, height), CARD)
    picture = thumbnail(hit.path, PICTURE)
    if picture:
        card.paste(picture, (0, 0))
    pen = ImageDraw.Draw(card)
    middle = PICTURE + CAPTION / 2
    pen.text((12, middle), f"{hit.rank}", PALE, font(18), anchor="lm")
    if hit.recall_rank is None:
        pen.text((46, middle), f"{hit.score:.3f}", INK, font(18), anchor="lm")
    else:
        pen.text((46, middle), hit.moved, RIGHT if hit.moved[0] == "↑" else PALE, font(18), anchor="lm")
        match = "未读出" if hit.match is None else f"匹配 {hit.match:.1%}"
        pen.text((12, middle + SECOND_LINE), match, INK, font(16), anchor="lm")
        pen.text((PICTURE - 12, middle + SECOND_LINE), f"余弦 {hit.score:.3f}", PALE, font(14), anchor="rm")
    if hit.right is not None:
        _mark(pen, PICTURE - 20, PICTURE + CAPTION // 2, hit.right)
    sheet.paste(card, (left, top), corners(PICTURE, height, 10))


def _mark(pen: ImageDraw.ImageDraw, x: int, y: int, right: bool) -> None:
    """A tick for a right hit, a dash for a wrong one: told apart without colour, too."""
    if right:
        pen.line((x - 8, y, x - 2, y + 6, x + 8, y - 6), RIGHT, 3, joint="curve")
    else:
        pen.line((x - 6, y, x + 6, y), WRONG, 3)


def thumbnail(path: str, side: int) -> Image.Image | None:
    """The picture as a square, cut to fit; None if it cannot be opened."""
    whole = upright(path)
    return None if whole is None else ImageOps.fit(whole, (side, side), Image.Resampling.LANCZOS)


def upright(path: str) -> Image.Image | None:
    """The whole picture in RGB, also one inside a table (see `Hit`), turned as its EXIF says; None if it cannot be
    opened."""
    try:
        found = content(path)
        with Image.open(io.BytesIO(found) if isinstance(found, bytes) else found) as picture:
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def corners(width: int, height: int, radius: int) -> Image.Image:
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
