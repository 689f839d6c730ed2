"""Tables as Parquet files: needs pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of equal columns, at least one."""
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path, compression="zstd")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows, in order."""
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return rows
