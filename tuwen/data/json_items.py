"""Lists in JSON files that are too large to load: their items one by one, and again each by its place."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tuwen.errors import InputError

BLOCK = 1 << 20  # bytes
SPACE = " \t\n\r"
NEAR_THE_END = 16  # characters; no cut-off word, number or escape of JSON is longer


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a list. number: from 0; offset, length: where its JSON lies in the file, in bytes."""

    number: int
    offset: int
    length: int
    value: Any


def items(path: Path, key: str = "") -> Iterator[Item]:
    """The items of the list that the file's object has under `key`, or without a key of the list that the file is.

    One item is in memory at a time. InputError for a file that cannot be read, is no JSON or is cut off, with the byte
    and the number of items before it; or has no such list.
    """
    try:
        with path.open("rb") as file:
            yield from _Reader(path, file).list_under(key)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def items_at(path: Path, places: Iterable[tuple[int, int]]) -> list[Any]:
    """The items at some (offset, length); InputError where the file has changed since."""
    found, offset = [], 0
    try:
        with path.open("rb") as file:
            for offset, length in places:
                file.seek(offset)
                found.append(json.loads(file.read(length)))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise InputError(f"{path} has changed since it was opened: there is no JSON at byte {offset}") from None
    return found


class _Reader:
    """The text of a file in blocks, with the byte that the next character stands at."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.file = file
        self.text = ""
        self.at = 0  # the next character of `text`
        self.byte = 0  # its place in the file
        self.rest = b""  # of a character that a block ends in
        self.whole = False
        self.found = 0
        self.decode = json.JSONDecoder().raw_decode

    def list_under(self, key: str) -> Iterator[Item]:
        if not key:
            self.expect("[")
            yield from self.list_items()
            return
        self.expect("{")
        while self.peek() != "}":
            name = self.value()
            self.expect(":")
            if name == key:
                self.expect("[")
                yield from self.list_items()
                return
            self.skip_value()
            if self.peek() != "}":
                self.expect(",")
        raise InputError(f'{self.path} has no list named "{key}"')

    def skip_value(self) -> None:
        if self.peek() == "[":
            self.expect("[")
            for _ in self.list_items():
                pass
            self.found = 0
        else:
            self.value()

    def list_items(self) -> Iterator[Item]:
        if self.peek() == "]":
            self.expect("]")
            return
        while True:
            self.peek()
            start = self.byte
            value = self.value()
            yield Item(self.found, start, self.byte - start, value)
            self.found += 1
            if self.peek() == "]":
                self.expect("]")
                return
            self.expect(",")

    def value(self) -> Any:
        """The value that begins at the next character that is no space."""
        self.peek()
        while True:
            try:
                value, end = self.decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self.text) - NEAR_THE_END
                if not cut or not self.read():
                    raise self.wrong(error.msg, error.pos) from None
                continue
            if end + 2 < len(self.text) or not self.read():  # 1, 1. and 1e- may be cut-off numbers
                self.move(end)
                return value

    def peek(self) -> str:
        """The next character that is no space."""
        while True:
            at = self.at
            while at < len(self.text) and self.text[at] in SPACE:
                at += 1
            self.move(at)
            if at < len(self.text):
                return self.text[at]
            if not self.read():
                raise self.wrong("the file ends", at)

    def expect(self, sign: str) -> None:
        if self.peek() != sign:
            raise self.wrong(f"expected {sign!r}", self.at)
        self.move(self.at + 1)

    def move(self, to: int) -> None:
        self.byte += _size(self.text[self.at : to])
        self.at = to

    def read(self) -> bool:
        """One more block, as large as what is still kept at least, so that long items are not tried too often."""
        kept = self.text[self.at :]
        block = b"" if self.whole else self.file.read(max(BLOCK, len(kept)))
        self.whole = not block
        content = self.rest + block
        if not self.byte and not kept and content.startswith(BOM_UTF8):
            self.byte, content = len(BOM_UTF8), content[len(BOM_UTF8) :]
        try:
            more, self.rest = content.decode("utf-8"), b""
        except UnicodeDecodeError as error:
            if not block or error.reason != "unexpected end of data":
                place = self.byte + _size(kept) + error.start
                raise InputError(f"{self.path.name} is not UTF-8 text (byte {place})") from None
            more, self.rest = content[: error.start].decode("utf-8"), content[error.start :]
        if block:
            self.text, self.at = kept + more, 0
        return bool(block)

    def wrong(self, what: str, at: int) -> InputError:
        place = self.byte + _size(self.text[self.at : at])
        cut = "is cut off" if self.whole and at >= len(self.text) - NEAR_THE_END else "is not JSON as expected"
        return InputError(f"{self.path.name} {cut} at byte {place}, after {self.found} items ({what})")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
