"""Model files of sentencepiece: read as written, refused where broken, texts normalised as recorded from it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.processing import pieces
from tuwen.errors import InputError
from tuwen.processing.sentencepiece import Replacements, parse, read

TABLE = pieces.table(pieces.CHARACTERS)


def test_a_model_file_is_read_as_written(tmp_path: Path) -> None:
    found = read(pieces.write(tmp_path))
    assert found.pieces == ("[PAD]", "[CLS]", "[SEP]", "[UNK]", *pieces.WORDS)
    assert found.scores[4:] == pytest.approx([*pieces.WORDS.values()], rel=1e-6)
    assert found.kinds == (3, 3, 3, 2, *[1] * len(pieces.WORDS)) and found.unknown_id == 3
    assert found.replacements.charsmap == TABLE and (found.prefix, found.trim) == (True, True)
    loose = parse(pieces.model(normaliser={3: 0, 4: 0}))
    assert (loose.prefix, loose.trim) == (False, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the dogs", "▁the▁dogs"),
        ("  the   dog  ", "▁the▁dog"),
        ("", ""),
        (" \t\u3000\u200b", ""),
        ("ﬁe\u0301\tthe", "▁fié▁the"),
        ("e\u0302", "▁e\u0302"),
        ("Ａ▁dog▁", "▁A▁dog"),
        ("中\x00é", "▁中\x00é"),
    ],
    ids=ascii,
)
def test_characters_are_replaced_and_spaces_put_in_order(text: str, expected: str) -> None:
    assert parse(pieces.model(charsmap=TABLE)).normalise(text) == expected


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        ({}, "  ﬁ\t▁dog▁ ", "▁ﬁ\t▁dog"),  # no table: only spaces are spaces, but a ▁ looks like one at the end
        ({4: 0}, " a  b ", "▁▁a▁▁b▁"),
        ({3: 0}, " a  b ", "a▁b"),
        ({3: 0, 4: 0}, " a  b ", "▁a▁▁b▁"),
        ({4: 0}, "", ""),
    ],
    ids=str,
)
def test_a_model_says_whether_spaces_are_added_and_trimmed(settings: dict[int, int], text: str, expected: str) -> None:
    assert parse(pieces.model(normaliser=settings)).normalise(text) == expected


def test_of_several_replacements_the_longest_counts() -> None:
    replace = Replacements(pieces.table({"a": "1", "ab": "2", "abcd": "3", "é": "4", "éa": "5"}))
    assert replace("abcd abc ab a b é éa éab") == "3 2c 2 1 b 4 5 5b"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 of its 0 pieces are the unknown piece"),
        (b"not a model at all", "not a sentencepiece model"),
        (pieces.model()[:-3], "ends inside the field"),
        (pieces.model(trainer={3: 2}), "unigram"),
        (pieces.model(trainer={24: 1}), "▁ before each word"),
        (pieces.model(trainer={35: 1}), "pieces for bytes"),
        (pieces.model(normaliser={5: 0}), "▁ before each word"),
        (pieces.model(special=[*pieces.SPECIAL, ("<x>", 0.0, 4)]), "defined by its user"),
        (pieces.model(special=[*pieces.SPECIAL, ("[U]", 0.0, 2)]), "2 of its .* pieces are the unknown piece"),
        (pieces.model(charsmap=TABLE[:-1]), "table of characters, .* is broken"),
        (pieces.model(charsmap=TABLE[:2000]), "table of characters, 2000 bytes, is broken"),
    ],
    ids=range(11),
)
def test_what_is_no_model_or_cannot_be_followed_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"spm\.model.*{message}"):
        read(pieces.write(tmp_path, content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"spm\.model cannot be read: No such file"):
        read(tmp_path / "spm.model")


def test_a_damaged_table_is_refused_or_works() -> None:
    draw = Random(3)
    whole = pieces.table({key: value for key, value in pieces.CHARACTERS.items() if key != "▁"})
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.randrange(4, len(damaged))] = draw.randrange(256)
        try:
            Replacements(bytes(damaged))("the ﬁe\u0301\t\u3000Ａ\u200b")
            outcomes.add("works")
        except ValueError as error:
            outcomes.add("refused" if "broken" in str(error) or "utf-8" in str(error) else str(error))
    assert outcomes <= {"works", "refused"}
