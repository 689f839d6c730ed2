"""Tables of pictures and texts as CSV, TSV or JSON lines: pictures as paths or in base64, a row for each pair."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.data.cells import HELD, Columns, check_base64, columns_of, is_base64, kind_of, picture_of, row_of, short
from tuwen.data.chinese_clip_table import MARK, lines
from tuwen.data.dataset import Dataset
from tuwen.data.folder import Failure
from tuwen.data.grouped import Tree
from tuwen.data.lines import object_of
from tuwen.data.options import DEFAULT, Options, Writing
from tuwen.data.picture_rows import Row, open_rows
from tuwen.data.separated import cells, record_at, records
from tuwen.data.table import ENDINGS
from tuwen.data.table_writing import write_table
from tuwen.errors import InputError

if TYPE_CHECKING:
    from tuwen.types import Picture

NAME = "table"
TITLE = "a table of pictures and texts: .csv, .tsv or .jsonl with columns such as image and text"
KINDS = HELD

FIRST = ("train", "valid", "test")  # the order in which splits are named
LOOKED_AT = 100  # rows, to tell the columns of JSON lines
METADATA = "metadata"  # of a folder of pictures, see picture_folder.py


def looks_like(path: Path) -> bool:
    """A file with columns of pictures and of texts, or a folder with such files."""
    if path.is_dir():
        return bool(splits(path))
    return path.is_file() and _has_both(path)


def splits(path: Path) -> list[str]:
    """The names of a folder's tables without their endings: train, valid and test first."""
    if not path.is_dir():
        return []
    found = [file.stem for file in _tables(path) if _has_both(file)]
    return sorted(dict.fromkeys(found), key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def _tables(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and not file.name.startswith(".")]
    return sorted(file for file in files if file.stem != METADATA and file.is_file())


def _has_both(path: Path) -> bool:
    if path.suffix.lower() not in ENDINGS:
        return False
    try:
        columns = columns_of(_names(path))
    except InputError:
        return False
    return columns.hold_pictures and "text" in columns.of


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """A table, or the one of a folder that is called after the split.

    Columns are known by common names, Options.columns names others: image, a path from around the file or base64, or
    image_base64; text, in JSON also a list; image_id, else the path, or FILE:LINE; text_id, else FILE:LINE; boxes; the
    others are columns of the text, in CSV those that are JSON as what they say. An empty cell is none: a row without a
    picture is a text alone, one without a text a picture alone.
    """
    if path.is_dir():
        path = next(file for file in _tables(path) if file.stem == split)
    rows = TableRows(path, options)
    dataset = open_rows(NAME, path, rows, split or path.stem, kind_of(rows.columns, rows.first, options))
    if not len(dataset.pictures) and not len(dataset.texts) and not dataset.failures:
        raise InputError(f"{path} has no rows: expected one for each picture and text")
    return dataset


def _names(path: Path) -> list[str]:
    """The names of the columns: of a header, or in the first rows of JSON lines."""
    separator = ENDINGS[path.suffix.lower()]
    if separator:
        for _, _, record, _ in records(path, separator):
            return [name.strip() for name in cells(record.removeprefix(MARK), separator)]
        return []
    names: dict[str, None] = {}
    for number, _, line in islice(lines(path), LOOKED_AT):
        try:
            names |= dict.fromkeys(object_of(number, line))
        except InputError:
            continue
    return list(names)


class TableRows:
    """The rows of a table; 24 bytes for each are kept."""

    def __init__(self, path: Path, options: Options, name: str = "") -> None:
        """name: what the file is called in places, else its own name. InputError for a table without pictures."""
        self.path = path
        self._name = name or path.name
        self._separator = ENDINGS[path.suffix.lower()]
        self._header = _names(path)
        self.columns = columns_of(self._header, options.columns)
        if not self.columns.hold_pictures:
            known = ", ".join(self._header) or "no columns"
            raise InputError(
                f"{path} has no column of pictures: it has {known}; name it, e.g. --column image=picture_path"
            )
        self._used = frozenset(self.columns.of.values())
        self._files = Files(path.parent, options.pictures)
        self._offsets, self._lengths, self._numbers = array("q"), array("q"), array("q")
        self.first: Mapping[str, Any] = next((found for _, _, found in self._all([])), {})

    def scan(self, failures: list[Failure]) -> Iterator[Row]:
        """Every row that is of the form, and whose picture is there."""
        for number, where, found in self._all(failures):
            place = f"{self._name}:{number}"
            try:
                row = self._row(number, found)
                if row.image_id:
                    self._check(found)
                elif not row.texts:
                    raise InputError("it has neither a picture nor a text")
            except InputError as error:
                failures.append(Failure(place, str(error)))
                continue
            self._numbers.append(number)
            self._offsets.append(where[0])
            self._lengths.append(where[1])
            yield row

    def _all(self, failures: list[Failure]) -> Iterator[tuple[int, tuple[int, int], dict[str, Any]]]:
        """(number of the line, (offset, length), cells) of every row that can be taken apart."""
        rows = (
            records(self.path, self._separator)
            if self._separator
            else ((number, offset, line, True) for number, offset, line in lines(self.path) if line.strip())
        )
        if self._separator:
            next(rows, None)
        for number, offset, record, whole in rows:
            try:
                if not whole:
                    raise InputError("it has a quote that is never closed")
                found = self._parse(number, record)
            except InputError as error:
                cut = "" if record.endswith(b"\n") else ", and the file ends in this row"
                failures.append(Failure(f"{self._name}:{number}", f"{error}{cut}"))
                continue
            if any(cell not in (None, "") for cell in found.values()):
                yield number, (offset, len(record)), found

    def _parse(self, number: int, record: bytes) -> dict[str, Any]:
        if not self._separator:
            return object_of(number, record)
        values = cells(record, self._separator)
        if len(values) != len(self._header) and any(values):
            raise InputError(f"it has {len(values)} columns, the first line has {len(self._header)}")
        return {
            name: value if name in self._used else _plain(value)
            for name, value in zip(self._header, values, strict=False)
        }

    def _row(self, number: int, found: Mapping[str, Any]) -> Row:
        rest = self.columns.rest if self._separator else tuple(name for name in found if name not in self._used)
        place = f"{self._name}:{number}"
        kind, value = self._picture_cell(found)
        image_id = "" if not value else value if kind == "path" else place
        return row_of(found, Columns(self.columns.of, rest), place, image_id)

    def _picture_cell(self, found: Mapping[str, Any]) -> tuple[str, str]:
        """("base64" or "path", the cell)."""
        for ours in ("image_base64", "image"):
            value = found.get(self.columns.of.get(ours, ""))
            if isinstance(value, dict):  # {"bytes", "path"}: the first cannot be in a text file
                value = value.get("path")
            if value in (None, ""):
                continue
            if not isinstance(value, str):
                raise InputError(f"its {self.columns.of[ours]} is {short(value)}, expected a path or base64")
            return ("base64" if ours == "image_base64" or is_base64(value) else "path"), value
        return "", ""

    def _check(self, found: Mapping[str, Any]) -> None:
        kind, value = self._picture_cell(found)
        if kind == "base64":
            check_base64(value)
        else:
            self._files.find(value)

    def __getitem__(self, number: int) -> Row:
        return self._row(self._numbers[number], self._read(number))

    def picture(self, number: int) -> Picture:
        """A path, or what the base64 stands for."""
        kind, value = self._picture_cell(self._read(number))
        return picture_of(value) if kind == "base64" else self._files.find(value)

    def stamp(self, number: int) -> bytes:
        """The path or the base64, and the boxes."""
        found = self._read(number)
        return "\0".join([*self._picture_cell(found), json.dumps(self._row(0, found).about)]).encode()

    def _read(self, number: int) -> dict[str, Any]:
        line = self._numbers[number]
        try:
            return self._parse(line, record_at(self.path, self._offsets[number], self._lengths[number]))
        except InputError as error:
            raise InputError(f"{self.path}, line {line} has changed since it was opened: {error}") from None


def _plain(cell: str) -> Any:
    """What a cell of a column of its own says: JSON where it is some."""
    try:
        return json.loads(cell)
    except ValueError:
        return cell


class Files:
    """Where pictures are that a table names: in `pictures`, else around the table."""

    def __init__(self, folder: Path, pictures: Path | None) -> None:
        around = [folder, folder / "images", folder / "imgs", folder.parent, Path()]
        self._trees = [Tree(place) for place in ([pictures] if pictures is not None else around)]

    def find(self, name: str) -> Path:
        """The file of a name; InputError says where it is not."""
        plain = name.replace("\\", "/").removeprefix("./")
        simple = not plain.startswith(("/", "../")) and "/../" not in plain
        for tree in self._trees:
            if plain in tree if simple else (tree.root / name).is_file():
                return tree.root / (plain if simple else name)
        places = ", ".join(dict.fromkeys(str(tree.root.resolve()) for tree in self._trees))
        raise InputError(f"its picture {name} is not in {places}: name its folder with --pictures")


# -- writing ----------------------------------------------------------------------------------------------------------


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """The table `target`, .csv, .tsv or .jsonl, or SPLIT.jsonl in the folder `target`, and the folder of its pictures.

    A row for each pair; rows without a picture or without a text for what is in no pair. Pictures lie in STEM_images
    beside the table; with the column image_base64 in Options.columns they stand in the table.
    """
    file = target if target.suffix.lower() in ENDINGS else target / f"{split or 'data'}.jsonl"
    write_table(dataset, file, split, options, writing)
