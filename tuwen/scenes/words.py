"""Captions of scenes, exact in Chinese and English, and captions that are wrong in one way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from random import Random

from tuwen.errors import UsageError
from tuwen.scenes import nouns
from tuwen.scenes.backgrounds import BACKGROUNDS
from tuwen.scenes.layout import CHINESE_PLACES, ENGLISH_PLACES, OPPOSITES, places, sizes
from tuwen.scenes.pack import Glyph, glyphs
from tuwen.scenes.phrases import ANSWERS, BACKGROUND_FORMS, PHOTOS, QUESTIONS, REASONS, SENTENCES, SIZE_WORDS
from tuwen.scenes.scene import MOST, Draw, Scene, mix

LANGUAGES = ("zh", "en")
STYLES = ("full", "counted", "names", "positioned", "sized", "background", "photo", "synonym")


def check_language(language: str) -> None:
    if language not in LANGUAGES:
        raise UsageError(f"language {language!r} is unknown; captions are written in {' and '.join(LANGUAGES)}")


def caption(scene: Scene, language: str = "zh", random: Random | None = None, style: str | None = None) -> str:
    """One true caption: of the given style, else of one that `random` picks, else the full one.

    A style that has nothing to say about the scene (no clear position, no clear size, no synonym) gives the counted
    caption instead.
    """
    check_language(language)
    if style is not None and style not in STYLES:
        raise UsageError(f"style {style!r} is unknown; the styles are {', '.join(STYLES)}")
    if style is None:
        style = STYLES[int(random.random() * len(STYLES))] if random else "full"
    fraction = random.random() if random else 0.0
    return Facts.of(scene).say(language, style, fraction)


def captions(scene: Scene, language: str) -> list[str]:
    """All the ways to put it, different from each other: the full caption first, then paraphrases; always the same."""
    check_language(language)
    facts = Facts.of(scene)
    choice = Draw(mix(scene.seed, scene.index, 31)).random()
    texts = [facts.say(language, style, choice) for style in STYLES]
    texts += [facts.say(language, "photo", (choice + step) % 1) for step in (0.25, 0.5)]
    texts += [facts.say(language, "background", (choice + step) % 1) for step in (0.34, 0.67)]
    return list(dict.fromkeys(texts))


class Facts:
    """What a caption may say: counts by glyph, the background, clear places and sizes; a foil changes one of them."""

    def __init__(self, counts: dict[int, int], background: int, where: dict[int, str], large: dict[int, str]) -> None:
        self.counts = counts
        self.background = background
        self.where = where
        self.large = large

    @classmethod
    def of(cls, scene: Scene) -> Facts:
        counts = {glyph: len(things) for glyph, things in scene.groups.items()}
        return cls(counts, scene.background, places(scene), sizes(scene))

    def say(self, language: str, style: str, choice: float = 0.0) -> str:
        """The caption in a style; `choice` in 0..1 picks among several wordings of it."""
        if style == "full":
            return self._full(language)
        if style == "names":
            return self._names(language)
        if style == "positioned" and self.where:
            return self._positioned(language)
        if style == "sized" and self.large:
            return self._sized(language)
        things = self._counted(language, synonym=style == "synonym")
        first = "is" if next(iter(self.counts.values())) == 1 else "are"
        if style == "photo":
            form = PHOTOS[language][int(choice * len(PHOTOS[language]))]
            return form.format(things=things, **{"is": first})
        if style == "background":
            form = BACKGROUND_FORMS[language][int(choice * len(BACKGROUND_FORMS[language]))]
            behind = BACKGROUNDS[self.background]
            name, place = (behind.zh, behind.zh_place) if language == "zh" else (behind.en, behind.en_place)
            return form.format(things=things, name=name, place=place, **{"is": first})
        return things

    def _counted(self, language: str, synonym: bool = False) -> str:
        phrase = nouns.chinese if language == "zh" else nouns.english
        return join([phrase(glyph, count, synonym) for glyph, count in self.counts.items()], language)

    def _names(self, language: str) -> str:
        if language == "zh":
            return join([glyphs()[glyph].zh for glyph in self.counts], language)
        return join(
            [nouns.english(g, 1) if n == 1 else nouns.english_forms(g)[1] for g, n in self.counts.items()], language
        )

    def _positioned(self, language: str) -> str:
        # From left to right, from top to bottom: the order in which `places` lists them.
        if language == "zh":
            return "，".join(
                f"{CHINESE_PLACES[place]}是{nouns.chinese(g, self.counts[g])}" for g, place in self.where.items()
            )
        return join(
            [f"{nouns.english(g, self.counts[g])} {ENGLISH_PLACES[p]}" for g, p in self.where.items()], language
        )

    def _sized(self, language: str) -> str:
        parts = []
        for glyph, count in self.counts.items():
            size = self.large.get(glyph)
            if language == "zh":
                number = nouns.CHINESE_NUMBERS[count] + nouns.measure_word(glyph)
                parts.append(number + (SIZE_WORDS["zh"][size] + "的" if size else "") + nouns.chinese_counted(glyph))
            elif size:
                one, many = nouns.english_forms(glyph)
                parts.append(f"a {size} {one}" if count == 1 else f"{nouns.ENGLISH_NUMBERS[count]} {size} {many}")
            else:
                parts.append(nouns.english(glyph, count))
        return join(parts, language)

    def _full(self, language: str) -> str:
        behind = BACKGROUNDS[self.background]
        if language == "zh":
            return (
                f"{behind.zh_place}，{self._positioned('zh')}"
                if self.where
                else f"{behind.zh_place}有{self._counted('zh')}"
            )
        if self.where:
            return f"{self._positioned('en')}, {behind.en_place}"
        return f"{self._counted('en')} {behind.en_place}"


def join(parts: list[str], language: str) -> str:
    """甲、乙和丙; a, b and c."""
    if len(parts) == 1:
        return parts[0]
    comma, last = ("、", "和") if language == "zh" else (", ", " and ")
    return comma.join(parts[:-1]) + last + parts[-1]


def foils(scene: Scene, language: str, random: Random | None = None) -> list[str]:
    """Captions made wrong by exactly one change; without `random` always the same ones."""
    return list(foils_by_kind(scene, language, random).values())


def foils_by_kind(scene: Scene, language: str, random: Random | None = None) -> dict[str, str]:
    """The full caption with one thing exchanged ("thing"), one count changed ("count"), another background
    ("background"), and places exchanged ("position", only where the caption has them)."""
    check_language(language)
    draw = Draw(mix(scene.seed, scene.index, 47))
    if random:
        draw.random = random.random
    facts = Facts.of(scene)
    counts, where = facts.counts, facts.where
    made = {}
    old = draw.pick(list(counts))
    new = draw.pick(neighbours(old, tuple(counts)))
    renamed = {new if glyph == old else glyph: value for glyph, value in counts.items()}
    moved = {new if glyph == old else glyph: place for glyph, place in where.items()}
    made["thing"] = Facts(renamed, facts.background, moved, {})
    glyph = draw.pick(list(counts))
    wrong = draw.pick(
        [number for number in range(1, MOST + 1) if number != counts[glyph] and abs(number - counts[glyph]) <= 2]
    )
    made["count"] = Facts(counts | {glyph: wrong}, facts.background, where, {})
    other = (facts.background + 1 + draw.below(len(BACKGROUNDS) - 1)) % len(BACKGROUNDS)
    made["background"] = Facts(counts, other, where, {})
    if where and "middle" not in where.values():
        # The order of mention stays, so that only the truth of the places changes.
        made["position"] = Facts(counts, facts.background, {g: OPPOSITES[p] for g, p in where.items()}, {})
    elif len(where) == 3:
        made["position"] = Facts(
            counts, facts.background, dict(zip(where, _rotated(list(where.values())), strict=True)), {}
        )
    return {kind: changed.say(language, "full") for kind, changed in made.items()}


def _rotated(values: list[str]) -> list[str]:
    return values[1:] + values[:1]


@cache
def neighbours(glyph: int, present: tuple[int, ...]) -> tuple[int, ...]:
    """Things that could be taken for this one, of its subgroup or else of its group; not what is present, nor anything
    that shares a name with it."""
    own = glyphs()[glyph]
    named = [glyphs()[other] for other in {glyph, *present}]

    def fits(other: Glyph) -> bool:
        return other.index not in present and not any(alike(other, thing) for thing in named)

    close = tuple(other.index for other in glyphs() if other.subgroup == own.subgroup and fits(other))
    return close or tuple(other.index for other in glyphs() if other.group == own.group and fits(other))


def alike(first: Glyph, second: Glyph) -> bool:
    """Whether one name is part of the other (dog, dog face) or among its keywords, in either language."""
    return any(
        one.name(language) in two.name(language) or one.name(language) in keywords
        for one, two in ((first, second), (second, first))
        for language, keywords in (("zh", two.zh_keywords), ("en", two.en_keywords))
    )


def names(language: str) -> list[str]:
    """The names of all 794 things in the order of the pack."""
    check_language(language)
    return [glyph.name(language) for glyph in glyphs()]


def vocabulary_texts() -> Iterator[str]:
    """Every word that a caption, a question or an answer can contain, in both languages."""
    for glyph in glyphs():
        yield from (glyph.zh, glyph.en, *glyph.zh_keywords, *glyph.en_keywords)
        for synonym in (False, True):
            yield from nouns.english_forms(glyph.index, synonym)
            yield nouns.chinese(glyph.index, 1, synonym)
    yield from nouns.CHINESE_NUMBERS
    yield from nouns.ENGLISH_NUMBERS
    yield from map(str, range(MOST + 1))
    yield "a an and is are there here it thing things 、，。？和有是的"
    for forms in (PHOTOS, BACKGROUND_FORMS):
        yield from (re.sub(r"\{.*?\}", " ", form) for language in LANGUAGES for form in forms[language])
    for templates in (QUESTIONS, ANSWERS, SENTENCES, REASONS, SIZE_WORDS):
        yield from (re.sub(r"\{.*?\}", " ", text) for language in LANGUAGES for text in templates[language].values())
    for behind in BACKGROUNDS:
        yield from (behind.key, behind.zh, behind.en, behind.zh_place, behind.en_place)
    yield from CHINESE_PLACES.values()
    yield from ENGLISH_PLACES.values()
