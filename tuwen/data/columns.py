"""Tables of named columns as Parquet files, numbers as they are: needs pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet


def write(path: Path, table: Mapping[str, np.ndarray[Any, Any] | Sequence[Any]]) -> None:
    """Columns of equal length, arrays or lists of plain data."""
    columns = {name: pyarrow.array(values) for name, values in table.items()}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="zstd")


def read(path: Path) -> dict[str, np.ndarray[Any, Any] | list[Any]]:
    """The same again: numbers as arrays, everything else as lists."""
    table = pyarrow.parquet.ParquetFile(path).read()
    found: dict[str, np.ndarray[Any, Any] | list[Any]] = {}
    for name in table.column_names:
        column = table.column(name)
        number = pyarrow.types.is_integer(column.type) or pyarrow.types.is_floating(column.type)
        found[name] = column.to_numpy() if number and not column.null_count else column.to_pylist()
    return found
