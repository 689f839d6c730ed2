"""Small tables that people bring along, as CSV, TSV or JSON lines: the columns that are needed, line by line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuwen.data.folder import Failure
from tuwen.data.text_files import read_text
from tuwen.errors import InputError

ENDINGS = {".csv": ",", ".tsv": "\t", ".jsonl": ""}


@dataclass(frozen=True)
class Line:
    """One row: its line in the file, from 1, and the text of each column that was asked for ("" for an empty one)."""

    number: int
    values: dict[str, str]


@dataclass
class Table:
    """The good rows of a file, and what is wrong with the others."""

    columns: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def read_table(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """The columns `needed` and, where the file has them, `optional`; a row with an empty needed column is a failure.

    InputError for a file that is missing, is not UTF-8, ends in something else than .csv, .tsv or .jsonl, or lacks a
    needed column altogether.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path} must end in {', '.join(ENDINGS)}")
    text = read_text(path)
    separator = ENDINGS[path.suffix.lower()]
    rows = list(_separated(path, text, separator) if separator else _objects(text))
    columns = list(dict.fromkeys(name for _, row in rows if isinstance(row, dict) for name in row))
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InputError(
            f"{path} has no column {' and no column '.join(missing)}: it has {', '.join(columns) or 'no rows'}"
        )
    table = Table([name for name in (*needed, *optional) if name in columns])
    for number, row in rows:
        reason = _wrong(row, needed) if isinstance(row, dict) else row
        if reason:
            table.failures.append(Failure(f"{path.name}:{number}", reason))
        else:
            table.lines.append(Line(number, {name: _text(row, name) for name in table.columns}))
    return table


def _separated(path: Path, text: str, separator: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        columns = [name.strip() for name in next(reader, [])]
        for row in reader:
            if len(row) == len(columns):
                yield reader.line_num, dict(zip(columns, row, strict=True))
            elif any(row):
                yield reader.line_num, f"it has {len(row)} columns, the first line has {len(columns)}"
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None


def _objects(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                yield number, f"it is not JSON ({error})"
                continue
            yield number, row if isinstance(row, dict) else "it is not a JSON object with names and values"


def _wrong(row: dict[str, Any], needed: Sequence[str]) -> str:
    for name in needed:
        if name not in row or not _text(row, name):
            return f"its {name} is empty"
        if not isinstance(row[name], str):
            return f"its {name} is {json.dumps(row[name])[:40]}, expected a text"
    return ""


def _text(row: Any, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()
