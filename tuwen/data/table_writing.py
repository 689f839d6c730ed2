"""A dataset into a table, row by row: a text and a picture in each, pictures as files beside it or in base64."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tuwen.data.by_picture import ByPair, boxes_of, left_out
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.growing import Growing
from tuwen.data.ids import Ids
from tuwen.data.options import Options, Writing, about
from tuwen.data.picture_files import NewPictures, ending_of, file_name
from tuwen.data.separated import record_of
from tuwen.data.table import ENDINGS


class Stored(Protocol):
    """Where pictures go, and what stands in the table for them."""

    def known(self, id: str) -> str:
        """The cell of a picture that was added in this run, "" where its content is needed."""

    def add(self, id: str, content: bytes) -> str:
        """Store a picture; gives its cell."""


class AsFiles:
    """Pictures as files of a folder; the cell is `prefix` and the name there. A byte is kept for each."""

    def __init__(self, pictures: NewPictures, ids: Ids, prefix: str) -> None:
        self._pictures, self._ids, self._prefix = pictures, ids, prefix
        self._endings = [""]
        self._of = bytearray(len(ids))

    def known(self, id: str) -> str:
        ending = self._endings[self._of[self._place(id)]]
        return self._prefix + file_name(id, ending, self._ids) if ending else ""

    def add(self, id: str, content: bytes) -> str:
        ending = ending_of(content, id)
        if ending not in self._endings:
            self._endings.append(ending)
        self._of[self._place(id)] = self._endings.index(ending)
        name = file_name(id, ending, self._ids)
        self._pictures.write(name, content)
        return self._prefix + name

    def _place(self, id: str) -> int:
        place = self._ids.place(id)
        if place is None:
            raise KeyError(id)
        return place


class AsBase64:
    """Pictures in the table itself."""

    def known(self, id: str) -> str:
        return ""

    def add(self, id: str, content: bytes) -> str:
        return base64.b64encode(content).decode()


def write_pairs(
    pairs: ByPair,
    files: Growing,
    name: str,
    line: Callable[[Text | None, str, str], bytes],
    stored: Stored,
    options: Options,
    writing: Writing,
) -> None:
    """The rows of a table among growing files, from where they are.

    line: (text, id of its picture, the picture's cell) -> the row; None or "" for what there is not. A picture that
    cannot be read is a failure, its texts stay.
    """
    writing.expect(len(pairs), files.done)
    noted = files.state.setdefault("lost", [])
    lost = set(noted)
    for number, (text, ids) in enumerate(pairs.rows(files.done), files.done):
        rows = []
        for id in ids:
            cell = stored.known(id)
            if not cell and id not in lost:
                content = writing.picture(pairs.dataset, id, options.jpeg)
                if content is None:
                    lost.add(id)
                    noted.append(id)
                else:
                    cell = stored.add(id, content)
            if cell:
                rows.append(line(text, id, cell))
        if text is not None and not rows:
            rows.append(line(text, "", ""))
        files.write(name, b"".join(rows))
        files.step(number + 1)
        writing.advance(1)


def write_table(dataset: Dataset, file: Path, split: str, options: Options, writing: Writing) -> None:
    """The file of a table, and the folder STEM_images beside it; see table_rows.write."""
    pairs = ByPair(dataset)
    left_out(dataset, ["boxes"], writing)
    inside = "image_base64" in options.columns
    folder = f"{file.stem}_images"
    table = _Table(dataset, file, list(pairs.columns), inside, options.columns)
    told = {**about(dataset, options), "to": "table", "as": split}
    with writing.growing(file.parent, [file.name], told) as files:
        if not files.size(file.name):
            files.write(file.name, table.header())
        pictures = NewPictures(file.parent / folder, file.parent / f".{folder}", files.done > 0, writing.overwrite)
        stored = AsBase64() if inside else AsFiles(pictures, pairs.ids, f"{folder}/")
        write_pairs(pairs, files, file.name, table.line, stored, options, writing)
        pictures.finish()


class _Table:
    """Lines of a table."""

    def __init__(self, dataset: Dataset, file: Path, rest: list[str], inside: bool, names: Mapping[str, str]) -> None:
        self._dataset = dataset
        self._separator = ENDINGS[file.suffix.lower()]
        self._rest = rest
        boxes = ["boxes"] if dataset.picture_columns else []
        kind = [] if dataset.kind == PAIRS else ["kind"]
        ours = ["image_base64" if inside else "image", "text", "image_id", "text_id", *boxes, *kind]
        self._names = {name: names.get(name, name) for name in ours}

    def header(self) -> bytes:
        """The first line; none of JSON lines."""
        if not self._separator:
            return b""
        return record_of([*self._names.values(), *self._rest], self._separator)

    def line(self, text: Text | None, id: str, cell: str) -> bytes:
        """One row."""
        values = {"image": cell, "image_base64": cell, "image_id": id, "kind": self._dataset.kind}
        values |= {"text": "" if text is None else text.text, "text_id": "" if text is None else text.id}
        row: dict[str, Any] = {theirs: values[ours] for ours, theirs in self._names.items() if ours != "boxes"}
        columns = {} if text is None else text.columns
        boxes = boxes_of(self._dataset, id)
        if self._separator:
            if "boxes" in self._names:
                row[self._names["boxes"]] = "" if boxes is None else json.dumps(boxes)
            ordered = [str(row[theirs]) for theirs in self._names.values()]
            return record_of([*ordered, *(_cell(columns.get(name)) for name in self._rest)], self._separator)
        row = {name: value for name, value in row.items() if value != "" or name == self._names["text"]}
        row |= {} if boxes is None else {self._names["boxes"]: boxes}
        row |= {name: value for name, value in columns.items() if name not in row}
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _cell(value: Any) -> str:
    """A value as `table_rows` reads it again: a text as it is, unless it could be taken for JSON."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value, ensure_ascii=False)
