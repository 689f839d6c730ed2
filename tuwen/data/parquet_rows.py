"""Parquet files of pictures and texts, those of Hugging Face's datasets too; read by groups of rows, needs pyarrow."""

from __future__ import annotations

import json
import re
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
import pyarrow.parquet

from tuwen.data.cells import HELD, check_base64, columns_of, is_base64, kind_of, picture_of, row_of, short
from tuwen.data.dataset import Dataset
from tuwen.data.folder import Failure
from tuwen.data.options import DEFAULT, Options
from tuwen.data.parquet_writing import ENDING, NAME, write
from tuwen.data.picture_rows import Row, open_rows
from tuwen.data.table_rows import Files
from tuwen.errors import InputError

if TYPE_CHECKING:
    from tuwen.types import Picture

TITLE = "Parquet files of pictures and texts, also as Hugging Face's datasets have them"
KINDS = HELD
__all__ = ["KINDS", "NAME", "TITLE", "looks_like", "open_dataset", "splits", "write"]

FIRST = ("train", "valid", "validation", "test")
_SHARD = re.compile(r"(.*?)[-_.]?\d+(?:-of-\d+)?")
_DAMAGE = (pyarrow.ArrowException, OSError)


# -- what is there ----------------------------------------------------------------------------------------------------


def looks_like(path: Path) -> bool:
    """A file with a column of pictures and one of texts, or a folder of such files, or with them in data/."""
    return any(map(_has_both, _files(path)[:1]))


def splits(path: Path) -> list[str]:
    """The names of a folder's files without their numbers (train-00000-of-00002.parquet is of train)."""
    if not path.is_dir():
        return []
    found = _by_split(path)
    return sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        folders = [path, path / "data"]
        found = [sorted(one for one in folder.glob(f"*{ENDING}") if one.name[0] != ".") for folder in folders]
        return next((files for files in found if files), [])
    return [path] if path.suffix == ENDING and path.is_file() else []


def _by_split(path: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for file in _files(path):
        numbered = _SHARD.fullmatch(file.stem)
        found[(numbered[1] if numbered else file.stem) or "data"].append(file)
    return dict(found)


def _has_both(path: Path) -> bool:
    try:
        columns = columns_of(pyarrow.parquet.read_schema(path).names)
    except (InputError, *_DAMAGE):
        return False
    return columns.hold_pictures and "text" in columns.of


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """A file, or those of a split of a folder. Columns are known as those of a table, see table_rows.open_dataset.

    A picture is bytes, a path, base64, or {"bytes", "path"}; its id, where there is no column image_id, is its path, or
    FILE:ROW. text is a text or a list of texts. A file that is damaged or cut off is a failure where there are others.
    """
    files = _by_split(path)[split] if path.is_dir() else [path]
    failures: list[Failure] = []
    rows = ParquetRows(files, options, failures)
    dataset = open_rows(NAME, path, rows, split or path.stem, kind_of(rows.columns, rows.first, options))
    dataset.failures[:0] = failures
    return dataset


# -- rows -------------------------------------------------------------------------------------------------------------


class ParquetRows:
    """The rows of some files as one table; one group of rows of pictures and one of the other columns are kept."""

    def __init__(self, paths: list[Path], options: Options, failures: list[Failure]) -> None:
        """Files that cannot be read end in `failures`; InputError where none can."""
        self._options = options
        self._open: dict[int, pyarrow.parquet.ParquetFile] = {}
        self._last: dict[str, tuple[int, list[Any]]] = {}
        self._paths = []
        for path in paths:
            try:
                _opened(path)
                self._paths.append(path)
            except InputError as error:
                if len(paths) == 1:
                    raise
                failures.append(Failure(path.name, str(error)))
        if not self._paths:
            raise InputError(f"none of {len(paths)} files can be read: {failures[0].reason}")
        schema = self._file(0).schema_arrow
        self.columns = columns_of(schema.names, options.columns)
        if not self.columns.hold_pictures:
            known = ", ".join(schema.names)
            raise InputError(
                f"{self._paths[0]} has no column of pictures: it has {known}; name it, e.g. --column image=picture"
            )
        self._image = self.columns.of.get("image_base64") or self.columns.of["image"]
        self._plain = [name for name in schema.names if name != self._image]
        self._sources = Files(self._paths[0].parent, options.pictures)
        self._file_starts: list[int] = []
        self._groups, self._starts = self._all_groups()  # (file, group), and the first row of each
        self._good = array("q")
        self.first: Mapping[str, Any] = self._first()

    def _all_groups(self) -> tuple[list[tuple[int, int]], np.ndarray[Any, Any]]:
        groups, counts = [], list[int]()
        for file in range(len(self._paths)):
            found = self._file(file).metadata
            self._file_starts.append(sum(counts))
            groups += [(file, group) for group in range(found.num_row_groups)]
            counts += [found.row_group(group).num_rows for group in range(found.num_row_groups)]
        return groups, np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])

    def _first(self) -> Mapping[str, Any]:
        for number in range(min(len(self._groups), 1)):
            try:
                return next(iter(self._cells(number, self._plain)), {})
            except InputError:
                break
        return {}

    def scan(self, failures: list[Failure]) -> Iterator[Row]:
        """Every good row; bytes of pictures are read only where the file does not say that all are there."""
        for number in range(len(self._groups)):
            start, end = int(self._starts[number]), int(self._starts[number + 1])
            try:
                cells = self._cells(number, self._plain)
                names = self._picture_names(number, end - start)
            except InputError as error:
                last = self._place(end - 1).rpartition(":")[2]
                failures.append(Failure(f"{self._place(start)}-{last}", str(error)))
                continue
            for place, found, name in zip(range(start, end), cells, names, strict=True):
                try:
                    if isinstance(name, InputError):
                        raise name
                    row = self._row(place, found, name)
                    if not row.image_id and not row.texts:
                        raise InputError("it has neither a picture nor a text")
                except InputError as error:
                    failures.append(Failure(self._place(place), str(error)))
                    continue
                self._good.append(place)
                yield row

    def _picture_names(self, number: int, count: int) -> list[str | InputError | None]:
        """For each row of a group what its picture is called: "" for bytes without a name, None for no picture."""
        file, group = self._groups[number]
        kind = self._file(file).schema_arrow.field(self._image).type
        inner = [kind.field(place).name for place in range(kind.num_fields)] if pyarrow.types.is_struct(kind) else []
        leaf = f"{self._image}.bytes" if "bytes" in inner else self._image
        if self._all_there(file, group, leaf) and not pyarrow.types.is_string(kind):
            if "path" not in inner:
                return [""] * count
            column = self._read(number, [f"{self._image}.path"])
            return [(row[self._image] or {}).get("path") or "" for row in column]
        found: list[str | InputError | None] = []
        for row in self._cells(number, [self._image]):
            try:
                found.append(self._name(row[self._image]))
            except InputError as error:
                found.append(error)
        return found

    def _all_there(self, file: int, group: int, leaf: str) -> bool:
        """Whether the file says that no cell of a column of bytes is missing or, as far as it says that, empty."""
        columns = self._file(file).metadata.row_group(group)
        for place in range(columns.num_columns):
            column = columns.column(place)
            if column.path_in_schema == leaf:
                told = column.statistics
                if told is None or told.null_count != 0:
                    return False
                return not told.has_min_max or bool(told.min)  # left out where they are long
        return False

    def _name(self, value: Any) -> str | None:
        content, path = _parts(value)
        if content:
            return path
        if not path:
            if content is not None:
                raise InputError("its picture holds no bytes")
            return None
        if is_base64(path) or "image_base64" in self.columns.of:
            check_base64(path)
            return ""
        self._sources.find(path)
        return path

    def _row(self, place: int, found: Mapping[str, Any], name: str | None) -> Row:
        where = self._place(place)
        return row_of(found, self.columns, where, "" if name is None else name or where)

    def __getitem__(self, number: int) -> Row:
        place = self._good[number]
        group = self._group_of(place)
        found = self._cells(group, self._plain)[place - int(self._starts[group])]
        names = self._last.get("names")
        if names is None or names[0] != group:
            count = int(self._starts[group + 1] - self._starts[group])
            names = self._last["names"] = (group, self._picture_names(group, count))
        name = names[1][place - int(self._starts[group])]
        return self._row(place, found, None if isinstance(name, InputError) else name)

    def picture(self, number: int) -> Picture:
        """Bytes, or a path."""
        place = self._good[number]
        group = self._group_of(place)
        value = self._cells(group, [self._image])[place - int(self._starts[group])][self._image]
        content, path = _parts(value)
        if content:
            return content
        return picture_of(path) if self._name(value) == "" else self._sources.find(path)

    def stamp(self, number: int) -> bytes:
        """The bytes, or the path, and the boxes."""
        picture = self.picture(number)
        boxes = json.dumps(self[number].about).encode()
        return (picture if isinstance(picture, bytes) else str(picture).encode()) + b"\0" + boxes

    def _group_of(self, place: int) -> int:
        return int(np.searchsorted(self._starts, place, side="right")) - 1

    def _place(self, row: int) -> str:
        """File and row, from 1."""
        file = bisect_right(self._file_starts, row) - 1
        return f"{self._paths[file].name}:{row - self._file_starts[file] + 1}"

    def _cells(self, number: int, names: list[str]) -> list[dict[str, Any]]:
        """Some columns of a group of rows; the last group is kept, for pictures and for the other columns."""
        key = "\0".join(names)
        kept = self._last.get(key)
        if kept is None or kept[0] != number:
            kept = self._last[key] = (number, self._read(number, names))
        return kept[1]

    def _read(self, number: int, names: list[str]) -> list[dict[str, Any]]:
        file, group = self._groups[number]
        try:
            table = self._file(file).read_row_group(group, columns=names)
        except _DAMAGE as error:
            raise InputError(f"these rows are damaged ({' '.join(str(error).split())})") from None
        found: list[dict[str, Any]] = table.to_pylist()
        return found if names else [{} for _ in range(table.num_rows)]

    def _file(self, file: int) -> pyarrow.parquet.ParquetFile:
        if file not in self._open:
            self._open[file] = _opened(self._paths[file])
        return self._open[file]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_last": {}}


def _opened(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        return pyarrow.parquet.ParquetFile(path, memory_map=True)
    except _DAMAGE as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
        said = " ".join(str(error).split())
        raise InputError(f"{path} is no whole Parquet file, it may be cut off ({said})") from None


def _parts(value: Any) -> tuple[bytes | None, str]:
    """(bytes, path) of a cell of pictures; None and "" for what there is not."""
    if isinstance(value, dict):
        content, path = value.get("bytes"), value.get("path")
        return content, path if isinstance(path, str) else ""
    if isinstance(value, bytes):
        return value, ""
    if value is None or isinstance(value, str):
        return None, value or ""
    raise InputError(f"its picture is {short(value)}, expected bytes, a path or base64")
