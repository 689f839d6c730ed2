"""ERNIE-ViL 2.0's data file: text, id and base64 picture of one row, between tabs; read row by row, and written."""

from __future__ import annotations

import base64
import binascii
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tuwen.data.by_picture import ByPair, left_out
from tuwen.data.cells import begins_like_a_picture
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.options import DEFAULT, Options, Writing, about
from tuwen.data.picture_rows import Row as PictureRow
from tuwen.data.picture_rows import open_rows
from tuwen.data.table_writing import AsBase64, write_pairs
from tuwen.errors import InputError
from tuwen.types import Sample

NAME = "ernie-tsv"
TITLE = "ERNIE-ViL 2.0's data file: text, id and base64 picture of a row between tabs"
KINDS = (PAIRS,)

ENDINGS = (".data", ".tsv")  # of files in a folder; a single file may have any
LEFT = (
    "texts without a picture are left out",
    "pictures without a text are left out",
    "texts or ids have blanks in place of tabs and ends of lines, or lost those around them",
)
LOOKED_AT = 20  # rows, to tell what a file is


@dataclass(frozen=True)
class Row:
    """One row. number: its line, from 1; offset: where it begins, in bytes; picture: the base64 of its last column."""

    number: int
    offset: int
    text: str
    id: str
    picture: str


def fields(line: str) -> tuple[str, str, str]:
    """(text, id, picture) of a line, as the original reads it: the first column is the text, the last the picture.

    White space around the whole line goes first, so an empty text lets the id take its place, and in a line without a
    tab text and picture are the same. Columns are not counted: the id is the second of three or more, else empty.
    """
    columns = line.strip().split("\t")
    return columns[0], columns[1] if len(columns) > 2 else "", columns[-1]


def rows(path: Path) -> Iterator[Row]:
    """Every row, blank lines too, one in memory at a time. InputError for a file that cannot be read as UTF-8."""
    for number, offset, part in _lines(path):
        try:
            yield Row(number, offset, *fields(part.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path.name}, line {number} is not UTF-8 text (byte {error.start}): convert it, e.g. iconv -f gb18030 "
                "-t utf-8"
            ) from None


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, offset, line)."""
    offset, number = 0, 0
    try:
        with path.open("rb") as file:
            for line in file:
                for part in _parts(line):
                    number += 1
                    yield number, offset, part
                    offset += len(part)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _parts(line: bytes) -> list[bytes]:
    """What ends in \\n, as Python's text files cut it: a lone \\r ends a line, too."""
    return line.splitlines(keepends=True) if b"\r" in line else [line]


def looks_like(path: Path) -> bool:
    """Whether one of the first rows of a file has three columns or more and a picture in the last; or such a folder."""
    if path.is_dir():
        return bool(splits(path))
    try:
        for row, _ in zip(rows(path), range(LOOKED_AT), strict=False):
            if row.id and begins_like_a_picture(row.picture):
                return True
    except InputError:
        return False
    return False


def read(path: Path, failed: Callable[[Failure], None]) -> Iterator[Sample]:
    """Every good row as a sample: `image` the bytes of its picture's file, `columns` its "line" and "offset".

    failed is told of every other row. InputError for a file that cannot be read, or is empty.
    """
    found = False
    for row in rows(path):
        found = True
        name = f"{path.name}:{row.number}"
        try:
            image = decoded(row)
        except InputError as error:
            failed(Failure(name, str(error)))
            continue
        yield Sample(image, row.text, row.id or name, name, {"line": row.number, "offset": row.offset})
    if not found:
        raise InputError(f"{path} is empty: expected rows of text, id and base64 picture with tabs between them")


def decoded(row: Row) -> bytes:
    """The file that is a row's picture; InputError says what is there instead."""
    if not row.picture:
        raise InputError("the line is empty")
    if row.picture == row.text:
        raise InputError("it has no tab: expected text, id and picture with tabs between them")
    try:
        image = base64.b64decode(row.picture)  # letters that base64 does not have are passed over, as in the original
    except (binascii.Error, ValueError) as error:
        raise InputError(f"its last column is not base64 ({error})") from None
    if not image:
        raise InputError("its last column holds no picture")
    return image


def picture_at(path: Path, offset: int) -> bytes:
    """The picture of the row that begins at `offset`; InputError where the file has changed since."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            line = _parts(file.readline())[0].decode("utf-8", "replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    return decoded(Row(0, offset, *fields(line)))


# -- as a dataset -----------------------------------------------------------------------------------------------------


def splits(path: Path) -> list[str]:
    """The names of such files in a folder up to their first point (test.coco.data is test)."""
    return list(_files(path)) if path.is_dir() else []


def _files(folder: Path) -> dict[str, Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix in ENDINGS and file.is_file())
    return {file.name.partition(".")[0]: file for file in files if file.name[0] != "." and looks_like(file)}


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """One file. Ids of pictures are those of the rows, those of texts FILE:LINE."""
    del options
    file = _files(path)[split] if path.is_dir() else path
    dataset = open_rows(NAME, path, ErnieRows(file), split or file.name.partition(".")[0])
    if not len(dataset.texts) and not dataset.failures:
        raise InputError(f"{file} is empty: expected rows of text, id and base64 picture with tabs between them")
    return dataset


class ErnieRows:
    """The good rows of a file by number: where each begins."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets, self._numbers = array("q"), array("q")

    def scan(self, failures: list[Failure]) -> Iterator[PictureRow]:
        """Every row with a text and a picture."""
        for number, offset, line in _lines(self._path):
            place = f"{self._path.name}:{number}"
            try:
                row = self._parsed(number, offset, line)
                decoded(row)
            except InputError as error:
                cut = "" if line.endswith((b"\n", b"\r")) else ", and the file ends in this row"
                failures.append(Failure(place, f"{error}{cut}"))
                continue
            self._offsets.append(offset)
            self._numbers.append(number)
            yield self._row(row)

    def _parsed(self, number: int, offset: int, line: bytes) -> Row:
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"it is not UTF-8 text (byte {error.start})") from None
        return Row(number, offset, *fields(text))

    def _read(self, number: int) -> Row:
        offset = self._offsets[number]
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return self._parsed(self._numbers[number], offset, _parts(file.readline())[0])
        except OSError as error:
            raise InputError(f"{self._path} cannot be read: {error.strerror or error}") from None

    def _row(self, row: Row) -> PictureRow:
        place = f"{self._path.name}:{row.number}"
        return PictureRow(place, row.id or place, (Text(place, row.text, (), place),))

    def __getitem__(self, number: int) -> PictureRow:
        return self._row(self._read(number))

    def picture(self, number: int) -> bytes:
        """What the base64 stands for."""
        return decoded(self._read(number))

    def stamp(self, number: int) -> bytes:
        """The base64."""
        return self._read(number).picture.encode()


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """A row for each pair in the file `target`, .data or .tsv, or in SPLIT.coco.data of the folder `target`.

    The original reads no file without "coco" in its path. Rows hold nothing but a text, an id of the picture and the
    picture: what cannot stand there is left out and told in the notes.
    """
    file = target if target.suffix in ENDINGS else target / f"{split or 'data'}.coco.data"
    pairs = ByPair(dataset)
    left_out(dataset, [], writing)
    if pairs.columns:
        writing.notes.append(f"what the dataset says of its texts as {', '.join(pairs.columns)} is left out")
    with writing.growing(file.parent, [file.name], {**about(dataset, options), "to": NAME}) as files:
        counts = files.state.setdefault("counts", [0, 0, 0])  # as LEFT

        def line(text: Text | None, id: str, cell: str) -> bytes:
            if text is None or not cell:
                counts[1 if text is None else 0] += 1
                return b""
            words, name = _within_a_row(text.text), _within_a_row(id)
            if not words:
                writing.fail(text.id, "its text is empty: a row of this format must have one")
                return b""
            counts[2] += words != text.text or name != id
            return f"{words}\t{name}\t{cell}\n".encode()

        write_pairs(pairs, files, file.name, line, AsBase64(), options, writing)
    writing.notes += [f"{count} {what}" for count, what in zip(counts, LEFT, strict=True) if count]
    writing.notes.append("ids of texts are left out: rows have none")
    if "coco" not in str(file.resolve()):
        writing.notes.append(f'the original reads no file without "coco" in its path: {file}')


def _within_a_row(text: str) -> str:
    return re.sub(r"[\t\r\n]+", " ", text).strip()
