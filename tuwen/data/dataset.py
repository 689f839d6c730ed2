"""A dataset as every reader gives it: pictures by id, texts that name them, read when they are asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from tuwen.data.folder import Failure
from tuwen.data.lookup import ByNumber
from tuwen.errors import InputError
from tuwen.types import Sample

if TYPE_CHECKING:
    from tuwen.types import Picture

# What the texts of a dataset are.
PAIRS = "pairs"  # captions: a text describes each of its pictures
CLASSES = "classes"  # names of classes: a text names the class of each of its pictures
QUESTIONS = "questions"  # columns answers: list of texts, by people; answer: the most frequent one
CHOICES = "choices"  # columns answers, reasons: lists of words; label, reason_label: the right ones; objects, boxes
STATEMENTS = "statements"  # about two pictures; column label: whether it is true
ENTAILMENT = "entailment"  # column label: "entailment", "neutral" or "contradiction"; premise: a text
KINDS = (PAIRS, CLASSES, QUESTIONS, CHOICES, STATEMENTS, ENTAILMENT)


@dataclass(frozen=True, slots=True)
class Text:
    """One text and the ids of its pictures, none where the split does not tell.

    place: file and line ("valid_texts.jsonl:3"); columns: whatever else its row says, by the names above.
    """

    id: str
    text: str
    image_ids: tuple[str, ...] = ()
    place: str = ""
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass
class Dataset:
    """One split of a dataset. Ids are texts, also where the file has whole numbers; pictures and texts count apart.

    pictures: id -> a path or the bytes of a picture's file, in the order of the file, read when asked for;
    texts: in the order of the file, parsed when asked for; failures: rows that cannot be used, known after opening;
    picture_columns: id -> what else the file says of a picture, e.g. "boxes", where it does.
    """

    format: str
    path: Path
    kind: str
    pictures: Mapping[str, Picture]
    texts: Sequence[Text]
    split: str = ""
    failures: list[Failure] = field(default_factory=list)
    picture_columns: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def samples(self) -> Samples:
        """Every pair of a text and a picture, in the order of the texts, with random access."""
        return Samples(self)


@runtime_checkable
class Paired(Protocol):
    """Texts without columns that lie pair by pair, so that no text needs to be put together for one of its pairs."""

    def pair_count(self) -> int:
        """How many pairs of a text and a picture there are."""

    def pair(self, number: int) -> tuple[str, str, str]:
        """(image id, text id, text) of one of them."""

    def pairs(self) -> Iterator[tuple[str, str, str]]:
        """All of them, in the order of the texts."""


class Samples(ByNumber[Sample]):
    """Pairs of a dataset by number. Texts without a picture and pictures without a text are in no pair."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._paired = dataset.texts if isinstance(dataset.texts, Paired) else None
        counts = () if self._paired is not None else (len(text.image_ids) for text in dataset.texts)
        self._ends = array("q", accumulate(counts))
        if self._paired is not None:
            self._count = self._paired.pair_count()
        else:
            self._count = self._ends[-1] if self._ends else 0

    def __len__(self) -> int:
        return self._count

    def at(self, number: int) -> Sample:
        """One pair, its picture opened."""
        if self._paired is not None:
            image_id, text_id, words = self._paired.pair(number)
            return Sample(self.dataset.pictures[image_id], words, image_id, text_id, {})
        row = bisect_right(self._ends, number)
        text = self.dataset.texts[row]
        return self._sample(text, number - self._ends[row] + len(text.image_ids))

    def __iter__(self) -> Iterator[Sample]:
        if self._paired is not None:
            pictures = self.dataset.pictures
            for image_id, text_id, words in self._paired.pairs():
                yield Sample(pictures[image_id], words, image_id, text_id, {})
            return
        for text in self.dataset.texts:
            for position in range(len(text.image_ids)):
                yield self._sample(text, position)

    def _sample(self, text: Text, position: int) -> Sample:
        image_id = text.image_ids[position]
        return Sample(self.dataset.pictures[image_id], text.text, image_id, text.id, text.columns)


class Lines(ByNumber[Text]):
    """Texts that are lines of a file: only their offsets are kept.

    parse: (line number from 1, the line's bytes) -> Text; it has accepted each of these lines before.
    """

    def __init__(
        self,
        path: Path,
        offsets: Sequence[int] | np.ndarray[Any, Any],
        numbers: Sequence[int] | np.ndarray[Any, Any],
        parse: Callable[[int, bytes], Text],
    ) -> None:
        self.path = path
        self._offsets = np.asarray(offsets, dtype=np.int64)
        self._numbers = np.asarray(numbers, dtype=np.int64)
        self._parse = parse

    def __len__(self) -> int:
        return len(self._offsets)

    def at(self, number: int) -> Text:
        """The text of a line, read again."""
        with self.path.open("rb") as file:
            file.seek(int(self._offsets[number]))
            return self._text(int(self._numbers[number]), file.readline())

    def __iter__(self) -> Iterator[Text]:
        at = -1
        with self.path.open("rb") as file:
            for offset, number in zip(self._offsets.tolist(), self._numbers.tolist(), strict=True):
                if offset != at:
                    file.seek(offset)
                line = file.readline()
                at = offset + len(line)
                yield self._text(number, line)

    def _text(self, number: int, line: bytes) -> Text:
        try:
            return self._parse(number, line)
        except InputError as error:
            raise InputError(f"{self.path}, line {number} has changed since it was opened: {error}") from None
