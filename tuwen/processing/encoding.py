"""What every tokenizer does around its rules: check the texts, encode them in one call, frame and cut the ids."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from tuwen.errors import InputError, UsageError

SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: legal in a Python string, not in UTF-8

Rows = list[list[int]]


def checked(texts: Sequence[str]) -> list[str]:
    """The texts as a list. UsageError for anything else than some strings in a sequence."""
    if isinstance(texts, str):
        raise UsageError(f"texts is the single string {texts[:40]!r}, expected a list of strings: put it in [ ]")
    texts = list(texts)
    if not texts:
        raise UsageError("texts is an empty list, expected at least one string")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"text {place + 1} of {len(texts)} is {type(text).__name__}, expected str")
    return texts


def mended(text: str) -> str:
    """The text with a private letter for half a character: any unknown letter encodes the same."""
    return text if text.isascii() else SURROGATE.sub("\ue000", text)


def encode(rules: Tokenizer, texts: list[str], spelled: bool = False) -> list[Encoding]:
    """Ids of checked texts, without those that frame a sequence; the tokens as strings too where they are to be
    `spelled`, which takes longer."""
    _calm_forks()
    encoder = rules.encode_batch if spelled else rules.encode_batch_fast
    try:
        return encoder(texts, add_special_tokens=False)
    except (UnicodeEncodeError, TypeError):  # half a character somewhere
        return encoder([mended(text) for text in texts], add_special_tokens=False)


def room(context_length: int | None, frame: int) -> int | None:
    """How many ids a text may have beside the `frame` ids around it. UsageError if these have no place themselves."""
    if context_length is None:
        return None
    if context_length < frame:
        raise UsageError(
            f"context_length is {context_length}, expected at least {frame}: "
            "the tokens that start, separate and end a sequence need a place each"
        )
    return context_length - frame


def longest_first(first: int, second: int, room: int | None) -> tuple[int, int]:
    """How many ids of each half of a pair are kept, as the `tokenizers` library cuts: of both too long, half of each,
    and the odd one for the longer, or for the second of equals."""
    if room is None or first + second <= room:
        return first, second
    shorter = min(first, second, room // 2)
    longer = room - shorter
    return (longer, shorter) if first > second else (shorter, longer)


def pairs(
    first: Rows, second: Rows, start: int, between: Sequence[int], end: int, kept: Sequence[tuple[int, int]]
) -> tuple[Rows, Rows]:
    """`start` A `between` B `end` of each pair, `kept` ids of A and of B; and the segments: 0 up to B, then 1."""
    ids, segments = [], []
    for left, right, (most, rest) in zip(first, second, kept, strict=True):
        ids.append([start, *left[:most], *between, *right[:rest], end])
        before = 1 + most + len(between)
        segments.append([0] * before + [1] * (len(ids[-1]) - before))
    return ids, segments


def check_pairs(first: Sequence[str], second: Sequence[str]) -> None:
    """UsageError unless there is a second text for each first."""
    if isinstance(first, str) or isinstance(second, str) or len(first) != len(second):
        raise UsageError(f"pairs need two lists of equal length, found {len(first)} and {len(second)} texts")


def check_ids(ids: Sequence[int], entries: int) -> None:
    """UsageError for an id that no entry of the vocabulary has."""
    for number in ids:
        if not 0 <= number < entries:
            raise UsageError(f"id {number} is outside the vocabulary of {entries} entries")


def tidy(text: str) -> str:
    """No space before punctuation and English endings: the clean-up that transformers did until its version 4."""
    for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced.strip())
    return text


def read_text(path: Path) -> str:
    """A UTF-8 file. InputError if it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text, byte {error.start} is {error.object[error.start]:#04x}") from error


def write(rules: Tokenizer, path: Path) -> None:
    """A `tokenizer.json` that the `tokenizers` library reads on its own, never half written."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(rules.to_str(pretty=True), encoding="utf-8")
    partial.replace(path)


@cache
def _calm_forks() -> None:
    """The library prints a warning in every forked process, because its threads do not survive a fork, unless the
    environment says whether to use threads. So say it during a fork only: the child then encodes in one thread."""
    name = "TOKENIZERS_PARALLELISM"
    if not hasattr(os, "register_at_fork"):
        return
    chosen_by_us = []

    def before() -> None:
        if name not in os.environ:
            os.environ[name] = "false"
            chosen_by_us.append(True)

    def after_in_parent() -> None:
        if chosen_by_us:
            chosen_by_us.clear()
            os.environ.pop(name, None)

    os.register_at_fork(before=before, after_in_parent=after_in_parent)
