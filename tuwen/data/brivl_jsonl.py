"""BriVL's data files: rows of a picture's path, its sentences and boxes; and the two lists of its second line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuwen.data.folder import Failure
from tuwen.errors import InputError
from tuwen.types import Sample

FOLDER = "jsonls"  # beside imgs, in the original's data folder
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
    """Whether one of the first rows has two of image_id, sentences and bbox."""
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
