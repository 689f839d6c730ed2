"""Texts and pairs to ids and back, from each file that a tokenizer is published in."""

from __future__ import annotations

from typing import Any

from tests.golden.case import Case, Expected
from tuwen.processing.tokenizer import Tokenizer, open_tokenizer

CUT, PAIR_CUT = 12, 20  # ids of the records named max12 and pair20


def check(case: Case, expected: Expected) -> None:
    files = case.path / "checkpoint"
    records = expected.value("records")
    for name in ("tokenizer.json", "vocab.json", "merges.txt", ""):
        tokenizer = open_tokenizer(files / name)
        expected.equal("vocab_size", tokenizer.vocabulary_size, f"of {name or 'the folder'}")
        for number, record in enumerate(records):
            expected.same(f"{number} of {name or 'the folder'}", described(tokenizer, record), record)
    expected.same("texts", [record["text"] for record in records], case.texts)


def described(tokenizer: Tokenizer, record: dict[str, Any]) -> dict[str, Any]:
    """What we make of a record's text and of its pair."""
    text, other = record["text"], record["pair_with"]
    (ids,), (cut,) = tokenizer.ids([text]), tokenizer.ids([text], CUT)
    (pair,), _ = tokenizer.pair_ids([text], [other], PAIR_CUT)
    frame = [tokenizer.vocabulary[tokenizer.start_id], tokenizer.vocabulary[tokenizer.end_id]]
    empty = CUT - len(cut)
    return {
        "text": text,
        "ids": ids,
        "tokens": [frame[0], *tokenizer.tokens(text), frame[1]],
        "max12": {
            "input_ids": cut + [tokenizer.pad_id] * empty,
            "attention_mask": [1] * len(cut) + [0] * empty,
            "special_tokens_mask": [1, *[0] * (len(cut) - 2), 1, *[1] * empty],
        },
        "pair_with": other,
        "pair20": pair,
        "decode": tokenizer.decode(ids),
        "decode_clean": tokenizer.decode(ids, skip_special=True, clean=True),
        "decode_raw": tokenizer.decode(ids, skip_special=True),
    }
