"""Files of JSON lines as datasets: every line looked at once, its place kept."""

from __future__ import annotations

import json
from array import array
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tuwen.data.dataset import Lines, Text
from tuwen.data.folder import Failure
from tuwen.errors import InputError

Parse = Callable[[int, bytes], Text]


def open_lines(
    path: Path, parse: Parse, failures: list[Failure], accept: Callable[[Text], None], later: Parse | None = None
) -> Lines:
    """The good lines of a file as texts.

    parse: (number from 1, line) -> its text, or InputError; accept: told of each, InputError for one that may not be
    there; later: what parses accepted lines, where that differs. Other lines end in `failures` as "FILE:LINE"; empty
    ones are passed over.
    """
    offsets, numbers = array("q"), array("q")
    for number, offset, line in _lines(path):
        if not line.strip():
            continue
        try:
            accept(parse(number, line))
        except InputError as error:
            cut = "" if line.endswith(b"\n") or "not JSON" not in str(error) else ", and the file ends in this line"
            failures.append(Failure(f"{path.name}:{number}", f"{error}{cut}"))
            continue
        offsets.append(offset)
        numbers.append(number)
    return Lines(path, offsets, numbers, later or parse)


def object_of(number: int, line: bytes) -> dict[str, Any]:
    """The JSON object of a line; InputError says what is there instead."""
    content = line.removeprefix(BOM_UTF8) if number == 1 else line
    try:
        row = json.loads(content)
    except UnicodeDecodeError as error:
        raise InputError(f"it is not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise InputError(f"it is not JSON ({error})") from None
    if not isinstance(row, dict):
        raise InputError(f"it is a {type(row).__name__}, expected a JSON object")
    return row


def text_of(row: dict[str, Any], name: str) -> str:
    """A text that a row must have."""
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"its {name} is {_short(value)}, expected a text")
    return value


def first_object(path: Path) -> dict[str, Any]:
    """The object of the first line, empty where it has none: to tell what a file is."""
    try:
        with path.open("rb") as file:
            return object_of(1, file.readline(1 << 20))
    except (InputError, OSError):
        return {}


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield number, offset, line
                offset += len(line)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _short(value: Any) -> str:
    text = "missing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."
