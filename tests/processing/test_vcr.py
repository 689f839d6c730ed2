"""How questions, choices and objects of VCR become ids and token types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from tuwen.errors import InputError
from tuwen.processing.vcr import (
    LENGTH,
    NAMES,
    Names,
    Piece,
    batch,
    cut_pairs,
    cut_triples,
    prepare,
    sequences,
    spell,
    types,
)


class Halves:
    """Cuts each word into its first two letters and the rest; ids in the order of first sight."""

    pad_id = 0
    unknown_id = 3

    def __init__(self, unknown: str = "") -> None:
        """unknown: a piece that it does not know."""
        self.numbers = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3}
        self.unknown = unknown

    @property
    def vocabulary(self) -> list[str]:
        return list(self.numbers)

    def tokens(self, text: str) -> list[str]:
        pieces = []
        for part in re.findall(r"\[SEP\]|[^\s\u2581\[]+", text):
            parts = [part] if part == "[SEP]" else ["\u2581" + part[:2], *([part[2:]] if part[2:] else [])]
            pieces += parts
        for piece in pieces:
            if piece != self.unknown:
                self.numbers.setdefault(piece, len(self.numbers))
        return pieces

    def ids(self, texts: Sequence[str], context_length: int) -> list[list[int]]:
        rows = [[self.numbers.get(piece, 3) for piece in self.tokens(text)] for text in texts]
        return [[1, *row[: context_length - 2], 2] for row in rows]


def halves(unknown: str = "") -> Any:
    """A tokenizer as far as VCR needs one."""
    return Halves(unknown)


def pieces(count: int, letter: str = "a") -> list[Piece]:
    return [Piece(letter, -1, 0)] * count


# -- names and words --------------------------------------------------------------------------------------------------


def test_people_get_names_in_order_and_things_keep_theirs() -> None:
    assert Names()(["person", "car", "person"]) == ["Casey", "car", "Riley"]


def test_names_go_on_from_call_to_call_and_begin_again_after_the_last() -> None:
    names = Names()
    names(["person"] * 14)
    assert names(["person", "person"]) == [NAMES[14], NAMES[0]]
    assert names.given == 1
    assert Names()(["person"]) == [NAMES[0]]


def test_an_object_is_tagged_with_its_number_wherever_it_is_named() -> None:
    found, words = spell(["Does", [0], "know", [1, 0], "?"], ["Casey", "cat"], halves())
    assert words == ["Does", " Casey", " know", " cat", " and", " Casey", " ?"]
    assert [(piece.text, piece.tag) for piece in found] == [
        *[("\u2581Do", -1), ("es", -1), ("\u2581Ca", 0), ("sey", 0), ("\u2581kn", -1), ("ow", -1)],
        *[("\u2581ca", 1), ("t", 1), ("\u2581an", -1), ("\u2581Ca", 0), ("sey", 0), ("\u2581?", -1)],
    ]
    assert [piece.word for piece in found] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6]


def test_words_with_private_use_characters_are_left_out() -> None:
    assert spell(["a", "\ue000", "x\uf8ffy", "b"], [], halves())[1] == ["a", " b"]


@pytest.mark.parametrize("number", [2, -1])
def test_an_object_without_a_name_is_refused(number: int) -> None:
    with pytest.raises(InputError, match=f"object {number} is meant, but there are 2 objects"):
        spell(["a", [number]], ["Casey", "cat"], halves())


# -- cutting ----------------------------------------------------------------------------------------------------------


def test_what_one_answer_cuts_from_the_question_is_gone_for_all() -> None:
    question, answers = pieces(60), [pieces(10), pieces(60), pieces(2)]
    cut_pairs(question, answers)
    assert [len(question), *map(len, answers)] == [39, 10, 38, 2]


def test_a_pair_that_fits_exactly_is_not_cut() -> None:
    question, answers = pieces(40), [pieces(37)]
    cut_pairs(question, answers)
    assert (len(question), len(answers[0])) == (40, 37)


def test_a_reason_is_cut_first_while_it_is_longest_then_the_question_then_the_answer() -> None:
    question, answer, reasons = pieces(30), pieces(40), [pieces(100), pieces(50)]
    cut_triples(question, answer, reasons)
    assert [len(question), len(answer), *map(len, reasons)] == [1, 37, 38, 38]


# -- sequences and types ----------------------------------------------------------------------------------------------


def test_a_reason_follows_the_question_and_the_answer() -> None:
    built = sequences(halves(), ["a", [0]], [["b"], ["c", "d"]], ["e"], ["f"])
    assert built.pieces == [
        ["\u2581a", "\u2581e", "[SEP]", "\u2581f", "[SEP]", "\u2581b"],
        ["\u2581a", "\u2581e", "[SEP]", "\u2581f", "[SEP]", "\u2581c", "\u2581d"],
    ]
    assert built.tags == [[-1, 0, -1, -1, -1, -1], [-1, 0, -1, -1, -1, -1, -1]]
    assert built.words == [["a", " e", "f", "b"], ["a", " e", "f", "c", " d"]]


def test_a_piece_that_the_vocabulary_lacks_is_spelled_as_unknown() -> None:
    built = sequences(halves(), ["Chinese"], [["ch"]], [])
    assert built.pieces == [["\u2581Ch", "inese", "[SEP]", "\u2581ch"]]
    built = sequences(halves(unknown="inese"), ["Chinese"], [["ch"]], [])
    assert built.pieces == [["\u2581Ch", "[UNK]", "[SEP]", "\u2581ch"]]


@pytest.mark.parametrize(
    ("tags", "objects"),
    [([-1, 2, 2, -1, 0], [0, 2]), ([9, 1, -1, 8], [8, 9, 1]), ([33, 1, 17, 9, 25], [33, 1, 9, 17, 25]), ([-1], [])],
)
def test_boxes_come_in_the_order_of_a_set_and_types_count_from_2(tags: list[int], objects: list[int]) -> None:
    found, image_types, text_types = types(tags)
    assert found == objects
    assert image_types == list(range(2, 2 + len(objects)))
    assert text_types == [objects.index(tag) + 2 if tag in objects else 0 for tag in tags]


def test_every_choice_has_ids_and_types_of_its_own() -> None:
    tokenizer = halves()
    first, second = prepare(tokenizer, ["Is", [1], "ok"], [["no"], [[0], "!"]], ["person", "cat"])
    assert first.ids == tokenizer.ids(["Is cat ok[SEP]no"], 80)[0]
    assert (first.objects, first.image_types) == ([1], [2])
    assert first.text_types == [0, 0, 2, 2, 0, 0, 0, 0]
    assert (second.objects, second.image_types) == ([0, 1], [2, 3])
    assert second.text_types == [0, 0, 3, 3, 0, 0, 2, 2, 0, 0]


def test_nothing_depends_on_earlier_items_unless_names_are_kept() -> None:
    tokenizer, names = halves(), Names()
    fresh = [prepare(tokenizer, ["a", [0]], [["b"]], ["person"]) for _ in range(2)]
    kept = [prepare(tokenizer, ["a", [0]], [["b"]], ["person"], names=names) for _ in range(2)]
    assert fresh[0] == fresh[1] == kept[0]
    assert kept[1] != kept[0]


def test_a_long_item_has_80_ids() -> None:
    (choice,) = prepare(halves(), ["ab"] * 100, [["cd"] * 100])
    assert len(choice.ids) == len(choice.text_types) == LENGTH


def test_an_item_without_choices_is_refused() -> None:
    with pytest.raises(InputError, match="no choices"):
        prepare(halves(), ["a"], [])


def test_a_batch_is_padded_and_boxes_follow_their_objects() -> None:
    choices = prepare(halves(), ["a"], [[[1]], ["b", "c", [0, 1]]], ["person", "cat"])
    texts, boxes = batch(choices, [[5], [6, 7]], 0)
    assert texts.ids.shape == (2, max(len(choice.ids) for choice in choices))
    assert texts.mask.sum(1).tolist() == [len(choice.ids) for choice in choices]
    assert not texts.ids[~texts.mask].any()
    assert boxes.patches == [[[6, 7]], [[5], [6, 7]]]
    assert boxes.image_types == [[2], [2, 3]]
    assert batch(choices, [[5], [6, 7]], 0, LENGTH)[0].ids.shape == (2, LENGTH)
