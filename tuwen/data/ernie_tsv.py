"""ERNIE-ViL 2.0's data file: text, id and base64 picture of one row, between tabs; read row by row."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tuwen.data.folder import Failure
from tuwen.errors import InputError
from tuwen.types import Sample

LOOKED_AT = 20  # rows, to tell what a file is
# How files of pictures begin; the base64 of three bytes is four letters whatever follows them.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PN", b"GIF", b"RIF", b"BM", b"II*", b"MM\0")


@dataclass(frozen=True)
class Row:
    """One row. number: its line, from 1; offset: where it begins, in bytes; picture: the base64 of its last column."""

    number: int
    offset: int
    text: str
    id: str
    picture: str


def fields(line: str) -> tuple[str, str, str]:
    """(text, id, picture) of a line, as the original reads it: the first column is the text, the last the picture.

    White space around the whole line goes first, so an empty text lets the id take its place, and in a line without a
    tab text and picture are the same. Columns are not counted: the id is the second of three or more, else empty.
    """
    columns = line.strip().split("\t")
    return columns[0], columns[1] if len(columns) > 2 else "", columns[-1]


def rows(path: Path) -> Iterator[Row]:
    """Every row, blank lines too, one in memory at a time. InputError for a file that cannot be read as UTF-8."""
    offset, number = 0, 0
    try:
        with path.open("rb") as file:
            for line in file:
                for part in _parts(line):
                    number += 1
                    yield Row(number, offset, *fields(part.decode("utf-8")))
                    offset += len(part)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name}, line {number} is not UTF-8 text (byte {error.start}): convert it, e.g. iconv -f gb18030 -t "
            "utf-8"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _parts(line: bytes) -> list[bytes]:
    """What ends in \\n, as Python's text files cut it: a lone \\r ends a line, too."""
    return line.splitlines(keepends=True) if b"\r" in line else [line]


def looks_like(path: Path) -> bool:
    """Whether one of the first rows of a file has three columns or more and a picture in the last."""
    try:
        for row, _ in zip(rows(path), range(LOOKED_AT), strict=False):
            if row.id and _begins_like_a_picture(row.picture):
                return True
    except InputError:
        return False
    return False


def _begins_like_a_picture(text: str) -> bool:
    try:
        return base64.b64decode(text[:4]).startswith(BEGINNINGS)
    except ValueError:  # letters that base64 does not have
        return False


def read(path: Path, failed: Callable[[Failure], None]) -> Iterator[Sample]:
    """Every good row as a sample: `image` the bytes of its picture's file, `columns` its "line" and "offset".

    failed is told of every other row. InputError for a file that cannot be read, or is empty.
    """
    found = False
    for row in rows(path):
        found = True
        name = f"{path.name}:{row.number}"
        try:
            image = decoded(row)
        except InputError as error:
            failed(Failure(name, str(error)))
            continue
        yield Sample(image, row.text, row.id or name, name, {"line": row.number, "offset": row.offset})
    if not found:
        raise InputError(f"{path} is empty: expected rows of text, id and base64 picture with tabs between them")


def decoded(row: Row) -> bytes:
    """The file that is a row's picture; InputError says what is there instead."""
    if not row.picture:
        raise InputError("the line is empty")
    if row.picture == row.text:
        raise InputError("it has no tab: expected text, id and picture with tabs between them")
    try:
        image = base64.b64decode(row.picture)  # letters that base64 does not have are passed over, as in the original
    except (binascii.Error, ValueError) as error:
        raise InputError(f"its last column is not base64 ({error})") from None
    if not image:
        raise InputError("its last column holds no picture")
    return image


def picture_at(path: Path, offset: int) -> bytes:
    """The picture of the row that begins at `offset`; InputError where the file has changed since."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            line = _parts(file.readline())[0].decode("utf-8", "replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    return decoded(Row(0, offset, *fields(line)))
