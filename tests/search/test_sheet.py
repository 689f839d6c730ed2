"""The contact sheet and the page: what they show, also of pictures that are gone and texts that are long."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from tuwen.scenes import vocabulary_texts
from tuwen.search.font import font
from tuwen.search.gallery import Answer, Hit
from tuwen.search.page import page, write_page
from tuwen.search.sheet import draw_before_after, draw_sheet, verdict, wrapped, write_before_after, write_sheet


def hit(folder: Path, rank: int, right: bool | None = None, name: str = "a.png") -> Hit:
    return Hit(rank, 0.5 - rank / 100, name, str(folder / name), right=right)


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    Image.new("RGB", (60, 40), "red").save(tmp_path / "a.png")
    return Answer("雪地上的狐狸", [hit(tmp_path, 1, True), hit(tmp_path, 2, False)], right=(1, 9))


FIRST = 40 + 300 + 18  # left edge of the first card


def glyph(letter: str) -> bytes:
    return bytes(font(24).getmask(letter))


def test_the_font_has_every_character_of_the_scenes_and_of_daily_chinese() -> None:
    missing = glyph("\U0001f600")  # the box that stands for what a font does not have
    letters = {letter for text in vocabulary_texts() for letter in text if letter.isalnum()}
    letters |= set(
        "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会，。、！？：；（）《》“”"
    )
    assert not [letter for letter in sorted(letters) if glyph(letter) == missing]


def test_lines_break_after_commas_then_between_words_and_fit() -> None:
    assert wrapped("上面是火鸡，下面是瓢虫", 26, 200) == ["上面是火鸡，", "下面是瓢虫"]
    lines = wrapped("a long query about many red cats", 26, 200)
    assert " ".join(lines) == "a long query about many red cats"
    lines = wrapped("一二三四五六七八九十" * 3, 26, 200)
    assert "".join(lines) == "一二三四五六七八九十" * 3
    assert all(font(26).getlength(line) <= 200 for line in lines)


def test_a_sheet_has_a_row_for_each_query_and_a_card_for_each_hit(answer: Answer) -> None:
    one, two = draw_sheet([answer], "t", "s"), draw_sheet([answer, answer], "t", "s")
    assert two.height > one.height
    red = [x for x in range(one.width) if one.getpixel((x, 240)) == (255, 0, 0)]
    assert len(red) == pytest.approx(2 * 196, abs=4)


def test_a_picture_that_is_gone_leaves_an_empty_card(tmp_path: Path) -> None:
    sheet = draw_sheet([Answer("猫", [hit(tmp_path, 1, name="gone.png")])], "t", "s")
    assert sheet.getpixel((40 + 300 + 18 + 98, 240)) == (255, 255, 255)


def inside(folder: Path) -> Answer:
    """A red picture and one that cannot be read, both in one table."""
    picture = io.BytesIO()
    Image.new("RGB", (900, 600), "red").save(picture, "PNG")
    rows = [f"猫\tx\t{base64.b64encode(content).decode()}\n" for content in (picture.getvalue(), b"\x89PN")]
    (folder / "pairs.tsv").write_text("".join(rows), encoding="utf-8")
    places = (0, len(rows[0].encode()))
    return Answer("猫", [hit(folder, rank, name=f"pairs.tsv#{place}") for rank, place in enumerate(places, 1)])


def test_pictures_inside_a_table_are_on_the_sheet(tmp_path: Path) -> None:
    sheet = draw_sheet([inside(tmp_path)], "t", "s")
    assert sheet.getpixel((FIRST + 98, 240)) == (255, 0, 0)
    assert sheet.getpixel((FIRST + 214 + 98, 240)) == (255, 255, 255)


def test_pictures_inside_a_table_are_put_into_the_page_with_few_pixels(tmp_path: Path) -> None:
    html = page(tmp_path / "p.html", [inside(tmp_path)], "", "")
    good, bad = re.findall(r'<img src="(data:[^"]*)" alt="pairs\.tsv#\d+">', html)
    start, _, code = good.partition(",")
    with Image.open(io.BytesIO(base64.b64decode(code))) as picture:
        assert (start, picture.size) == ("data:image/jpeg;base64", (480, 320))
        assert picture.getpixel((240, 160)) == pytest.approx((255, 0, 0), abs=3)
    assert bad == "data:,"
    assert "href" not in html


def test_a_sheet_appears_whole(answer: Answer, tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.png", [answer], "标题", "说明")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "sheet.png"]


def test_the_verdict_names_the_ranks_of_what_is_right(answer: Answer) -> None:
    assert verdict(answer) == "相符 2 张，名次 1, 9"
    assert verdict(Answer("猫", answer.hits)) == ""


def test_the_page_needs_nothing_but_the_pictures(answer: Answer, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    write_page(tmp_path / "pages" / "index.html", [answer], "说明", "words")
    html = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'(?:src|href)="([^"]*)"', html)) == {"../a.png"}
    assert "prefers-color-scheme: dark" in html
    assert 'class="zh"' in html and 'class="en"' in html
    assert html.count("✓") == 1


def test_what_users_write_cannot_become_html(tmp_path: Path) -> None:
    name = 'a"><script>alert(1)</script>.png'
    html = page(tmp_path / "p.html", [Answer("<b>x</b>", [hit(tmp_path, 1, name=name)])], "<i>", "<i>")
    assert "<b>x" not in html
    assert "<script>alert" not in html
    assert "<i>" not in html


def test_texts_are_shown_as_texts(tmp_path: Path) -> None:
    html = page(tmp_path / "p.html", [Answer("猫", [Hit(1, 0.5, "a.txt:1", "a.txt", "一只猫")])], "", "")
    assert '<p class="text">一只猫</p>' in html
    assert "<img" not in html


COLOURS = ("red", "lime", "blue")


@pytest.fixture
def reranked(tmp_path: Path) -> Answer:
    """Red, green and blue as they were found; now blue, red, and green, which could not be read."""
    for colour in COLOURS:
        Image.new("RGB", (60, 40), colour).save(tmp_path / f"{colour}.png")
    order = (("blue", 3, 0.91), ("red", 1, 0.25), ("lime", 2, None))
    hits = [
        Hit(rank, 0.5 - before / 10, f"{name}.png", str(tmp_path / f"{name}.png"), "", name == "red", match, before)
        for rank, (name, before, match) in enumerate(order, 1)
    ]
    return Answer("雪地上的狐狸", hits, right=(2, 9))


def colours(sheet: Image.Image, y: int) -> list[object]:
    """What is in the middle of each card at this height."""
    return [sheet.getpixel((FIRST + column * (196 + 18) + 98, y)) for column in range((sheet.width - FIRST) // 214)]


def test_before_stands_above_after(reranked: Answer) -> None:
    sheet = draw_before_after([reranked], 6, "t", "s")
    red, lime, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert colours(sheet, 240) == [red, lime, blue]
    assert colours(sheet, 240 + 232 + 64) == [blue, red, lime]
    assert colours(draw_before_after([reranked], 2, "t", "s"), 240) == [red, lime]


def test_lines_lead_from_each_old_place_to_the_new_one(reranked: Answer) -> None:
    sheet = draw_before_after([reranked], 6, "t", "s")
    top = 122 + 232
    paper = (244, 243, 239)
    middles = [FIRST + column * 214 + 98 for column in range(3)]
    assert all(sheet.getpixel((x, top + 8)) != paper for x in middles)
    for place in ((middles[2], top + 7), (middles[0], top + 64 - 8)):  # blue rises from the third place to the first
        red, lime, _ = sheet.convert("RGB").crop((*place, place[0] + 1, place[1] + 1)).tobytes()
        assert lime > red + 60
    alone = draw_before_after([reranked], 1, "t", "s")
    assert all(alone.getpixel((x, top + 32)) == paper for x in range(FIRST, alone.width))


def test_a_sheet_of_reranked_hits_has_room_for_both_scores(reranked: Answer, answer: Answer) -> None:
    plain, both = draw_sheet([answer], "t", "s"), draw_sheet([reranked], "t", "s")
    assert both.height == plain.height + 26
    assert colours(both, 240) == [(0, 0, 255), (255, 0, 0), (0, 255, 0)]


def test_the_sheet_of_both_orders_appears_whole(reranked: Answer, tmp_path: Path) -> None:
    write_before_after(tmp_path / "both.png", [reranked], 3, "标题", "说明")
    with Image.open(tmp_path / "both.png") as sheet:
        assert (sheet.format, sheet.size) == ("PNG", draw_before_after([reranked], 3, "", "").size)


def test_the_page_of_reranked_hits_shows_both_scores_and_how_they_moved(reranked: Answer, tmp_path: Path) -> None:
    html = page(tmp_path / "p.html", [reranked], "", "")
    assert '<i class="up">↑2</i><span>91.0%</span>' in html
    assert "<i>↓1</i><span>25.0%</span>" in html
    assert "未读出" in html and "not read" in html
    assert html.count("<small><span") == 3 + 1  # a cosine each, and the verdict
    assert "Reranked by" in html
    assert "Reranked by" not in page(tmp_path / "p.html", [Answer("猫", [])], "", "")


def test_the_name_of_a_file_has_a_line_of_its_own(answer: Answer, tmp_path: Path) -> None:
    html = page(tmp_path / "p.html", [answer], "", "")
    assert html.count('<p class="below"><span title="a.png">a.png</span></p>') == 2
