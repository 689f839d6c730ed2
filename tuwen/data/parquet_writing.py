"""A dataset into Parquet files: a row for each picture, in small groups, one file after the other; needs pyarrow."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet

from tuwen.data.arrow_table import GROWING, GrowingTable
from tuwen.data.by_picture import ByPicture, contents, left_out
from tuwen.data.dataset import PAIRS, Dataset
from tuwen.data.growing import Growing
from tuwen.data.options import Options, Writing, about
from tuwen.errors import InputError

NAME = "parquet"
ENDING = ".parquet"
ROWS_PER_GROUP = 100  # what is read for one picture


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """The file `target`, or SPLIT-00000-of-00001.parquet and so on in the folder `target`, Options.shard_rows in each.

    A row for each picture: image, its bytes; image_id; text and text_id, lists of as many; columns, JSON of a
    dictionary for each text, and boxes, JSON, where there are some. A text without a picture has a row of its own.
    """
    rows = ByPicture(dataset)
    left_out(dataset, ["boxes"], writing)
    schema = _schema(dataset, rows)
    folder = target.parent if target.suffix == ENDING else target
    names = [target.name] if target.suffix == ENDING else _shards(split or "data", len(rows), options.shard_rows)
    per_file = max(len(rows), 1) if len(names) == 1 else options.shard_rows
    told = {**about(dataset, options), "to": NAME, "as": split}
    with writing.growing(folder, names, told) as files:
        tables = [GrowingTable(files, name, schema) for name in names]
        current = tables[0]
        for number, found in contents(rows, files, options, writing):
            table = tables[number // per_file]
            if table is not current or number % ROWS_PER_GROUP == 0:
                current.flush()
                files.step(number)
                current = table
            for id, content, texts in found:
                cells = rows.cells(id, texts)
                filled = False
                for name in ("columns", "boxes"):
                    cells[name] = json.dumps(cells[name], ensure_ascii=False) if name in cells else None
                cells["image"] = content or None
                filled |= current.add([cells.get(name) for name in schema.names])
                if filled:
                    current.flush()
        for table in tables:
            table.flush()
        files.step(len(rows))
        for table in tables:
            _finish(files, table)
    for table in tables:
        table.clean()


def _shards(split: str, rows: int, per_file: int) -> list[str]:
    count = max(1, -(-rows // per_file))
    return [f"{split}-{number:05d}-of-{count:05d}{ENDING}" for number in range(count)]


def _schema(dataset: Dataset, rows: ByPicture) -> pyarrow.Schema:
    text = pyarrow.string()
    fields = [("image", pyarrow.binary()), ("image_id", text)]
    fields += [("text", pyarrow.list_(text)), ("text_id", pyarrow.list_(text))]
    fields += [("columns", text)] if rows.columns else []
    fields += [("boxes", text)] if dataset.picture_columns else []
    fields += [("kind", text)] if dataset.kind != PAIRS else []
    return pyarrow.schema(fields)


def _finish(files: Growing, table: GrowingTable) -> None:
    """Make the file of the rows that were collected."""
    rows = files.temporary(table.name + GROWING)
    files.close(table.name + GROWING)
    if not rows.exists():  # an earlier run was stopped between the first new name and the last
        return
    try:
        with (
            pyarrow.OSFile(str(rows)) as source,
            pyarrow.parquet.ParquetWriter(files.temporary(table.name), table.schema, compression="zstd") as writer,
        ):
            for batch in pyarrow.ipc.open_stream(source):
                writer.write_batch(batch)
    except OSError as error:
        raise InputError(f"cannot write {files.folder / table.name}: {error.strerror or error}") from error
