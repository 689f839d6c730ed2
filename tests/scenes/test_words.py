"""Captions: true to the scene, in proper Chinese and English; foils: false in one way."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from tuwen.errors import UsageError
from tuwen.scenes import nouns
from tuwen.scenes.backgrounds import BACKGROUNDS
from tuwen.scenes.layout import CHINESE_PLACES, places, sizes
from tuwen.scenes.pack import COUNT, glyphs
from tuwen.scenes.questions import choices, questions
from tuwen.scenes.scene import Scene, Thing, make
from tuwen.scenes.words import LANGUAGES, STYLES, caption, captions, foils, foils_by_kind, names, vocabulary_texts

INDEX = {language: {glyph.name(language): glyph.index for glyph in glyphs()} for language in LANGUAGES}


def thing(name: str, x: float, y: float, size: float = 0.2) -> Thing:
    half = size / 2
    return Thing(INDEX["en"][name], x, y, size, 0, (x - half, y - half, x + half, y + half))


def scene(*things: Thing, background: str = "blue") -> Scene:
    number = next(place for place, behind in enumerate(BACKGROUNDS) if behind.key == background)
    return Scene("train", 0, 0, number, 0, things)


DOG_AND_APPLES = scene(thing("red apple", 0.8, 0.3), thing("dog", 0.2, 0.5, 0.3), thing("red apple", 0.75, 0.7))


def test_the_full_caption_tells_things_counts_places_and_background() -> None:
    assert captions(DOG_AND_APPLES, "zh")[0] == "蓝色背景上，左边是一只狗，右边是两个红苹果"
    assert (
        captions(DOG_AND_APPLES, "en")[0] == "a dog on the left and two red apples on the right, on a blue background"
    )


@pytest.mark.parametrize(
    ("style", "zh", "en"),
    [
        ("counted", "两个红苹果和一只狗", "two red apples and a dog"),
        ("names", "红苹果和狗", "red apples and a dog"),
        ("positioned", "左边是一只狗，右边是两个红苹果", "a dog on the left and two red apples on the right"),
        ("sized", "两个小的红苹果和一只大的狗", "two small red apples and a big dog"),
        ("background", "蓝色背景上有两个红苹果和一只狗", "two red apples and a dog on a blue background"),
        ("photo", "一张有两个红苹果和一只狗的图片", "a picture of two red apples and a dog"),
        ("synonym", "两个红苹果和一只狗", "two red apples and a dog"),
    ],
)
def test_a_style_says_what_its_name_promises(style: str, zh: str, en: str) -> None:
    assert caption(DOG_AND_APPLES, "zh", style=style) == zh
    assert caption(DOG_AND_APPLES, "en", style=style) == en


def test_without_a_clear_place_none_is_told() -> None:
    close = scene(thing("dog", 0.45, 0.4), thing("cat", 0.55, 0.5))
    assert places(close) == {}
    assert captions(close, "en")[0] == "a dog and a cat on a blue background"


def test_three_kinds_in_a_row_are_left_middle_and_right() -> None:
    row = scene(thing("cat", 0.5, 0.4), thing("dog", 0.15, 0.6), thing("fox", 0.85, 0.5))
    assert caption(row, "zh", style="positioned") == "左边是一只狗，中间是一只猫，右边是一只狐狸"


def test_one_thing_is_placed_in_the_frame() -> None:
    assert list(places(scene(thing("dog", 0.2, 0.8))).values()) == ["bottom left"]
    assert list(places(scene(thing("dog", 0.5, 0.5))).values()) == ["middle"]
    assert places(scene(thing("dog", 0.5, 0.5, 0.7))) == {}


def test_places_and_sizes_agree_with_the_boxes() -> None:
    axis = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}
    told = 0
    for index in range(600):
        made = make(11, index)
        where, groups = places(made), made.groups
        for glyph, place in where.items():
            for other in set(where) - {glyph} if place in axis else ():
                along, sign = axis[place]
                told += 1
                assert all(
                    sign * (one.centre[along] - two.centre[along]) > 0.15
                    for one in groups[glyph]
                    for two in groups[other]
                )
        for glyph, size in sizes(made).items():
            others = [one.extent for one in made.things if one.glyph != glyph]
            own = [one.extent for one in groups[glyph]]
            assert min(own) > 1.39 * max(others) if size == "big" else max(own) * 1.39 < min(others)
    assert told > 200


def counts_in(text: str, language: str) -> dict[int, int]:
    """What a counted list says, read back word by word."""
    found = {}
    for part in re.split(
        "、|和(?=[一两三四五])" if language == "zh" else ", | and (?=a |an |two |three |four |five )", text
    ):
        matches = [
            (glyph, count)
            for glyph in range(COUNT)
            for count in range(1, 6)
            if part == (nouns.chinese if language == "zh" else nouns.english)(glyph, count)
        ]
        assert len(matches) == 1, (part, text)
        found[matches[0][0]] = matches[0][1]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_counted_caption_read_back_gives_the_things_of_the_scene(language: str) -> None:
    for index in range(25):
        made = make(12, index)
        counts = Counter(one.glyph for one in made.things)
        assert counts_in(caption(made, language, style="counted"), language) == counts


@pytest.mark.parametrize("language", LANGUAGES)
def test_counted_phrases_of_different_things_or_numbers_differ(language: str) -> None:
    phrase = nouns.chinese if language == "zh" else nouns.english
    phrases = [phrase(glyph, count) for glyph in range(COUNT) for count in range(1, 6)]
    assert len(set(phrases)) == len(phrases)


@pytest.mark.parametrize("language", LANGUAGES)
def test_foils_are_none_of_the_true_captions_and_change_one_thing(language: str) -> None:
    for index in range(200):
        made = make(13, index)
        true = {caption(made, language, style=style) for style in STYLES} | set(captions(made, language))
        wrong = foils(made, language)
        assert len(set(wrong)) == len(wrong) >= 3
        assert not true & set(wrong)


def test_foils_of_each_kind_say_what_they_should() -> None:
    wrong = foils_by_kind(DOG_AND_APPLES, "zh")
    assert wrong["position"] == "蓝色背景上，右边是一只狗，左边是两个红苹果"
    assert wrong["background"].endswith("，左边是一只狗，右边是两个红苹果")
    assert not wrong["background"].startswith("蓝色")
    assert wrong["thing"].startswith("蓝色背景上，左边是")
    assert re.fullmatch("蓝色背景上，左边是.只狗，右边是.个红苹果", wrong["count"])


def test_captions_are_the_same_each_time_and_the_same_random_numbers_give_the_same_caption() -> None:
    made = make(14, 3)
    assert captions(made, "zh") == captions(make(14, 3), "zh")
    assert foils(made, "en") == foils(make(14, 3), "en")
    assert [caption(made, "en", Random(5)) for _ in range(2)] == [caption(made, "en", Random(5))] * 2
    assert len({caption(made, "en", Random(seed)) for seed in range(40)}) >= 6


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("mouse", "a mouse", "two mice"),
        ("wolf", "a wolf", "two wolves"),
        ("ewe", "a ewe", "two ewes"),
        ("unicorn", "a unicorn", "two unicorns"),
        ("x-ray", "an x-ray", "two x-rays"),
        ("orange book", "an orange book", "two orange books"),
        ("fish", "a fish", "two fish"),
        ("ear of corn", "an ear of corn", "two ears of corn"),
        ("maple leaf", "a maple leaf", "two maple leaves"),
        ("jeans", "a pair of jeans", "two pairs of jeans"),
        ("scissors", "a pair of scissors", "two pairs of scissors"),
        ("bread", "a loaf of bread", "two loaves of bread"),
        ("cactus", "a cactus", "two cacti"),
        ("ferry", "a ferry", "two ferries"),
        ("monkey", "a monkey", "two monkeys"),
        ("church", "a church", "two churches"),
        ("snowman without snow", "a snowman without snow", "two snowmen without snow"),
        ("magnifying glass tilted left", "a magnifying glass tilted left", "two magnifying glasses tilted left"),
        ("bow and arrow", "a bow and arrow", "two sets of bow and arrow"),
        ("locked", "a locked padlock", "two locked padlocks"),
    ],
)
def test_english_articles_and_plurals_are_right(name: str, one: str, two: str) -> None:
    assert (nouns.english(INDEX["en"][name], 1), nouns.english(INDEX["en"][name], 2)) == (one, two)


@pytest.mark.parametrize(
    ("name", "two"),
    [
        ("狗", "两只狗"),
        ("马", "两匹马"),
        ("一杯奶", "两杯奶"),
        ("自行车", "两辆自行车"),
        ("下雨", "两个下雨符号"),
        ("袜子", "两双袜子"),
        ("火箭", "两枚火箭"),
    ],
)
def test_chinese_measure_words_are_right(name: str, two: str) -> None:
    assert nouns.chinese(INDEX["zh"][name], 2) == two


def test_every_table_of_words_speaks_of_things_in_the_pack_once() -> None:
    chinese = [name for table in (nouns.MEASURES, nouns.ENDINGS) for row in table.values() for name in row.split()]
    english = [
        name for table in (nouns.UNITS, nouns.NOUNS, nouns.BEFORE) for row in table.values() for name in row.split("|")
    ]
    english += nouns.COUPLES.split("|")
    assert not set(chinese) - set(INDEX["zh"])
    assert not set(english) - set(INDEX["en"])
    assert len(english) == len(set(english))
    measured = [name for row in nouns.MEASURES.values() for name in row.split()]
    assert len(measured) == len(set(measured))


@pytest.mark.parametrize(
    ("language", "synonyms"), [("zh", nouns.CHINESE_SYNONYMS), ("en", nouns.ENGLISH_SYNONYMS)], ids=LANGUAGES
)
def test_a_synonym_is_a_keyword_of_one_thing_only(language: str, synonyms: dict[str, str]) -> None:
    keywords = {glyph.index: set(getattr(glyph, f"{language}_keywords")) | {glyph.name(language)} for glyph in glyphs()}
    for name, synonym in synonyms.items():
        assert [index for index, words in keywords.items() if synonym in words] == [INDEX[language][name]], synonym


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_vocabulary_covers_every_character_or_word_that_is_said(language: str) -> None:
    def words(text: str) -> list[str]:
        return list(text) if language == "zh" else re.findall(r"[\w'ñ-]+", text)

    known = {word for text in vocabulary_texts() for word in words(text)}
    for index in range(150):
        made = make(15, index)
        said = [*captions(made, language), *foils(made, language)]
        for question in questions(made, language):
            said += [question.text, question.answer, question.sentence]
        for choice in choices(made, language):
            said += [choice.question, *choice.choices, *choice.reasons]
        assert {word for text in said for word in words(text)} <= known


def test_names_are_those_of_the_pack() -> None:
    assert len(names("zh")) == len(names("en")) == COUNT
    assert names("en")[INDEX["zh"]["狗"]] == "dog"


def test_an_unknown_language_or_style_is_refused() -> None:
    with pytest.raises(UsageError, match="zh and en"):
        caption(DOG_AND_APPLES, "fr")
    with pytest.raises(UsageError, match="styles are full"):
        caption(DOG_AND_APPLES, "en", style="long")


def test_places_have_words_in_both_languages() -> None:
    assert len(set(CHINESE_PLACES.values())) == 9
