"""An LMDB opened for reading, by any number of readers of a process; and the pickled pairs of Chinese-CLIP's."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import lmdb

from tuwen.errors import InputError

FILE = "data.mdb"
BATCH = 512  # keys and values; so few that Python does not look through its whole memory for what can go
KEYS = 4096
BATCH_BYTES = 16 << 20
PAGE = 4096
# Pages that were read count as memory of the process until they are let go of.
READ_BYTES = 256 << 20

_OPEN: WeakValueDictionary[tuple[int, int], Store] = WeakValueDictionary()


class Store:
    """One environment. LMDB opens a file once per process only, so `store` hands out the one there is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = Lock()
        self._read = 0
        self._environment = self._open()

    def _open(self) -> Any:
        path = self.folder / FILE
        try:
            # Without a lock file: datasets may lie where nobody can write.
            environment = lmdb.open(str(self.folder), readonly=True, lock=False, create=False, readahead=False)
            needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        except lmdb.Error as error:
            raise InputError(f"{path} is no LMDB, or damaged: {error}") from None
        found = path.stat().st_size
        if found < needed:  # reading beyond its end would kill the process
            environment.close()
            raise InputError(f"{path} is cut off: it has {found:,} bytes of {needed:,}; copy or build it again")
        return environment

    def __len__(self) -> int:
        return int(self._environment.stat()["entries"])

    def get(self, key: bytes) -> bytes | None:
        """The value of a key."""
        with self._lock:
            try:
                with self._environment.begin() as reading:
                    value: bytes | None = reading.get(key)
            except lmdb.Error as error:
                raise self._damaged(error) from None
            self._read += len(value or b"")
            if self._read > READ_BYTES:
                self._let_go(0)
        return value

    def many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The value of each key."""
        with self._lock:
            try:
                with self._environment.begin() as reading:
                    found: dict[bytes, bytes] = dict(reading.cursor().getmulti(keys))
            except lmdb.Error as error:
                raise self._damaged(error) from None
            self._let_go(sum(map(len, found.values())))
        return list(map(found.get, keys))

    def all_keys(self) -> Iterator[list[bytes]]:
        """All keys in order, bytewise, some thousands at a time."""
        last = b""
        while True:
            with self._lock:
                try:
                    with self._environment.begin() as reading:
                        cursor = reading.cursor()
                        more = cursor.set_range(last) if last else cursor.first()
                        found: list[bytes] = list(islice(cursor.iternext(values=False), KEYS + 1)) if more else []
                except lmdb.Error as error:
                    raise self._damaged(error) from None
                self._let_go(PAGE * len(found))  # a page of each value is touched
            found = found[1:] if last and found[:1] == [last] else found
            if not found:
                return
            yield found
            last = found[-1]

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) in the order of the keys, bytewise, those behind `after`."""
        last = after
        while batch := self._batch(last):
            yield from batch
            last = batch[-1][0]

    def _batch(self, after: bytes | None) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        size = 0
        with self._lock:
            try:
                with self._environment.begin() as reading:
                    cursor = reading.cursor()
                    there = cursor.first() if after is None else cursor.set_range(after)
                    if there and after is not None and cursor.key() == after:
                        there = cursor.next()
                    while there and len(found) < BATCH and size < BATCH_BYTES:
                        found.append(cursor.item())
                        size += len(found[-1][1])
                        there = cursor.next()
            except lmdb.Error as error:
                raise self._damaged(error) from None
            self._let_go(size)
        return found

    def _damaged(self, error: Exception) -> InputError:
        return InputError(f"{self.folder / FILE} is damaged: {error}")

    def _let_go(self, read: int) -> None:
        self._read += read
        if self._read > READ_BYTES:
            self._environment.close()
            self._environment = self._open()
            self._read = 0


def store(folder: Path) -> Store:
    """The environment of a folder; InputError where it is none, or cut off."""
    try:
        status = (folder / FILE).stat()
    except OSError as error:
        raise InputError(f"{folder / FILE} cannot be read: {error.strerror or error}") from None
    key = (status.st_dev, status.st_ino)
    found = _OPEN.get(key)
    if found is None:
        found = _OPEN[key] = Store(folder)
    return found


class Handle:
    """A `Store` by its folder, for objects that travel between processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def store(self) -> Store:
        """The environment, opened at first use."""
        return store(self.folder)

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}


# -- pickled pairs ----------------------------------------------------------------------------------------------------

Pair = tuple[int | str, int | str, str]
_HEAD = b"\x80\x04\x95"  # protocol 4, and a frame
_TAIL = b"\x94\x87\x94."  # the last text remembered; a tuple of three, remembered; the end
_NUMBERS = {0x4B: Struct("<B"), 0x4D: Struct("<H"), 0x4A: Struct("<i")}  # behind BININT1, BININT2 and BININT
_SHORT, _LONG = 0x8C, 0x58  # before a text: SHORT_BINUNICODE and a byte, BINUNICODE and four


def read_pair(value: bytes) -> Pair:
    """(image_id, text_id, text) of a pickled tuple, without running anything in it; InputError where it is none."""
    if value[:3] == _HEAD and value[-4:] == _TAIL:
        try:
            # Two numbers and a text, and nothing else, at the places where Python writes them: no pickle is run.
            one = _NUMBERS[value[11]]
            second = 12 + one.size
            other = _NUMBERS[value[second]]
            start = second + 1 + other.size
            if value[start] == _SHORT:
                text = start + 2
                end = text + value[start + 1]
            else:
                text = start + 5
                end = text + int.from_bytes(value[start + 1 : text], "little") if value[start] == _LONG else -1
            if end == len(value) - 4:
                numbers = one.unpack_from(value, 12)[0], other.unpack_from(value, second + 1)[0]
                return *numbers, value[text:end].decode("utf-8", "surrogatepass")
        except (KeyError, IndexError, UnicodeDecodeError):
            pass  # another way to write the same, or damaged: the careful reader tells
    return _read_carefully(value)


def _read_carefully(value: bytes) -> Pair:
    from tuwen.checkpoint.pickles import PickleError, read_pickle

    try:
        reading = read_pickle(io.BytesIO(value), {})
    except PickleError as error:
        raise InputError(f"it is no pickled pair ({error})") from None
    if reading.foreign:
        raise InputError(f"its pickle wants {reading.foreign[0]}, which no pair needs: nothing of it was run")
    pair = reading.value
    if not (isinstance(pair, tuple) and len(pair) == 3 and isinstance(pair[2], str) and all(map(_is_id, pair[:2]))):
        raise InputError(f"it is {str(pair)[:60]}, expected (image_id, text_id, text)")
    return pair[0], pair[1], pair[2]


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)
