"""Pictures of Chinese-CLIP's tsv: an id, a tab and base64 per line, found by id without reading the others."""

from __future__ import annotations

import base64
import binascii
from array import array
from collections.abc import Iterator, Mapping
from itertools import accumulate, islice
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.data.folder import Failure
from tuwen.data.ids import Ids
from tuwen.errors import InputError

# Bytes that are read at once: a line with a picture is far longer than Python's own buffer. Once glibc has let go of a
# block it keeps memory of that size instead of asking for it page by page, which halves the time of a conversion.
BUFFER = 16 << 20
BLOCK = 1 << 20
TAB = b"\t"
MARK = b"\xef\xbb\xbf"  # what some editors put before UTF-8
# Both alphabets of base64: the original reads with the URL-safe decoder, which takes the standard one, too.
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
USUAL = {b"\t\n": b"\n", b"\t=\n": b"=\n", b"\t==\n": b"==\n"}
SPACE = 32  # no byte up to it is text
NEAR = 1 << 16  # bytes that are read rather than leapt over


class TablePictures(Mapping[str, bytes]):
    """Pictures of a tsv by id: where each begins is known, the rest is read when it is asked for.

    plain: every line of the file is one of them, with nothing to strip.
    """

    def __init__(self, path: Path, ids: Ids, offsets: np.ndarray[Any, Any], plain: bool = False) -> None:
        self.path = path
        self.ids = ids
        self._offsets = offsets
        self._plain = plain

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self.ids

    def __getitem__(self, id: str) -> bytes:
        return decoded(self.encoded(id), f"{self.path.name}, picture {id}")

    def encoded(self, id: str) -> bytes:
        """The base64 as it stands in the file."""
        place = self.ids.place(id)
        if place is None:
            raise KeyError(id)
        try:
            with self.path.open("rb") as file:
                file.seek(int(self._offsets[place]))
                return file.readline().strip()
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def all_encoded(self, start: int = 0) -> Iterator[tuple[str, bytes]]:
        """(id, base64) of every picture from place `start`, in the order of the file, in one go."""
        if self._plain:
            yield from self._every_line(start)
            return
        at = -NEAR - 1
        try:
            with self.path.open("rb", buffering=BUFFER) as file:
                for id, offset in zip(islice(self.ids, start, None), self._offsets[start:].tolist(), strict=True):
                    before = offset - at  # of an id and a tab, where the next line is the picture's
                    line = file.readline() if 0 <= before <= NEAR else b""
                    if len(line) <= before:
                        before = 0
                        file.seek(offset)
                        line = file.readline()
                    at = offset - before + len(line)
                    plain = line[-1:] == b"\n" and line[-2] > SPACE
                    yield id, line[before:-1] if plain else line[before:].strip()
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _every_line(self, start: int) -> Iterator[tuple[str, bytes]]:
        for first, _, block in blocks(self.path, BLOCK):
            for line in block[max(start + 1 - first, 0) :]:
                tab = line.find(TAB)
                yield line[:tab].decode(), line[tab + 1 : -1]


def decoded(encoded: bytes, name: str) -> bytes:
    """The bytes of a picture's file; InputError says what is there instead. name: what the error calls it."""
    try:
        content = binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError):
        content = _decoded_carefully(encoded, name)
    if not content:
        raise InputError(f"{name}: {wrong_base64(encoded) or 'its base64 holds nothing'}")
    return content


def _decoded_carefully(encoded: bytes, name: str) -> bytes:
    wrong = wrong_base64(encoded)
    if wrong:
        raise InputError(f"{name}: {wrong}")
    try:
        return base64.urlsafe_b64decode(encoded)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{name}: its base64 is damaged ({error})") from None


def wrong_base64(encoded: bytes) -> str:
    """What is wrong with a base64 text, "" for nothing; much faster than decoding it."""
    if not encoded:
        return "there is no picture: expected base64 after the tab"
    body = encoded.rstrip(b"=")
    strange = body.translate(None, LETTERS)
    if strange:
        return f"its base64 has {strange[:1].decode('latin-1')!r}, which is no letter of base64"
    if len(encoded) % 4 or len(encoded) - len(body) > 2:
        return f"its base64 has {len(encoded)} letters, not a multiple of four: it is cut off or damaged"
    return ""


def open_table(path: Path, failures: list[Failure]) -> TablePictures:
    """Look at every row of a tsv once, and keep where the base64 of each begins."""
    ids, offsets, numbers, plain = Ids(), array("q"), array("q"), True
    for first, offset, block in blocks(path, BLOCK):
        tabs = _usual(block)
        if tabs is not None:
            ids.extend([line[:tab] for line, tab in zip(block, tabs, strict=True)])
            begins = accumulate(map(len, block), initial=offset + 1)
            offsets.extend(map(add, begins, tabs))
            numbers.extend(range(first, first + len(block)))
            continue
        plain = False
        for number, line in enumerate(block, first):
            try:
                id, start = _row(number, line)
            except InputError as error:
                failures.append(Failure(f"{path.name}:{number}", str(error)))
            else:
                ids.add(id)
                offsets.append(offset + start)
                numbers.append(number)
            offset += len(line)
    pictures = TablePictures(path, ids, np.asarray(offsets, dtype=np.int64), plain)
    superseded = ids.repeated()
    if not superseded:
        return pictures
    content = TablePictures(path, Ids(map(str, range(len(ids)))), pictures._offsets)
    for earlier, later in superseded:
        if content.encoded(str(earlier)) != content.encoded(str(later)):
            name = f"{path.name}:{numbers[earlier]}"
            reason = f"its id {ids[earlier]} has another picture in line {numbers[later]}, which is the one that counts"
            failures.append(Failure(name, reason))
    left_out = [earlier for earlier, _ in superseded]
    return TablePictures(path, ids.without(left_out), np.delete(pictures._offsets, left_out))


def _usual(block: list[bytes]) -> list[int] | None:
    """Where the tab of each line is, if all are of the plainest form, with nothing to strip; as strict as `_row`."""
    # What is left of a line without the letters of base64: its tab, if the id has no other letters, and its end.
    ends = [USUAL.get(line.translate(None, LETTERS)) for line in block]
    if None in ends or not all(map(bytes.endswith, block, ends)):  # type: ignore[arg-type]
        return None
    tabs = [line.find(TAB) for line in block]
    lengths = [len(line) - tab - 2 for line, tab in zip(block, tabs, strict=True)]
    whole = min(tabs) > 0 and min(lengths) > 0 and not any(length % 4 for length in lengths)
    return tabs if whole else None


def _row(number: int, line: bytes) -> tuple[bytes, int]:
    """(id, where the base64 begins in the line) of a row; InputError says what is wrong with it."""
    row = line.removeprefix(MARK) if number == 1 else line
    columns = row.strip().split(TAB, 2)
    if columns == [b""]:
        raise InputError("the line is empty: expected an id, a tab and a base64 picture")
    if len(columns) != 2:
        found = "no tab" if len(columns) == 1 else f"{row.count(TAB) + 1} columns"
        raise InputError(f"it has {found}: expected an id, a tab and a base64 picture")
    id, encoded = columns
    wrong = "there is no id before the tab" if not id else wrong_base64(encoded)
    if wrong:
        cut = "" if line.endswith(b"\n") else ", and the file ends in the middle of this row"
        raise InputError(wrong + cut)
    try:
        id.decode()
    except UnicodeDecodeError:
        raise InputError(f"its id {id[:40]!r} is not UTF-8") from None
    return id, line.index(TAB) + 1


def blocks(path: Path, size: int) -> Iterator[tuple[int, int, list[bytes]]]:
    """(number of the first line from 1, its offset, lines) of a file, so many bytes at a time or a little more."""
    number, offset = 1, 0
    try:
        with path.open("rb", buffering=BUFFER) as file:
            while block := file.readlines(size):
                yield number, offset, block
                number += len(block)
                offset += sum(map(len, block))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, offset, line) of a file."""
    offset = 0
    try:
        with path.open("rb", buffering=BUFFER) as file:
            for number, line in enumerate(file, 1):
                yield number, offset, line
                offset += len(line)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
