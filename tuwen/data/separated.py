"""Records of CSV and TSV files: where each begins, also those with line breaks between quotes, and their cells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from tuwen.errors import InputError

MOST_LINES = 1000  # of a record: a quote that is still open then was never meant to be one


def records(path: Path, separator: str) -> Iterator[tuple[int, int, bytes, bool]]:
    """(number of its first line from 1, offset, record, whole) for every record of a file that is not empty.

    whole: False for a line with a quote that is not closed, in the file or in the next 1000 lines; the lines behind it
    are records of their own.
    """
    try:
        with path.open("rb") as file:
            number, offset = 1, 0
            while line := file.readline():
                record, count = line, 1
                quoted = _open_after(line, separator, False)
                while quoted and count < MOST_LINES and (more := file.readline()):
                    record += more
                    count += 1
                    quoted = _open_after(more, separator, True)
                if quoted:
                    record, count = line, 1
                    file.seek(offset + len(line))
                if record.strip(b"\r\n"):
                    yield number, offset, record, not quoted
                number, offset = number + count, offset + len(record)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def record_at(path: Path, offset: int, length: int) -> bytes:
    """The record that `records` found there."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


@cache
def _patterns(separator: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    one = re.escape(separator)
    cell = rf'(?:"((?:[^"]|"")*+)"([^{one}]*+)|([^{one}]*+))(?:{one}|\Z)'
    return re.compile(cell), re.compile(r'(?:[^"]|"")*+"(?!")')


def _open_after(line: bytes, separator: str, quoted: bool) -> bool:
    """Whether a quote is open at the end of a line. quoted: whether one is at its beginning."""
    if b'"' not in line:
        return quoted
    text, at = line.decode("utf-8", "replace").rstrip("\r\n"), 0
    cell, closing = _patterns(separator)
    if quoted:
        found = closing.match(text)
        if found is None:
            return True
        at = text.find(separator, found.end())
        if at < 0:
            return False
        at += 1
    while at < len(text):
        found = cell.match(text, at)
        assert found is not None
        if found[1] is None and text[at] == '"':
            return True
        if found.end() == at:
            break
        at = found.end()
    return False


def cells(record: bytes, separator: str) -> list[str]:
    """The cells of a record; InputError where it is not UTF-8."""
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"it is not UTF-8 text (byte {error.start})") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if '"' not in text:
        return text.split(separator)
    found, at = [], 0
    pattern = _patterns(separator)[0]
    while True:
        cell = pattern.match(text, at)
        assert cell is not None
        quoted, behind, plain = cell.groups()
        found.append(plain if quoted is None else quoted.replace('""', '"') + behind)
        at = cell.end()
        if at >= len(text) and not text.endswith(separator, cell.start()):
            return found
        if at >= len(text):
            return [*found, ""]


def record_of(cells: Sequence[str], separator: str) -> bytes:
    """The other way: a line, quoted where it must be."""
    return (separator.join(_quoted(cell, separator) for cell in cells) + "\n").encode()


def _quoted(cell: str, separator: str) -> str:
    if any(sign in cell for sign in (separator, '"', "\n", "\r")) or cell != cell.strip():
        return '"' + cell.replace('"', '""') + '"'
    return cell
