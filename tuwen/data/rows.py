"""A table of results that grows row by row: it can be interrupted anywhere, and goes on where it was."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tuwen.checkpoint import replacing
from tuwen.errors import InputError, MissingExtra, UsageError

FORMAT = 1
ENDINGS = (".csv", ".jsonl", ".parquet")
RECORD = ".run.jsonl"  # added to the name of the table: the settings, then every row as soon as it is known

Row = dict[str, Any]
Key = tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """Where the record has a row, what its source looked like then, and whether the next run has to try again."""

    offset: int
    stamp: str
    again: bool


class Rows:
    """Rows of equal columns on their way into a .csv, .jsonl or .parquet file; no file at all if path is None.

    Every row is added at once to a record beside the table (`out.csv.run.jsonl`), which names the settings, too;
    `finish` writes the table from it, whole. A run that was stopped finds in the record what is done. key: the columns
    that tell rows apart; a row of the same key replaces the earlier one. settings: plain data, which must equal that of
    the record.

    InputError where the record is of other settings or damaged, or the table is there without a record, unless
    overwrite is set; UsageError for another ending; MissingExtra for .parquet without pyarrow.

    A .csv begins with the mark that spreadsheets take for UTF-8 (read it as "utf-8-sig"); lists stand in it as JSON.
    """

    def __init__(
        self,
        path: Path | None,
        columns: Sequence[str],
        key: Sequence[str],
        settings: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self.columns = list(columns)
        self.key = list(key)
        self.failures: list[tuple[str, str]] = []
        self.added = 0
        plain = json.loads(json.dumps(dict(settings)))
        self._header = {"format": FORMAT, "columns": self.columns, "key": self.key, "settings": plain}
        self._places: dict[Key, _Place] = {}
        self._file: IO[bytes] | None = None
        self._end = 0
        if path is not None:
            check_ending(path)
            self._take_up(overwrite)

    # -- what is there ------------------------------------------------------------------------------------------------

    @property
    def record(self) -> Path | None:
        """The file beside the table."""
        return None if self.path is None else self.path.with_name(self.path.name + RECORD)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Row]:
        return self.ordered(())

    def ordered(self, order: Sequence[Key]) -> Iterator[Row]:
        """The rows named in `order` that are there, in that order; then the others, as they came."""
        asked = dict.fromkeys(key for key in order if key in self._places)
        for key in [*asked, *(key for key in self._places if key not in asked)]:
            yield self._read(self._places[key].offset)

    def done(self, key: Sequence[str], stamp: str = "") -> bool:
        """Whether that row is there, of a source with the same stamp, and needs no further try."""
        place = self._places.get(tuple(key))
        return place is not None and place.stamp == stamp and not place.again

    # -- what is new --------------------------------------------------------------------------------------------------

    def add(self, row: Row, stamp: str = "", again: bool = False) -> None:
        """Keep a row. stamp: changes when its source does; again: the row stands, but the next run tries once more."""
        if list(row) != self.columns:
            raise UsageError(f"a row has the columns {', '.join(row)}, the table has {', '.join(self.columns)}")
        key = tuple(str(row[name]) for name in self.key)
        line = {"row": row, **({"stamp": stamp} if stamp else {}), **({"again": True} if again else {})}
        if self._file is None:
            self._begin()
        self._places[key] = _Place(self._append(line), stamp, again)
        self.added += 1

    def fail(self, name: str, reason: str) -> None:
        """Remember what has no row, and why; the next run tries it again."""
        self.failures.append((name, reason))

    def finish(self, order: Sequence[Key] = ()) -> None:
        """Write the table, rows as `ordered` gives them, if there are any and something is new."""
        if self.path is None or not self._places or (self.path.exists() and not self.added):
            return
        with replacing(self.path) as temporary:
            _WRITERS[self.path.suffix](temporary, self.columns, self.ordered(order))

    def close(self) -> None:
        """Let go of the record."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- the record ---------------------------------------------------------------------------------------------------

    def _take_up(self, overwrite: bool) -> None:
        assert self.path is not None and self.record is not None
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder: name a file that ends in {', '.join(ENDINGS)}")
        if overwrite:
            self.record.unlink(missing_ok=True)
            self.added = 0
        elif self.record.exists():
            self._read_record(self.record)
        elif self.path.exists():
            raise InputError(
                f"{self.path} is there, but its record {self.record.name} is not, so nothing can be added to it: "
                "choose another output or pass --overwrite"
            )

    def _read_record(self, record: Path) -> None:
        with record.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # the last line of a run that was killed while it wrote
                try:
                    content = json.loads(line)
                    if number == 1:
                        self._compare(content)
                    else:
                        key = tuple(str(content["row"][name]) for name in self.key)
                        self._places[key] = _Place(self._end, content.get("stamp", ""), content.get("again", False))
                except (ValueError, KeyError, TypeError) as error:
                    if isinstance(error, InputError):
                        raise
                    raise InputError(
                        f"line {number} of {record} is damaged: choose another output or pass --overwrite"
                    ) from None
                self._end += len(line)

    def _compare(self, found: dict[str, Any]) -> None:
        if found["format"] != FORMAT:
            raise InputError(f"{self.record} is of format {found['format']}, this version reads {FORMAT}: update tuwen")
        before = {"columns": found["columns"], "key": found["key"], **found["settings"]}
        now = {"columns": self.columns, "key": self.key, **self._header["settings"]}
        other = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if other:
            said = "; ".join(f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}" for name in other)
            raise InputError(
                f"{self.path} was begun with other settings ({said}): use the same, choose another output, or pass "
                "--overwrite"
            )

    def _begin(self) -> None:
        if self.record is None:
            self._file = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by close()
        else:
            self.record.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.record.open("r+b" if self.record.exists() else "w+b")
            self._file.truncate(self._end)  # half a line
        if self._end == 0:
            self._append(self._header)

    def _append(self, line: Mapping[str, Any]) -> int:
        """Write a line and give the place where it begins."""
        assert self._file is not None
        start, content = self._end, json.dumps(line, ensure_ascii=False).encode() + b"\n"
        self._file.seek(start)
        self._file.write(content)
        self._file.flush()
        self._end += len(content)
        return start

    def _read(self, offset: int) -> Row:
        if self._file is None:
            self._begin()
        assert self._file is not None
        self._file.seek(offset)
        row: Row = json.loads(self._file.readline())["row"]
        return row


def check_ending(path: Path) -> None:
    """UsageError unless `path` ends in .csv, .jsonl or .parquet; MissingExtra for .parquet where pyarrow is missing."""
    if path.suffix not in ENDINGS:
        raise UsageError(f"the output {path} must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if path.suffix == ".parquet":
        try:
            from tuwen.data import parquet  # noqa: F401
        except ModuleNotFoundError:
            raise MissingExtra(f"writing {path.name} needs pyarrow: pip install 'tuwen[data]'") from None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _write_csv(path: Path, columns: Sequence[str], rows: Iterator[Row]) -> None:
    with path.open("x", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for row in rows:
            table.writerow([_cell(row[name]) for name in columns])


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _write_jsonl(path: Path, columns: Sequence[str], rows: Iterator[Row]) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(path: Path, columns: Sequence[str], rows: Iterator[Row]) -> None:
    from tuwen.data import parquet

    parquet.write(path, list(rows))


_WRITERS = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
