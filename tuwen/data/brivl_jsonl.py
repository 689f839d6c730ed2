"""BriVL's data files: rows of a picture's path, its sentences and boxes; and the two lists of its second line."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuwen.data.by_picture import ByPair, boxes_of, left_out
from tuwen.data.chinese_clip_table import lines
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.lines import object_of
from tuwen.data.options import DEFAULT, Options, Writing, about
from tuwen.data.picture_files import NewPictures
from tuwen.data.picture_rows import Row, open_rows
from tuwen.data.table_writing import AsFiles, write_pairs
from tuwen.errors import InputError
from tuwen.types import Sample

NAME = "brivl"
TITLE = "BriVL: imgs/ and jsonls/SPLIT.jsonl with image_id, sentences and bbox"
KINDS = (PAIRS,)

FOLDER = "jsonls"  # beside imgs, in the original's data folder
PICTURES = "imgs"
OURS = ("id", "text_id")  # what our own files say in addition: ids that are no paths, and of texts
IMAGES, TEXTS = "images.csv", "texts.csv"  # of the second line: no header, one name or text per line
NAMES = frozenset({"image_id", "sentences", "bbox"})  # of what a row holds
SENTENCE = "sur_text"  # the name of the sentence that is the text
LOOKED_AT = 20  # rows, to tell what a file is

Failed = Callable[[Failure], None]
Box = list[float]


@dataclass(frozen=True)
class Lists:
    """The second line's input: pictures and texts that do not belong together, each with its "file:line"."""

    images: list[tuple[str, Path]]
    texts: list[tuple[str, str]]


# -- rows of the first line -------------------------------------------------------------------------------------------


def find(path: Path) -> list[Path]:
    """The jsonl files of a data folder (`imgs/` and `jsonls/`), of a folder of them, or the file itself; else none.

    All of a folder's, where one of them looks like it: what is wrong with the others is for `read` to say.
    """
    if path.is_file():
        return [path] if path.suffix.lower() == ".jsonl" else []
    folders = [path / FOLDER, *([path] if path.name == FOLDER else [])]
    files = [file for folder in folders for file in sorted(folder.glob("*.jsonl"))]
    return files if any(map(looks_like, files)) else []


def looks_like(path: Path) -> bool:
    """Whether one of the first rows has two of image_id, sentences and bbox; or of a file in jsonls/ of a folder."""
    if path.is_dir():
        return bool(find(path))
    try:
        for (_, line), _ in zip(_lines(path), range(LOOKED_AT), strict=False):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and len(NAMES & row.keys()) > 1:
                return True
    except InputError:
        return False
    return False


def read(path: Path, failed: Failed, pictures: Path | None = None) -> Iterator[Sample]:
    """Every good row of a jsonl file as a sample: `image` a path, `columns` its "line", and "boxes" as it has them.

    pictures: the folder that image_id begins at; without it the working directory, as in the original, and then the
    folders around the file are tried. failed is told of every other row: one that is no JSON object, lacks a picture, a
    sentence named sur_text or its boxes, or whose picture does not exist. InputError for a file that cannot be read.
    """
    for number, line in _lines(path):
        name = f"{path.name}:{number}"
        if not line.strip():
            failed(Failure(name, "the line is empty"))
            continue
        try:
            row = _object(line)
            image = located(_text(row, "image_id"), around(path, pictures))
            yield Sample(str(image), sentence(row), row["image_id"], name, {"line": number, "boxes": boxes(row)})
        except InputError as error:
            failed(Failure(name, str(error)))


def sentence(row: dict[str, Any]) -> str:
    """The text of a row: that of its last sentence named sur_text."""
    try:
        named = dict(row["sentences"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"its sentences are {_short(row.get('sentences'))}, expected [[name, text], ...]") from None
    if not isinstance(named.get(SENTENCE), str):
        raise InputError(f"it has no sentence named {SENTENCE}, only {', '.join(map(str, named)) or 'none'}")
    return str(named[SENTENCE])


def boxes(row: dict[str, Any]) -> list[Box]:
    """The boxes of a row, best first."""
    if "bbox" not in row:
        raise InputError('it has no bbox: "bbox": [] means a picture without boxes')
    found = row["bbox"]
    if not isinstance(found, list):
        raise InputError(f"its bbox is {_short(found)}, expected [[left, top, right, bottom], ...]")
    for number, box in enumerate(found, 1):
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            raise InputError(f"box {number} of {len(found)} is {_short(box)}, expected [left, top, right, bottom]")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"it is not JSON ({error})") from None
    if not isinstance(row, dict):
        raise InputError(f"it is {_short(row)}, expected an object with image_id, sentences and bbox")
    return row


def _text(row: dict[str, Any], key: str) -> str:
    if not isinstance(row.get(key), str) or not row[key]:
        raise InputError(f"its {key} is {_short(row.get(key))}, expected a picture's path")
    return str(row[key])


def _short(value: Any) -> str:
    text = "missing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."


# -- rows as a dataset ------------------------------------------------------------------------------------------------


def splits(path: Path) -> list[str]:
    """The names of the jsonl files of a folder without their endings."""
    return [file.stem for file in find(path)] if path.is_dir() else []


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """One jsonl file. Ids of pictures are their paths as they stand there, those of texts FILE:LINE.

    Columns of a picture: boxes, as it has them; of a text: sentences, all of them where there are several, and whatever
    else its row says.
    """
    file = next(file for file in find(path) if file.stem == split) if path.is_dir() else path
    dataset = open_rows(NAME, path, BrivlRows(file, options.pictures), split or file.stem)
    if not len(dataset.texts) and not dataset.failures:
        raise InputError(f"{file} is empty: expected rows of image_id, sentences and bbox")
    return dataset


class BrivlRows:
    """The good rows of a file by number: where each begins."""

    def __init__(self, path: Path, pictures: Path | None) -> None:
        self._path = path
        self._folders = around(path, pictures)
        self._offsets, self._numbers = array("q"), array("q")

    def scan(self, failures: list[Failure]) -> Iterator[Row]:
        """Every row with a picture that is there, a sentence and boxes."""
        for number, offset, line in lines(self._path):
            try:
                if not line.strip():
                    raise InputError("the line is empty")
                found = object_of(number, line)
                row = self._row(number, found)
                located(_text(found, "image_id"), self._folders)
            except InputError as error:
                cut = "" if line.endswith(b"\n") or "JSON" not in str(error) else ", and the file ends in this row"
                failures.append(Failure(f"{self._path.name}:{number}", f"{error}{cut}"))
                continue
            self._offsets.append(offset)
            self._numbers.append(number)
            yield row

    def _row(self, number: int, found: dict[str, Any]) -> Row:
        place = f"{self._path.name}:{number}"
        image_id = _text(found, "image_id")
        words = sentence(found)
        columns = {name: value for name, value in found.items() if name not in (*NAMES, *OURS)}
        if len(found["sentences"]) > 1:
            columns["sentences"] = found["sentences"]
        text = Text(str(found.get("text_id", place)), words, (), place, columns)
        return Row(place, str(found.get("id", image_id)), (text,), {"boxes": boxes(found)})

    def _read(self, number: int) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offsets[number])
                return object_of(self._numbers[number], file.readline())
        except OSError as error:
            raise InputError(f"{self._path} cannot be read: {error.strerror or error}") from None

    def __getitem__(self, number: int) -> Row:
        return self._row(self._numbers[number], self._read(number))

    def picture(self, number: int) -> Path:
        """Its path."""
        return located(_text(self._read(number), "image_id"), self._folders)

    def stamp(self, number: int) -> bytes:
        """The path and the boxes."""
        found = self._read(number)
        return json.dumps([found["image_id"], found["bbox"]]).encode()


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """Pictures in imgs/SPLIT and a row for each pair in jsonls/SPLIT.jsonl of the folder `target`.

    Splits may have different pictures of one id. The original opens image_id from its working directory: run it in
    `target`. Rows have an id and a text_id of ours, too; texts without a picture, and pictures without a text, are left
    out and told in the notes.
    """
    pairs = ByPair(dataset)
    left_out(dataset, ["boxes"], writing)
    name, folder = f"{split or 'data'}.jsonl", target / FOLDER
    with writing.growing(folder, [name], {**about(dataset, options), "to": NAME}) as files:
        counts = files.state.setdefault("counts", [0, 0])  # texts without a picture, pictures without a text

        def line(text: Text | None, id: str, cell: str) -> bytes:
            if text is None or not cell:
                counts[text is None] += 1
                return b""
            columns = {key: value for key, value in text.columns.items() if key not in (*NAMES, *OURS)}
            said = [pair for pair in text.columns.get("sentences", []) if pair[0] != SENTENCE]
            row = {"image_id": cell, "sentences": [*said, [SENTENCE, text.text]], "bbox": boxes_of(dataset, id) or []}
            row |= {"id": id, "text_id": text.id, **columns}
            return json.dumps(row, ensure_ascii=False).encode() + b"\n"

        inside = f"{PICTURES}/{split}" if split else PICTURES
        pictures = NewPictures(target / inside, target / f".{PICTURES}-{split}", files.done > 0, writing.overwrite)
        write_pairs(pairs, files, name, line, AsFiles(pictures, pairs.ids, f"{inside}/"), options, writing)
        pictures.finish()
    alone = ("texts without a picture", "pictures without a text")
    writing.notes += [f"{count} {what} are left out" for count, what in zip(counts, alone, strict=True) if count]


# -- lists of the second line -----------------------------------------------------------------------------------------


def find_lists(path: Path) -> Path | None:
    """The folder with images.csv and texts.csv, or one of them: `path` itself or its input_data; else none."""
    for folder in (path, path / "input_data"):
        if (folder / IMAGES).is_file() and (folder / TEXTS).is_file():
            return folder
    return None


def read_lists(folder: Path, failed: Failed, pictures: Path | None = None) -> Lists:
    """Both lists; white space around a line is no part of it, a comma is.

    pictures: the folder that the names begin at, as for `read`. failed is told of empty lines and missing pictures.
    """
    images, texts = [], []
    for number, line in _lines(folder / IMAGES):
        name = f"{IMAGES}:{number}"
        try:
            images.append((name, located(_filled(line), around(folder / IMAGES, pictures))))
        except InputError as error:
            failed(Failure(name, str(error)))
    for number, line in _lines(folder / TEXTS):
        name = f"{TEXTS}:{number}"
        try:
            texts.append((name, _filled(line)))
        except InputError as error:
            failed(Failure(name, str(error)))
    return Lists(images, texts)


def _filled(line: str) -> str:
    if not line.strip():
        raise InputError("the line is empty")
    return line.strip()


# -- both -------------------------------------------------------------------------------------------------------------


def around(path: Path, pictures: Path | None) -> tuple[Path, ...]:
    """The folders that a picture's name may begin at, the first that has it counts."""
    if pictures is not None:
        return (pictures,)
    folder = path.resolve().parent
    return (Path(), folder, folder.parent, folder.parent / "images", folder.parent / "imgs", folder.parent.parent)


def located(name: str, folders: Iterable[Path]) -> Path:
    """Where a picture is; InputError names the folders where it is not."""
    tried = []
    for folder in folders:
        path = folder / name
        if path.is_file():
            return path.resolve()
        tried.append(str(folder.resolve()))
    raise InputError(f"its picture {name} is not in {', '.join(dict.fromkeys(tried))}: name its folder with --pictures")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of a text file, one in memory at a time; InputError where it is none."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                yield number, line
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is not UTF-8 text (after line {number}, byte {error.start}): convert it, e.g. iconv -f "
            "gb18030 -t utf-8"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
