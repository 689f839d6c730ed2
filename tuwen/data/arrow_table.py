"""Arrow tables in files: rows by number without loading them, and files that grow row by row; needs pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute

from tuwen.data.growing import Growing
from tuwen.errors import InputError

ROWS_PER_BATCH = 1000
BYTES_PER_BATCH = 32 << 20  # of pictures and texts, about
GROWING = ".rows"  # added to the name of a file while its rows are collected

# The names that pandas gives to types; what it wrote names them in the schema, and so do we.
_PANDAS = {
    pyarrow.binary(): ("bytes", "object"),
    pyarrow.string(): ("unicode", "object"),
    pyarrow.int64(): ("int64", "int64"),
    pyarrow.float64(): ("float64", "float64"),
    pyarrow.null(): ("empty", "object"),
}
PANDAS_VERSION = "2.0.3"  # whose layout of that description this is


class Table:
    """The rows of one or several Arrow files as one table, memory-mapped; for any number of processes and threads.

    Files may hold their rows in batches, and be compressed; one batch at a time is looked at. InputError for a file
    that is none, is cut off, or has other columns than the first.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._open: dict[int, pyarrow.RecordBatchFileReader] = {}
        self._last: tuple[int, pyarrow.RecordBatch | None] = (-1, None)
        self.schema = self._reader(0).schema
        batches: list[tuple[int, int]] = []
        counts: list[int] = []
        self._first_rows: list[int] = []
        for file, path in enumerate(self.paths):
            reader = self._reader(file)
            if reader.schema.names != self.schema.names:
                raise InputError(
                    f"{path} has the columns {', '.join(reader.schema.names)}, "
                    f"{self.paths[0].name} has {', '.join(self.schema.names)}"
                )
            self._first_rows.append(sum(counts))
            for number in range(reader.num_record_batches):
                batches.append((file, number))
                counts.append(self._read(file, number).num_rows)
        self._batches = batches
        self._ends = np.cumsum(np.asarray(counts, dtype=np.int64))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        names: list[str] = self.schema.names
        return names

    def place(self, row: int) -> str:
        """File and row, from 1, for messages."""
        file = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        return f"{self.paths[file].name}:{row - self._first_rows[file] + 1}"

    def value(self, row: int, name: str) -> Any:
        """One cell as plain data; the bytes of a picture are copied."""
        batch, place = self._batch_of(row)
        return batch.column(name)[place].as_py()

    def values(self, row: int, names: Sequence[str]) -> dict[str, Any]:
        """Some cells of a row as plain data."""
        batch, place = self._batch_of(row)
        return {name: batch.column(name)[place].as_py() for name in names}

    def column(self, name: str) -> Iterator[Any]:
        """A column as plain data, batch by batch; for columns that are small."""
        for batch in self.batches():
            yield from batch.column(name).to_pylist()

    def lengths(self, name: str) -> np.ndarray[Any, Any]:
        """How many items each cell of a column of lists has, -1 for empty cells (len(self),)."""
        found = [np.zeros(0, dtype=np.int64)]
        for batch in self.batches():
            column = batch.column(name)
            if pyarrow.types.is_null(column.type):
                found.append(np.full(len(column), -1, dtype=np.int64))
            else:
                lengths = pyarrow.compute.fill_null(pyarrow.compute.list_value_length(column), -1)
                found.append(lengths.to_numpy(zero_copy_only=False).astype(np.int64))
        return np.concatenate(found)

    def absent(self, name: str) -> np.ndarray[Any, Any]:
        """Where a column has no value (len(self),) bool."""
        found = [np.zeros(0, dtype=bool)]
        found += [batch.column(name).is_null().to_numpy(zero_copy_only=False) for batch in self.batches()]
        return np.concatenate(found)

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """The parts that the rows lie in, one at a time."""
        for file, number in self._batches:
            yield self._read(file, number)

    def _batch_of(self, row: int) -> tuple[pyarrow.RecordBatch, int]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        number = int(np.searchsorted(self._ends, row, side="right"))
        last, batch = self._last
        if last != number or batch is None:
            batch = self._read(*self._batches[number])
            self._last = (number, batch)
        return batch, row - int(self._ends[number]) + batch.num_rows

    def _read(self, file: int, number: int) -> pyarrow.RecordBatch:
        try:
            return self._reader(file).get_batch(number)
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(self.paths[file], error) from None

    def _reader(self, file: int) -> pyarrow.RecordBatchFileReader:
        if file not in self._open:
            self._open[file] = opened(self.paths[file])
        return self._open[file]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}, "_last": (-1, None)}


def opened(path: Path) -> pyarrow.RecordBatchFileReader:
    """An Arrow file, memory-mapped; InputError where it is none."""
    try:
        return pyarrow.ipc.open_file(pyarrow.memory_map(str(path)))
    except OSError as error:
        if isinstance(error, pyarrow.ArrowException):
            raise _damaged(path, error) from None
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except pyarrow.ArrowException as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is no whole Arrow file, it may be cut off ({' '.join(str(error).split())})")


class GrowingTable:
    """An Arrow file among the growing files of a folder: rows are collected in batches, and the file made at the end.

        with writing.growing(folder, [name], about) as files:
            table = GrowingTable(files, name, schema)
            for number in range(files.done, count):
                if table.add(row):  # a batch is written
                    files.step(number + 1)
            table.flush()
            files.step(count)
            table.finish()
        table.clean()

    The rows lie in NAME.rows until `finish`: the file's head says how many there are, as pandas writes it. A run that
    was stopped goes on after the last batch.
    """

    def __init__(self, files: Growing, name: str, schema: pyarrow.Schema) -> None:
        self.files = files
        self.name = name
        self.schema = schema
        self._rows: list[Sequence[Any]] = []
        self._bytes = 0

    def add(self, row: Sequence[Any]) -> bool:
        """Keep a row, its cells in the order of the columns; True when it filled a batch."""
        self._rows.append(row)
        self._bytes += sum(len(cell) if isinstance(cell, bytes | str) else 100 for cell in row)
        if len(self._rows) < ROWS_PER_BATCH and self._bytes < BYTES_PER_BATCH:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Write the batch that is being collected."""
        rows = self.name + GROWING
        if not self.files.size(rows):
            self.files.write(rows, self.schema.serialize().to_pybytes())
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        batch = pyarrow.RecordBatch.from_arrays(arrays, schema=self.schema)
        self.files.write(rows, batch.serialize().to_pybytes())
        self._rows, self._bytes = [], 0

    def finish(self, when_empty: pyarrow.Schema | None = None) -> int:
        """Make the file of all rows and say how many. when_empty: the schema of a table without rows, else the same."""
        rows = self.files.temporary(self.name + GROWING)
        self.flush()
        self.files.close(self.name + GROWING)
        if not rows.exists():  # an earlier run was stopped between the first new name and the last
            done = self.files.temporary(self.name)
            return _count(opened(done if done.exists() else self.files.folder / self.name))
        try:
            with pyarrow.OSFile(str(rows)) as source:  # not mapped, so that memory stays small
                count = sum(batch.num_rows for batch in pyarrow.ipc.open_stream(source))
            schema = self.schema if count or when_empty is None else when_empty
            with pyarrow.OSFile(str(rows)) as source:  # not mapped, so that memory stays small
                write_file(self.files.temporary(self.name), schema, count, pyarrow.ipc.open_stream(source))
        except OSError as error:
            raise InputError(f"cannot write {self.files.folder / self.name}: {error.strerror or error}") from error
        return count

    def clean(self) -> None:
        """Remove what the rows were collected in."""
        (self.files.folder / (self.name + GROWING)).unlink(missing_ok=True)


def write_file(path: Path, schema: pyarrow.Schema, rows: int, batches: Iterable[pyarrow.RecordBatch]) -> None:
    """An Arrow file of batches that have `rows` rows together, with pandas' description in its head."""
    schema = schema.with_metadata({b"pandas": json.dumps(_pandas(schema, rows)).encode()})
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def part_of(table: Table, start: int, stop: int) -> Iterator[pyarrow.RecordBatch]:
    """The batches of the rows from `start` to before `stop`."""
    first = 0
    for batch in table.batches():
        low, high = max(start - first, 0), min(stop - first, batch.num_rows)
        if low < high:
            yield batch.slice(low, high - low)
        first += batch.num_rows


def without_types(schema: pyarrow.Schema, kept: Sequence[str] = ()) -> pyarrow.Schema:
    """The schema that pandas gives a table without rows: no column has a type, but for those that are named."""
    return pyarrow.schema([field if field.name in kept else field.with_type(pyarrow.null()) for field in schema])


def _count(reader: pyarrow.RecordBatchFileReader) -> int:
    return sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))


def _pandas(schema: pyarrow.Schema, rows: int) -> dict[str, Any]:
    columns = []
    for field in schema:
        name, numpy_name = _pandas_type(field.type)
        column = {"name": field.name, "field_name": field.name, "pandas_type": name, "numpy_type": numpy_name}
        columns.append({**column, "metadata": None})
    index = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}
    return {
        "index_columns": [{"kind": "range", "name": None, "start": 0, "stop": rows, "step": 1}],
        "column_indexes": [{**index, "metadata": {"encoding": "UTF-8"}}],
        "columns": columns,
        "creator": {"library": "pyarrow", "version": pyarrow.__version__},
        "pandas_version": PANDAS_VERSION,
    }


def _pandas_type(kind: pyarrow.DataType) -> tuple[str, str]:
    if pyarrow.types.is_list(kind):
        return f"list[{_pandas_type(kind.value_type)[0]}]", "object"
    return _PANDAS[kind]
