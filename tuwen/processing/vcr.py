"""Questions, choices and boxes of visual commonsense reasoning (VCR) as VLE takes them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from unicodedata import category

import torch

from tuwen.errors import InputError
from tuwen.processing.tokenizer import Tokenizer
from tuwen.types import Boxes, Texts

if TYPE_CHECKING:
    # A question or a choice: words, and in the place of a word the numbers of the objects that are meant.
    Words = Sequence[str | Sequence[int]]

NAMES = tuple("Casey Riley Jessie Jackie Avery Jaime Peyton Kerry Jody Kendall Payton Skyler Frankie Pat Quinn".split())
LENGTH = 80  # ids of a sequence, [CLS] and [SEP] included: what the published models were trained with
NO_OBJECT = -1  # tag of a piece that names none
FIRST_TYPE = 2  # token types 0 and 1 are those of plain text and of patches
SEPARATOR = "[SEP]"


@dataclass
class Names:
    """Gives people names that say nothing of their gender, in a fixed order, and starts again after the last.

    `given` is the place of the next name. The original keeps one counter for as long as its pipeline lives, so that
    what a person is called depends on the items before; a new `Names` for each item does not.
    """

    given: int = 0

    def __call__(self, objects: Sequence[str]) -> list[str]:
        """A name for each "person"; other objects are called what they are."""
        names = []
        for name in objects:
            if name == "person":
                name = NAMES[self.given]
                self.given = (self.given + 1) % len(NAMES)
            names.append(name)
        return names


class Piece(NamedTuple):
    """A piece of a word: its text, the object it names or -1, and the place of its word among the words."""

    text: str
    tag: int
    word: int


def spell(words: Words, names: Sequence[str], tokenizer: Tokenizer) -> tuple[list[Piece], list[str]]:
    """Words -> their pieces, and the words themselves with the names of objects put in.

    Every word but the first is tokenized with the space before it. Several objects in one place are joined by the first
    piece of " and". Words with a private-use character are left out: some published annotations hold such remains.
    InputError for an object that has no name.
    """
    pieces: list[Piece] = []
    said: list[str] = []

    def say(word: str, tag: int, limit: int | None = None) -> None:
        pieces.extend(Piece(text, tag, len(said)) for text in tokenizer.tokens(word)[:limit])
        said.append(word)

    for place, word in enumerate(words):
        space = " " if place else ""
        if isinstance(word, str):
            if not any(category(letter) == "Co" for letter in word):
                say(space + word, NO_OBJECT)
            continue
        for number, thing in enumerate(word):
            if not 0 <= thing < len(names):
                raise InputError(f"object {thing} is meant, but there are {len(names)} objects: they count from 0")
            if number:
                say(" and", NO_OBJECT, 1)
            say((" " if number else space) + names[thing], thing)
    return pieces, said


# -- one sequence for each choice -------------------------------------------------------------------------------------


def cut_pairs(question: list[Piece], answers: Sequence[list[Piece]]) -> None:
    """Shorten all in place until question, answer and three special tokens fit into LENGTH, for every answer.

    The longer of the two loses its end. All answers share the question: what one of them takes from it is gone for the
    others, too, as in the original.
    """
    for answer in answers:
        while len(question) + len(answer) > LENGTH - 3:
            longer = question if len(question) > len(answer) else answer
            longer.pop()


def cut_triples(question: list[Piece], answer: list[Piece], rationales: Sequence[list[Piece]]) -> None:
    """The same with four special tokens: question and answer are shared, the answer is cut last."""
    for rationale in rationales:
        while len(question) + len(answer) + len(rationale) > LENGTH - 4:
            if len(rationale) > len(question) + len(answer):
                rationale.pop()
            elif len(question) > 1:
                question.pop()
            else:
                answer.pop()


@dataclass(frozen=True)
class Sequences:
    """A sequence for each choice, without its outer special tokens: the pieces as the vocabulary has them, their tags,
    and the words that it was before it was cut."""

    pieces: list[list[str]]
    tags: list[list[int]]
    words: list[list[str]]


def sequences(
    tokenizer: Tokenizer, question: Words, choices: Sequence[Words], names: Sequence[str], answer: Words | None = None
) -> Sequences:
    """[CLS] and [SEP] apart: question [SEP] choice for each choice, or question [SEP] answer [SEP] choice."""
    shared = [spell(words, names, tokenizer) for words in (question, answer) if words is not None]
    ends = [spell(words, names, tokenizer) for words in choices]
    heads = [pieces for pieces, _ in shared]
    if answer is None:
        cut_pairs(heads[0], [pieces for pieces, _ in ends])
    else:
        cut_triples(heads[0], heads[1], [pieces for pieces, _ in ends])
    between = Piece(SEPARATOR, NO_OBJECT, -1)
    whole = [[*chain.from_iterable([*part, between] for part in heads), *pieces] for pieces, _ in ends]
    said = [word for _, words in shared for word in words]
    unknown = tokenizer.vocabulary[tokenizer.unknown_id]
    known = _entries(cast(Hashable, tokenizer))
    return Sequences(
        [[piece.text if piece.text in known else unknown for piece in pieces] for pieces in whole],
        [[piece.tag for piece in pieces] for pieces in whole],
        [[*said, *words] for _, words in ends],
    )


@lru_cache(maxsize=1)
def _entries(tokenizer: Any) -> frozenset[str]:
    return frozenset(tokenizer.vocabulary)


@dataclass(frozen=True)
class Choice:
    """One choice as ids with [CLS] and [SEP], at most LENGTH, and what they mean.

    objects: numbers of the objects in it, in the order in which their boxes are appended to the picture; image_types
    and text_types: token types of these boxes and of the text, where one number stands for one object.
    text_types may be of another length than ids: the pieces are joined and tokenized a second time, which can give
    other pieces, while types are those of the first time. So the published models were trained.
    """

    ids: list[int]
    objects: list[int]
    image_types: list[int]
    text_types: list[int]


def prepare(
    tokenizer: Tokenizer,
    question: Words,
    choices: Sequence[Words],
    objects: Sequence[str] = (),
    answer: Words | None = None,
    names: Names | None = None,
) -> list[Choice]:
    """A Choice for each choice; with an `answer`, choices are reasons for it. InputError if there are no choices.

    objects: class of each object. names: as in `Names`, a fresh one if None, so that nothing depends on earlier calls.
    """
    if not choices:
        raise InputError("there are no choices: expected at least one")
    built = sequences(tokenizer, question, choices, (names or Names())(objects), answer)
    rows = tokenizer.ids(["".join(pieces) for pieces in built.pieces], LENGTH)
    return [Choice(ids, *types([NO_OBJECT, *tags, NO_OBJECT])) for ids, tags in zip(rows, built.tags, strict=True)]


def types(tags: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Tags of pieces -> the objects in the order of their boxes, token types of the boxes, token types of the pieces.

    The order is that in which CPython walks through a set of these numbers: the published models were trained so. It is
    ascending as long as all of them are smaller than the set's table.
    """
    found = set()
    for tag in tags:
        if tag != NO_OBJECT:
            found.add(tag)
    objects = list(found)
    of = {number: kind for kind, number in enumerate(objects, FIRST_TYPE)}
    return objects, list(of.values()), [of.get(tag, 0) for tag in tags]


def batch(
    choices: Sequence[Choice], patches: Sequence[Sequence[int]], pad_id: int, length: int = 0
) -> tuple[Texts, Boxes]:
    """Choices of one item as B rows, padded to the longest of them or to `length`; patches: those of each object.

    Texts (B, T). Types beyond T are left out: they could belong to padding only, which nothing attends to.
    """
    width = max(length, *(len(choice.ids) for choice in choices))
    ids = torch.full((len(choices), width), pad_id, dtype=torch.long)
    for row, choice in enumerate(choices):
        ids[row, : len(choice.ids)] = torch.tensor(choice.ids)
    lengths = torch.tensor([len(choice.ids) for choice in choices])
    boxes = Boxes(
        [[list(patches[number]) for number in choice.objects] for choice in choices],
        [choice.image_types for choice in choices],
        [choice.text_types[:width] for choice in choices],
    )
    return Texts(ids, torch.arange(width) < lengths[:, None]), boxes
