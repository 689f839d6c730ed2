"""Questions about scenes with their true answers, and multiple-choice questions with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from tuwen.scenes import nouns
from tuwen.scenes.backgrounds import BACKGROUNDS, Background
from tuwen.scenes.layout import CHINESE_PLACES, ENGLISH_PLACES, OPPOSITES, places, sizes
from tuwen.scenes.pack import COUNT, glyphs
from tuwen.scenes.phrases import ANSWERS, QUESTIONS, REASONS, SENTENCES
from tuwen.scenes.scene import MOST, Draw, Scene, mix
from tuwen.scenes.words import alike, check_language, neighbours

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """A question, its answer in few words, and the answer as a sentence.

    kind: what, how many, where, is there, colour, background or larger; glyph: the thing asked about, if it is one.
    """

    kind: str
    text: str
    answer: str
    sentence: str
    glyph: int | None = None


@dataclass(frozen=True)
class MultipleChoice:
    """A question with four answers and four reasons; `answer` and `reason` are the places of the true ones."""

    kind: str
    question: str
    choices: tuple[str, ...]
    answer: int
    reasons: tuple[str, ...]
    reason: int


def questions(scene: Scene, language: str) -> list[Question]:
    """Questions that have one certain answer; always the same ones for the same scene."""
    check_language(language)
    return list(_Asker(scene, language, 61).questions())


def choices(scene: Scene, language: str) -> list[MultipleChoice]:
    """Multiple-choice questions with answers and reasons in random order, always the same for the same scene."""
    check_language(language)
    return list(_Asker(scene, language, 62).choices())


class _Asker:
    """What is certain about a scene, and the words of one language for it."""

    def __init__(self, scene: Scene, language: str, stream: int) -> None:
        self.draw = Draw(mix(scene.seed, scene.index, stream))
        self.language = language
        self.counts = {glyph: len(things) for glyph, things in scene.groups.items()}
        self.where = places(scene)
        self.sizes = sizes(scene)
        self.behind = BACKGROUNDS[scene.background]

    def questions(self) -> Iterator[Question]:
        if len(self.counts) == 1:
            (glyph,) = self.counts
            yield Question("what", self.ask("what"), self.name(glyph), self.say("what", glyph), glyph)
        for glyph, place in self.where.items():
            there = self.place(place)
            sentence = self.say("at", glyph, place=there)
            yield Question("where", self.ask("where", glyph), there, sentence, glyph)
            yield Question("what", self.ask("what at", place=there), self.name(glyph), sentence, glyph)
        for glyph, count in self.counts.items():
            yield Question("how many", self.ask("how many", glyph), str(count), self.say("what", glyph), glyph)
        yield self.total()
        for glyph in (self.draw.pick(list(self.counts)), self.absent()):
            verdict = "yes" if glyph in self.counts else "no"
            answer = ANSWERS[self.language][verdict]
            yield Question("is there", self.ask("is there", glyph), answer, self.say(verdict, glyph), glyph)
        behind = self.background_name(self.behind)
        yield Question(
            self.kind_of_background,
            self.ask(self.kind_of_background),
            behind,
            self.say("background", background=behind),
        )
        yield from self.about_sizes()

    def total(self) -> Question:
        total = sum(self.counts.values())
        number = nouns.CHINESE_NUMBERS[total]
        if self.language == "en":
            number = f"{nouns.ENGLISH_NUMBERS[total]} {'thing' if total == 1 else 'things'}"
        sentence = self.form(SENTENCES, "total", number=number, **{"is": "is" if total == 1 else "are"})
        return Question("how many", self.ask("how many things"), str(total), sentence)

    def about_sizes(self) -> Iterator[Question]:
        # Only of two that are each alone of their kind is it clear which are meant.
        single = [glyph for glyph in self.counts if self.counts[glyph] == 1]
        big = next((glyph for glyph in single if self.sizes.get(glyph) == "big"), None)
        if big is None or len(single) < 2:
            return
        other = self.draw.pick([glyph for glyph in single if glyph != big])
        first, second = (big, other) if self.draw.below(2) else (other, big)
        text = self.ask("larger", first, other=self.thing(second))
        yield Question("larger", text, self.name(big), self.say("larger", big), big)

    def choices(self) -> Iterator[MultipleChoice]:
        glyph = self.draw.pick(list(self.counts))
        place = self.where.get(glyph)
        strangers = self.strangers(glyph)
        if place or len(self.counts) == 1:
            text = self.ask("what at", place=self.place(place)) if place else self.ask("what")
            # What is elsewhere in the picture is the likeliest mistake, so it comes first.
            wrong = [self.name(other) for other in self.counts if other != glyph] + [
                self.name(other) for other in strangers
            ]
            yield self.shuffled("what", text, [self.name(glyph), *wrong[:3]], self.reasons(glyph, strangers))
        numbers = [str(number) for number in range(1, MOST + 1) if number != self.counts[glyph]]
        right = str(self.counts[glyph])
        yield self.shuffled(
            "how many", self.ask("how many", glyph), [right, *self.some(numbers)], self.reasons(glyph, strangers)
        )
        if place and len(self.counts) == 1:
            # One thing alone has one place in the frame; of several, "left" and "top" may be true at once.
            wrong = self.some([self.place(key) for key in CHINESE_PLACES if key != place])
            yield self.shuffled(
                "where", self.ask("where", glyph), [self.place(place), *wrong], self.reasons(glyph, strangers)
            )
        yield self.about_background(glyph, strangers)

    def about_background(self, glyph: int, strangers: list[int]) -> MultipleChoice:
        others = [behind for behind in BACKGROUNDS if behind.family == self.behind.family and behind != self.behind]
        picked = self.some(others)
        own, stranger = self.counted(glyph), self.counted(strangers[0], self.counts[glyph])
        seen = self.background_name(self.behind)
        reasons = [
            self.form(REASONS, "in front", things=things, background=background)
            for things, background in (
                (own, seen),
                (own, self.background_name(picked[0])),
                (stranger, seen),
                (stranger, self.background_name(picked[1])),
            )
        ]
        names = [seen, *map(self.background_name, picked)]
        return self.shuffled(self.kind_of_background, self.ask(self.kind_of_background), names, reasons)

    def reasons(self, glyph: int, strangers: list[int]) -> list[str]:
        """The true reason, then one with another thing, one with a larger number, and one that is wrong otherwise."""
        count, place = self.counts[glyph], self.where.get(glyph)
        key = "at" if place else "present"

        def because(glyph: int, count: int, place: str | None) -> str:
            return self.form(REASONS, key, things=self.counted(glyph, count), place=self.place(place) if place else "")

        elsewhere = self.elsewhere(place) if place else None
        # More than there are: "a dog" would not be wrong of two dogs.
        more = count + 1 + self.draw.below(2)
        last = because(glyph, count, elsewhere) if elsewhere else because(strangers[1], count, None)
        return [because(glyph, count, place), because(strangers[0], count, place), because(glyph, more, place), last]

    def elsewhere(self, place: str) -> str:
        """A place that this one certainly is not."""
        others = [other for other in self.where.values() if other != place]
        return OPPOSITES.get(place) or (self.draw.pick(others) if others else "left")

    def strangers(self, glyph: int) -> list[int]:
        """Three things that are not in the picture but could be mistaken for one that is."""
        found = self.some(list(neighbours(glyph, tuple(self.counts))))
        while len(found) < 3:
            stranger = self.absent()
            if stranger not in found:
                found.append(stranger)
        return found

    def absent(self) -> int:
        """A thing that is not in the picture under any of its names."""
        near = neighbours(self.draw.pick(list(self.counts)), tuple(self.counts))
        if near and self.draw.below(2):
            return self.draw.pick(near)
        while True:
            glyph = self.draw.below(COUNT)
            if not any(glyph == present or alike(glyphs()[glyph], glyphs()[present]) for present in self.counts):
                return glyph

    def some(self, options: list[T]) -> list[T]:
        """Three of them, or all if there are fewer."""
        options = list(options)
        return [options.pop(self.draw.below(len(options))) for _ in range(min(3, len(options)))]

    def shuffled(self, kind: str, question: str, answers: list[str], reasons: list[str]) -> MultipleChoice:
        """A question whose first answer and first reason are the true ones, before their order is lost."""
        orders = []
        for _ in range(2):
            left = [0, 1, 2, 3]
            orders.append([left.pop(self.draw.below(len(left))) for _ in range(4)])
        return MultipleChoice(
            kind,
            question,
            tuple(answers[place] for place in orders[0]),
            orders[0].index(0),
            tuple(reasons[place] for place in orders[1]),
            orders[1].index(0),
        )

    # Words.

    @property
    def kind_of_background(self) -> str:
        return "colour" if self.behind.family == "colour" else "background"

    def form(self, table: dict[str, dict[str, str]], key: str, **words: str) -> str:
        return table[self.language][key].format(**words)

    def ask(self, key: str, glyph: int | None = None, **words: str) -> str:
        return self.form(QUESTIONS, key, **(self.about(glyph, key) if glyph is not None else {}), **words)

    def say(self, key: str, glyph: int | None = None, **words: str) -> str:
        return self.form(SENTENCES, key, **(self.about(glyph, key) if glyph is not None else {}), **words)

    def about(self, glyph: int, key: str) -> dict[str, str]:
        """What a template may want to know of a thing."""
        count = self.counts.get(glyph, 1)
        many = {
            "thing": self.thing(glyph),
            "things": self.counted(glyph, count),
            "measure": "",
            "is": "is" if count == 1 else "are",
        }
        if key == "how many":
            many |= {
                "thing": nouns.chinese_counted(glyph),
                "measure": nouns.measure_word(glyph),
                "things": nouns.english_forms(glyph)[1],
            }
        if key == "is there" and self.language == "en":
            many["thing"] = nouns.english(glyph, 1)
        return many

    def name(self, glyph: int) -> str:
        return glyphs()[glyph].name(self.language)

    def thing(self, glyph: int) -> str:
        """狗; dog, apples where there are several."""
        return self.name(glyph) if self.language == "zh" else nouns.english_forms(glyph)[self.counts.get(glyph, 1) > 1]

    def counted(self, glyph: int, count: int | None = None) -> str:
        count = count or self.counts[glyph]
        return nouns.chinese(glyph, count) if self.language == "zh" else nouns.english(glyph, count)

    def place(self, key: str) -> str:
        return CHINESE_PLACES[key] if self.language == "zh" else ENGLISH_PLACES[key]

    def background_name(self, behind: Background) -> str:
        if self.language == "zh":
            return behind.zh
        return behind.key if behind.family == "colour" else behind.en
