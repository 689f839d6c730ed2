"""A folder of pictures: texts in .txt files of the same names, or in a metadata table as Hugging Face's imagefolder."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path

from tuwen.data.by_picture import ByPicture, contents, left_out
from tuwen.data.cells import HELD, kind_of
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.folder import PICTURES, TEXTS, Failure, read_lines
from tuwen.data.ids import Ids
from tuwen.data.options import DEFAULT, Options, Writing, about
from tuwen.data.picture_files import NewPictures, ending_of, file_name
from tuwen.data.picture_rows import Row, open_rows
from tuwen.data.table_rows import METADATA, TableRows
from tuwen.errors import InputError

NAME = "folder"
TITLE = "a folder of pictures with .txt files of the same names, or with metadata.jsonl or metadata.csv"
KINDS = HELD

SPLITS = ("train", "valid", "validation", "val", "dev", "test")
TABLES = (f"{METADATA}.jsonl", f"{METADATA}.csv")
LOOKED_AT = 50  # entries of a folder, where only its form is asked for


def looks_like(path: Path) -> bool:
    """A folder with pictures in it, or in its folders, or with a table of metadata."""
    return path.is_dir() and (bool(splits(path)) or _holds_pictures(path, 1))


def splits(path: Path) -> list[str]:
    """The folders that are called as splits are and hold pictures, where there is nothing beside them."""
    if not path.is_dir() or table_of(path) is not None or _holds_pictures(path, 0):
        return []
    return [name for name in SPLITS if (path / name).is_dir() and _holds_pictures(path / name, 1)]


def table_of(path: Path) -> Path | None:
    """The table of metadata of a folder."""
    return next((path / name for name in TABLES if (path / name).is_file()), None)


def _holds_pictures(path: Path, deep: int) -> bool:
    if table_of(path) is not None:
        return True
    with os.scandir(path) as entries:
        some = [entry for entry, _ in zip(entries, range(LOOKED_AT), strict=False) if not entry.name.startswith(".")]
    if any(_ending(entry.name) in PICTURES and entry.is_file() for entry in some):
        return True
    return deep > 0 and any(_holds_pictures(Path(entry.path), deep - 1) for entry in some if entry.is_dir())


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """Pictures by their paths below the folder, searched to the bottom. Each line of a .txt file is a text.

    With a table of metadata (file_name, text, and the other columns of a table) only what it names counts; how many
    pictures it does not name stands in the notes.
    """
    root = path / split if split else path
    table = table_of(root)
    if table is None:
        dataset = open_rows(NAME, path, FolderRows(root), split, options.kind or PAIRS)
        if not len(dataset.pictures) and not dataset.failures:
            raise InputError(f"{root} holds no pictures: expected files ending in {' '.join(sorted(PICTURES))}")
        return dataset
    rows = TableRows(table, options)
    dataset = open_rows(NAME, path, rows, split, kind_of(rows.columns, rows.first, options))
    total = sum(_ending(name) in PICTURES for name in _files(root))
    if total > len(dataset.pictures):
        dataset.notes.append(f"{table.name} names {len(dataset.pictures)} of the {total} pictures in {root.name}")
    return dataset


class FolderRows:
    """Pictures of a folder with the lines of their .txt files; then .txt files without a picture."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names = Ids()
        self._side = Ids()  # the text file of each row
        self._has = array("b")  # bits: 1, a picture; 2, a text file

    def scan(self, failures: list[Failure]) -> Iterator[Row]:
        """Everything below the folder."""
        texts = {name: None for name in _files(self._root) if _ending(name) in TEXTS}
        for name in _files(self._root):
            if _ending(name) not in PICTURES:
                continue
            try:
                name.encode()
                if not (self._root / name).is_file():
                    raise InputError("it leads nowhere")
            except UnicodeEncodeError:
                failures.append(
                    Failure(os.fsencode(name).decode("utf-8", "replace"), "its name is not UTF-8: rename it")
                )
                continue
            except InputError as error:
                failures.append(Failure(name, str(error)))
                continue
            stem = name[: -len(_ending(name))]
            side = next((one for ending in (".txt", ".TXT") if (one := stem + ending) in texts), "")
            if side:
                del texts[side]  # the first picture of a name has it
            yield from self._add(name, side, failures)
        for side in texts:
            yield from self._add("", side, failures)

    def _add(self, name: str, side: str, failures: list[Failure]) -> Iterator[Row]:
        try:
            row = self._row(name, side)
        except InputError as error:
            failures.append(Failure(side, str(error)))
            if not name:
                return
            side, row = "", self._row(name, "")
        self._names.add(name.encode())
        self._side.add(side.encode())
        yield row

    def _row(self, name: str, side: str) -> Row:
        lines = read_lines(self._root / side) if side else []
        texts = tuple(Text(f"{side}:{number}", text, (), f"{side}:{number}") for number, text in lines)
        return Row(name or side, name, texts)

    def __getitem__(self, number: int) -> Row:
        return self._row(self._names[number], self._side[number])

    def picture(self, number: int) -> Path:
        """Its path."""
        return self._root / self._names[number]

    def stamp(self, number: int) -> bytes:
        """Its name."""
        return self._names[number].encode()


def _files(folder: Path) -> Iterator[str]:
    """Paths below a folder, with forward slashes, in the order of their names; nothing hidden."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(where).relative_to(folder).as_posix()
        yield from ((name if below == "." else f"{below}/{name}") for name in sorted(names) if name[0] != ".")


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - names are plain text here


# -- writing ----------------------------------------------------------------------------------------------------------


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """Pictures in the folder `target`, or `target`/SPLIT, called after their ids, and metadata.jsonl with their rows.

    text and text_id are lists where a picture of the dataset has several. A text without a picture has a row without a
    file_name, which Hugging Face's reader does not take.
    """
    folder = target / split if split else target
    rows = ByPicture(dataset)
    left_out(dataset, ["boxes"], writing)
    single = rows.single()
    name = TABLES[0]
    with writing.growing(folder, [name], {**about(dataset, options), "to": NAME, "as": split}) as files:
        pictures = NewPictures(folder, folder / ".pictures", files.done > 0, writing.overwrite)
        for number, found in contents(rows, files, options, writing):
            for id, content, texts in found:
                row = rows.cells(id, texts, single)
                if id:
                    file = file_name(id, ending_of(content, id), rows.ids)
                    pictures.write(file, content)
                    row = {"file_name": file, **row}
                files.write(name, json.dumps(row, ensure_ascii=False).encode() + b"\n")
            files.step(number + 1)
        pictures.finish()
