"""Datasets in rows of a picture and what is said of it: each is looked at once, then read when it is asked for."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.ids import Ids, key_of
from tuwen.data.lookup import ById, ByNumber
from tuwen.errors import InputError

if TYPE_CHECKING:
    from tuwen.types import Picture


@dataclass(frozen=True, slots=True)
class Row:
    """One row. image_id: "" where it has no picture; texts: without their pictures; about: columns of the picture."""

    place: str
    image_id: str
    texts: tuple[Text, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)


class Rows(Protocol):
    """The good rows of some files, by number from 0; may be pickled, and used after a fork."""

    def scan(self, failures: list[Failure]) -> Iterator[Row]:
        """Look at everything, once, before anything else: good rows are given, the others end in `failures`."""

    def __getitem__(self, number: int) -> Row: ...

    def picture(self, number: int) -> Picture:
        """The path or the bytes of a row's picture."""

    def stamp(self, number: int) -> bytes:
        """Equal for equal pictures of one id."""


def open_rows(name: str, path: Path, rows: Rows, split: str = "", kind: str = PAIRS) -> Dataset:
    """The dataset that rows make.

    Rows of the same image_id are about one picture; where they hold different ones, the later get the place of their
    row added to the id. Texts of the same id and words in several rows are one text with several pictures.
    """
    dataset = Dataset(name, path, kind, {}, [], split)
    looked = _Looked()
    for number, row in enumerate(rows.scan(dataset.failures)):
        looked.add(number, row)
    ids, picture_rows, place_of = _pictures(rows, looked, dataset.notes)
    dataset.pictures = RowPictures(rows, ids, picture_rows)
    if len(looked.with_about):
        known = np.isin(picture_rows, np.asarray(looked.with_about, dtype=np.int64))
        dataset.picture_columns = RowColumns(rows, ids, picture_rows, known)
    dataset.texts = _texts(rows, looked, ids, place_of, dataset.notes)
    return dataset


class _Looked:
    """What is kept of every row: 60 bytes for a picture and a text."""

    def __init__(self) -> None:
        self.ids = Ids()  # of the picture of every row that has one
        self.id_keys = array("Q")
        self.picture_rows = array("q")
        self.text_keys = array("Q")  # of id and words
        self.text_id_keys = array("Q")
        self.text_rows = array("q")
        self.text_positions = array("l")
        self.text_pictures = array("q")  # place in `ids`, -1 for none
        self.with_about = array("q")

    def add(self, number: int, row: Row) -> None:
        picture = -1
        if row.image_id:
            raw, picture = row.image_id.encode("utf-8", "surrogatepass"), len(self.ids)
            self.ids.add(raw)
            self.id_keys.append(key_of(raw))
            self.picture_rows.append(number)
            if row.about:
                self.with_about.append(number)
        for position, text in enumerate(row.texts):
            raw = text.id.encode("utf-8", "surrogatepass")
            self.text_id_keys.append(key_of(raw))
            self.text_keys.append(_hash(raw, text.text.encode("utf-8", "surrogatepass")))
            self.text_rows.append(number)
            self.text_positions.append(position)
            self.text_pictures.append(picture)


def _hash(*parts: bytes) -> int:
    content = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _groups(keys: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(place of the first of each different key, in order; number of the group of each key)."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return first[order], number[inverse]


# -- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(rows: Rows, looked: _Looked, notes: list[str]) -> tuple[Ids, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(ids, the row of each, the picture of every row that has one)."""
    of_row = np.asarray(looked.picture_rows, dtype=np.int64)
    keys = np.array(looked.id_keys, dtype=np.uint64)
    first, same_id = _groups(keys)
    if len(first) == len(keys):
        return looked.ids, of_row, np.arange(len(keys))
    repeated = np.bincount(same_id)[same_id] > 1
    for place in np.flatnonzero(repeated).tolist():
        keys[place] = _hash(b"%d" % same_id[place], rows.stamp(int(of_row[place])))
    pictures, place_of = _groups(keys)
    kept, renamed, wanted = Ids(), 0, iter(pictures.tolist())
    at = next(wanted, -1)
    for place, id in enumerate(looked.ids):
        if place != at:
            continue
        if first[same_id[place]] != place:
            where = rows[int(of_row[place])].place
            if not renamed:
                notes.append(f"{where} has another picture of the id {id}, and is called {id} ({where})")
            renamed += 1
            id = f"{id} ({where})"
        kept.add(id.encode("utf-8", "surrogatepass"))
        at = next(wanted, -1)
    if renamed > 1:
        notes[-1] += f"; so are {renamed - 1} others"
    return kept, of_row[pictures], place_of


class RowPictures(ById["Picture"]):
    """Pictures of rows by id."""

    def __init__(self, rows: Rows, ids: Ids, numbers: np.ndarray[Any, Any]) -> None:
        super().__init__(ids)
        self._rows = rows
        self._numbers = numbers

    def at(self, place: int) -> Picture:
        """The picture of the row that has it."""
        return self._rows.picture(int(self._numbers[place]))


class RowColumns(Mapping[str, dict[str, Any]]):
    """What rows say of their pictures, by id. known: (N,) bool, which pictures something is said of."""

    def __init__(self, rows: Rows, ids: Ids, numbers: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> None:
        self._rows = rows
        self._ids = ids
        self._numbers = numbers
        self._known = known

    def __getitem__(self, id: str) -> dict[str, Any]:
        place = self._ids.place(id)
        if place is None or not self._known[place]:
            raise KeyError(id)
        return self._rows[int(self._numbers[place])].about

    def __iter__(self) -> Iterator[str]:
        return (id for id, known in zip(self._ids, self._known.tolist(), strict=True) if known)

    def __len__(self) -> int:
        return int(self._known.sum())


# -- texts ------------------------------------------------------------------------------------------------------------


def _texts(rows: Rows, looked: _Looked, ids: Ids, place_of: np.ndarray[Any, Any], notes: list[str]) -> RowTexts:
    keys = np.array(looked.text_keys, dtype=np.uint64)
    first, number = _groups(keys)
    pictures = np.asarray(looked.text_pictures, dtype=np.int64)
    named = pictures >= 0
    order = np.argsort(number[named], kind="stable")
    ends = np.cumsum(np.bincount(number[named], minlength=len(first)))
    places = place_of[pictures[named][order]] if len(place_of) else np.zeros(0, dtype=np.int64)
    again = len(first) - len(np.unique(np.array(looked.text_id_keys, dtype=np.uint64)[first]))
    text_rows = np.asarray(looked.text_rows, dtype=np.int64)[first]
    positions = np.asarray(looked.text_positions, dtype=np.int64)[first]
    texts = RowTexts(rows, ids, text_rows, positions, ends, places)
    if again:
        notes.append(f"{again} text ids come again with other words")
    return texts


class RowTexts(ByNumber[Text]):
    """Texts of rows. rows, positions: (N,) where each stands first; ends, places: its pictures' places in `ids`."""

    def __init__(
        self,
        source: Rows,
        ids: Ids,
        rows: np.ndarray[Any, Any],
        positions: np.ndarray[Any, Any],
        ends: np.ndarray[Any, Any],
        places: np.ndarray[Any, Any],
    ) -> None:
        self._source = source
        self._ids = ids
        self._rows = rows
        self._positions = positions
        self._ends = ends
        self._places = places
        self._last: tuple[int, Row | None] = (-1, None)

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, number: int) -> Text:
        """A text of a row, with its pictures."""
        row, position = self._row(int(self._rows[number])), int(self._positions[number])
        if position >= len(row.texts):
            raise InputError(f"{row.place} has changed since it was opened: a text is no longer there")
        start = int(self._ends[number - 1]) if number else 0
        named = self._places[start : int(self._ends[number])].tolist()
        return replace(row.texts[position], image_ids=tuple(self._ids[one] for one in dict.fromkeys(named)))

    def _row(self, number: int) -> Row:
        last, row = self._last
        if last != number or row is None:
            row = self._source[number]
            self._last = (number, row)
        return row

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": (-1, None)}
