"""Look through a dataset: what is broken, comes twice, is too long, or is in another split as well."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from tuwen.data.dataset import CLASSES, PAIRS, Dataset, Text
from tuwen.data.options import content_of, ignored
from tuwen.data.tags import is_tagged
from tuwen.errors import TuwenError

EXAMPLES = 5
AT_ONCE = 1024  # texts that are counted together


@dataclass(frozen=True)
class Finding:
    """One thing about a dataset. name: for programs; problem: whether rows cannot be used, or figures would be wrong.

    what: a sentence about all of them; examples: the first few, each with its place.
    """

    name: str
    count: int
    what: str
    problem: bool = False
    examples: list[str] = field(default_factory=list)


@dataclass
class Inspected:
    """counts: pictures, texts, pairs and so on; lengths: of the texts, in characters and, with a tokenizer, in tokens;
    pictures, texts: their hashes, (N,) uint64, for `leaks`."""

    dataset: Dataset
    counts: dict[str, int]
    findings: list[Finding]
    lengths: dict[str, dict[str, float]]
    pictures: np.ndarray[Any, Any]
    texts: np.ndarray[Any, Any]

    @property
    def problems(self) -> list[Finding]:
        """The findings that are problems."""
        return [finding for finding in self.findings if finding.problem]


@dataclass(frozen=True)
class Looking:
    """How closely to look.

    check: told the bytes of each picture's file, raises where they are none, None leaves pictures unread; tokens: texts
    -> how many each has; limit: the most that fit; advance: told how many more texts and pictures are done.
    """

    check: Callable[[bytes], object] | None = None
    tokens: Callable[[Sequence[str]], list[int]] | None = None
    limit: int = 0
    advance: Callable[[int], None] = ignored


def inspect(dataset: Dataset, looking: Looking) -> Inspected:
    """Everything that one split says of itself; memory does not grow with its pictures."""
    findings: list[Finding] = []
    if dataset.failures:
        shown = [f"{failure.id}: {failure.reason}" for failure in dataset.failures[:EXAMPLES]]
        findings.append(Finding("broken_rows", len(dataset.failures), "rows cannot be used", True, shown))
    texts, counts, lengths = _look_at_texts(dataset, looking, findings)
    pictures, size = _look_at_pictures(dataset, looking, findings)
    if looking.check is not None:
        counts["picture_bytes"] = size
    return Inspected(dataset, counts, findings, lengths, pictures, texts)


# -- texts ------------------------------------------------------------------------------------------------------------


def hash_of(content: bytes) -> int:
    """64 bits that are equal for equal contents only, for all that a dataset can hold."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


class _Seen:
    """Counts rows of a sort, and keeps the first few."""

    def __init__(self, name: str, what: str, problem: bool = False) -> None:
        self.finding = Finding(name, 0, what, problem)
        self.count = 0

    def add(self, example: str) -> None:
        self.count += 1
        if self.count <= EXAMPLES:
            self.finding.examples.append(example)

    def result(self) -> list[Finding]:
        made = self.finding
        return [Finding(made.name, self.count, made.what, made.problem, made.examples)] if self.count else []


def _look_at_texts(
    dataset: Dataset, looking: Looking, findings: list[Finding]
) -> tuple[np.ndarray[Any, Any], dict[str, int], dict[str, dict[str, float]]]:
    empty = _Seen("empty_texts", "texts are empty", True)
    bare = _Seen("no_pictures", "texts name no picture")
    absent = _Seen("missing_pictures", "pictures that a text names are not there", True)
    tagged = _Seen("tagged_texts", "texts carry parts of speech: this is the segmented file, take the plain one", True)
    damaged = _Seen("damaged_texts", "texts hold the mark of letters that were lost (U+FFFD)", True)
    long = _Seen("long_texts", f"texts are longer than {looking.limit} tokens and will be cut")
    hashes, ids, characters, tokens = array("Q"), array("Q"), array("q"), array("q")
    pairs = 0
    for batch in _batches(dataset.texts):
        for text in batch:
            hashes.append(hash_of(text.text.encode("utf-8", "surrogatepass")))
            ids.append(hash_of(text.id.encode("utf-8", "surrogatepass")))
            characters.append(len(text.text))
            pairs += len(text.image_ids)
            place = text.place or text.id
            if not text.text.strip():
                empty.add(place)
            if not text.image_ids:
                bare.add(f"{place}: {_short(text.text)}")
            for id in text.image_ids:
                if id not in dataset.pictures:
                    absent.add(f"{place}: {id}")
            if is_tagged(text.text):
                tagged.add(f"{place}: {_short(text.text)}")
            if "\ufffd" in text.text:
                damaged.add(f"{place}: {_short(text.text)}")
        if looking.tokens is not None:
            for text, count in zip(batch, looking.tokens([text.text for text in batch]), strict=True):
                tokens.append(count)
                if looking.limit and count > looking.limit:
                    long.add(f"{text.place or text.id}: {count}")
        looking.advance(len(batch))
    for seen in (empty, bare, absent, tagged, damaged, long):
        findings += seen.result()
    content = _numbers(hashes)
    if dataset.kind in (PAIRS, CLASSES):
        findings += _repeated("duplicate_texts", "texts come again word for word", content, dataset)
    findings += _repeated("duplicate_text_ids", "text ids come again", _numbers(ids), dataset)
    counts = {"pictures": len(dataset.pictures), "texts": len(dataset.texts), "pairs": pairs}
    lengths = {"characters": _spread(characters)} | ({"tokens": _spread(tokens)} if tokens else {})
    return content, counts, lengths


def _batches(texts: Sequence[Text]) -> Iterator[list[Text]]:
    rest = iter(texts)
    while batch := list(islice(rest, AT_ONCE)):
        yield batch


def _numbers(values: array[int]) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.uint64)


def _spread(values: array[int]) -> dict[str, float]:
    numbers = np.array(values, dtype=np.int64)
    if not len(numbers):
        return {}
    return {
        "median": float(np.median(numbers)),
        "p95": float(np.percentile(numbers, 95)),
        "longest": int(numbers.max()),
    }


def _repeated(name: str, what: str, hashes: np.ndarray[Any, Any], dataset: Dataset) -> list[Finding]:
    """Those that are equal to one before them."""
    groups = _again(hashes)
    if not groups:
        return []
    shown = []
    for first, again in groups[:EXAMPLES]:
        one, other = dataset.texts[first], dataset.texts[again]
        what_it_is = one.id if name == "duplicate_text_ids" else _short(one.text)
        shown.append(f"{other.place or other.id} and {one.place or one.id}: {what_it_is}")
    return [Finding(name, len(groups), what, False, shown)]


def _again(hashes: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """(place of the first of its kind, place) of every hash that came before, by place."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    starts = np.maximum.accumulate(np.where(new, np.arange(len(ordered)), 0)) if len(ordered) else order
    again = np.flatnonzero(~new)
    pairs = zip(order[starts[again]].tolist(), order[again].tolist(), strict=True)
    return sorted(pairs, key=lambda pair: pair[1])


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


# -- pictures ---------------------------------------------------------------------------------------------------------


def _look_at_pictures(dataset: Dataset, looking: Looking, findings: list[Finding]) -> tuple[np.ndarray[Any, Any], int]:
    """(hash of each picture that could be read, their bytes in all)."""
    if looking.check is None:
        return np.zeros(0, dtype=np.uint64), 0
    broken = _Seen("broken_pictures", "pictures cannot be read", True)
    hashes, places, size = array("Q"), array("q"), 0
    for place, id in enumerate(dataset.pictures):
        try:
            content = content_of(dataset.pictures[id])
            looking.check(content)
            hashes.append(hash_of(content))
            places.append(place)
            size += len(content)
        except TuwenError as error:
            reason = str(error).replace("picture (bytes)", "it", 1)
            broken.add(f"{id}: {reason}")
        looking.advance(1)
    findings += broken.result()
    content_hashes = _numbers(hashes)
    again = _again(content_hashes)
    if again:
        named = _names(dataset, {places[number] for pair in again[:EXAMPLES] for number in pair})
        shown = [f"{named[places[other]]} and {named[places[first]]}" for first, other in again[:EXAMPLES]]
        findings.append(Finding("duplicate_pictures", len(again), "pictures come again byte for byte", False, shown))
    return content_hashes, size


def _names(dataset: Dataset, places: set[int]) -> dict[int, str]:
    return {place: id for place, id in enumerate(dataset.pictures) if place in places}


# -- two splits -------------------------------------------------------------------------------------------------------


def leaks(one: Inspected, other: Inspected, name: str) -> list[Finding]:
    """Pictures and texts of one split that are in another, too. name: what the findings call the other."""
    found = []
    shared = np.flatnonzero(np.isin(one.texts, other.texts))
    if len(shared) and one.dataset.kind == PAIRS:
        texts = [one.dataset.texts[place] for place in shared[:EXAMPLES].tolist()]
        shown = [f"{text.place or text.id}: {_short(text.text)}" for text in texts]
        found.append(Finding("leaked_texts", len(shared), f"texts are in {name}, too", False, shown))
    both = set(other.pictures.tolist()) & set(one.pictures.tolist()) if len(other.pictures) else set()
    if both:
        places = np.flatnonzero(np.isin(one.pictures, np.array(sorted(both), dtype=np.uint64)))
        shown = _hashed(one.dataset, both)
        found.append(Finding("leaked_pictures", len(places), f"pictures are in {name}, too", True, shown))
    return found


def _hashed(dataset: Dataset, wanted: set[int]) -> list[str]:
    """The ids of the first few pictures with one of these hashes."""
    found: list[str] = []
    for id in dataset.pictures:
        try:
            content = content_of(dataset.pictures[id])
        except TuwenError:
            continue
        if hash_of(content) in wanted:
            found.append(id)
            if len(found) == EXAMPLES:
                break
    return found
