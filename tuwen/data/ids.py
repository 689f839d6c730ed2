"""Millions of ids in order, each found by its name, in some 30 bytes per id."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

import numpy as np

NUMBERS_END = 10**18  # whole numbers from 0 up to here are keys of themselves


def key_of(raw: bytes) -> int:
    """Equal for equal ids only: the number that an id is, else 63 bits of its hash with the highest bit set."""
    if raw.isdigit() and len(raw) < 19 and (raw[0] != 48 or len(raw) == 1):
        return int(raw)
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little") | 1 << 63


class Ids:
    """Ids by place and places by id. Of an id that comes several times, the last place is the one that is found."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._letters = bytearray()
        self._ends = array("q")
        self._keys = array("Q")
        self._sorted: tuple[array[int], array[int]] | None = None
        for id in ids:
            self.add(id.encode())

    def add(self, raw: bytes) -> None:
        """One more, as UTF-8."""
        letters = self._letters
        letters += raw
        self._ends.append(len(letters))
        self._keys.append(key_of(raw))
        self._sorted = None

    def extend(self, raws: Sequence[bytes]) -> None:
        """Several more, as UTF-8; much faster than one by one where all are numbers."""
        joined = b"".join(raws)
        self._ends.extend(islice(accumulate(map(len, raws), initial=len(self._letters)), 1, None))
        self._letters += joined
        digits = joined.isdigit() and min(map(len, raws)) > 0 and max(map(len, raws)) < 19
        plain = digits and b"\n0" not in b"\n" + b"\n".join(raws)
        self._keys.extend(map(int if plain else key_of, raws))
        self._sorted = None

    @property
    def all_numbers(self) -> bool:
        """Whether each is a whole number from 0 on of at most 18 digits, written so that it comes back the same."""
        return bool((_numbers(self._keys) < NUMBERS_END).all())

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> str:
        return self._letters[self._ends[place - 1] if place else 0 : self._ends[place]].decode()

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self._ends:
            yield self._letters[start:end].decode()
            start = end

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self.place(id) is not None

    def place(self, id: str) -> int | None:
        """The place of an id, None if it is not there."""
        keys, order = self._index()
        key = key_of(id.encode())
        found = bisect_right(keys, key) - 1
        return order[found] if found >= 0 and keys[found] == key else None

    def has(self, keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """For many keys of `key_of`, (N,) uint64: whether each is there, (N,) bool."""
        mine = _numbers(self._index()[0])
        if not len(mine):
            return np.zeros(len(keys), dtype=bool)
        found = np.searchsorted(mine, keys)
        return np.asarray(mine[np.minimum(found, len(mine) - 1)] == keys)

    def repeated(self) -> list[tuple[int, int]]:
        """(place, next place of the same id), in the order of the first."""
        keys, order = map(_numbers, self._index())
        same = np.flatnonzero(keys[1:] == keys[:-1])
        pairs = zip(order[same].tolist(), order[same + 1].tolist(), strict=True)
        return sorted(pairs)

    def without(self, places: Iterable[int]) -> Ids:
        """The others, in the same order."""
        left_out = set(places)
        kept = Ids()
        for place, id in enumerate(self):
            if place not in left_out:
                kept.add(id.encode())
        return kept

    def _index(self) -> tuple[array[int], array[int]]:
        """Keys in order, and the place of each; equal keys by place."""
        if self._sorted is None:
            keys = _numbers(self._keys)
            order = np.argsort(keys, kind="stable")
            self._sorted = (array("Q", keys[order].tobytes()), array("q", order.tobytes()))
        return self._sorted


def _numbers(values: array[int]) -> np.ndarray[Any, Any]:
    """The same as numbers (N,), uint64 or int64, without a copy."""
    kind = np.uint64 if values.typecode == "Q" else np.int64
    return np.frombuffer(values, dtype=kind) if values else np.zeros(0, dtype=kind)
