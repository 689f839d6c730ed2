"""Captions of pictures from the web as BridgeTower reads them: Conceptual Captions and SBU, beside their folders."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.grouped import Counts, Folders, Grouped, PictureFiles, first_folder
from tuwen.data.json_items import items
from tuwen.data.options import DEFAULT, Options
from tuwen.errors import InputError

NAME = "web-captions"
TITLE = "Conceptual Captions (utils/*.tsv, *_image_exist.txt, *_image) or SBU (sbu-captions-all.json, SBU)"
KINDS = (PAIRS,)

TABLES = {"train": "Train_GCC-training.tsv", "val": "Validation_GCC-1.1.0-Validation.tsv"}
SBU = "sbu-captions-all.json"


def looks_like(path: Path) -> bool:
    """A folder with one of the tables, or with sbu-captions-all.json."""
    return bool(splits(path))


def splits(path: Path) -> list[str]:
    """train and val of Conceptual Captions; sbu."""
    if not path.is_dir():
        return []
    found = [split for split in TABLES if _table(path, split).is_file() and _list(path, split).is_file()]
    return [*found, *(["sbu"] if (path / SBU).is_file() else [])]


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """A caption for each picture; ids are the names of the pictures' files, as are those of the captions.

    Conceptual Captions: a file of *_image_exist.txt is named after the row of the table that is its caption, from 0;
    SBU: after the last part of its address. Pictures that are not there, or have no row, are failures.
    """
    return read(path, split, options)[0]


def read(path: Path, split: str, options: Options = DEFAULT) -> tuple[Dataset, Counts]:
    """The same, and how many pictures there are."""
    if split not in (*TABLES, "sbu"):
        raise InputError(f"there is no split {split!r} here: name {', '.join(TABLES)} or sbu")
    folder = options.pictures or path / ("SBU" if split == "sbu" else f"{split}_image")
    folders = Folders([first_folder([folder], f"the pictures of {split}")])
    pictures = PictureFiles(folders.folders)
    dataset = Dataset(NAME, path, PAIRS, pictures, [], split)
    captions, named = _sbu(path) if split == "sbu" else _conceptual(path, split, dataset.failures)
    rows = array("q")
    places: list[str] = []
    for name, row in named.items():
        if folders.find(name) < 0:
            dataset.failures.append(Failure(name, f"its picture is not in {folders.said()}"))
        else:
            pictures.add(name, name, 0)
            rows.append(row)
            places.append(name)
    file = SBU if split == "sbu" else TABLES[split]
    dataset.texts = Grouped([1] * len(rows), partial(_caption, captions, rows, places, file))
    return dataset, Counts(len(folders), len(named), len(pictures))


class Strings(Sequence[str]):
    """Millions of texts in little more room than their letters."""

    def __init__(self) -> None:
        self._letters = bytearray()
        self._ends = array("q")

    def append(self, text: str) -> None:
        """One more."""
        self._letters += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._letters))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]  # no slices
        start = self._ends[place - 1] if place else 0
        return self._letters[start : self._ends[place]].decode("utf-8", "surrogatepass")


def _caption(captions: Strings, rows: array[int], names: list[str], file: str, number: int) -> list[Text]:
    name = names[number]
    return [Text(name, captions[rows[number]], (name,), f"{file}:{rows[number] + 1}")]


def _table(path: Path, split: str) -> Path:
    return path / "utils" / TABLES[split] if (path / "utils").is_dir() else path / TABLES[split]


def _list(path: Path, split: str) -> Path:
    return path / f"{split}_image_exist.txt"


def _conceptual(path: Path, split: str, failures: list[Failure]) -> tuple[Strings, dict[str, int]]:
    """(captions, name of a picture -> row of its caption)."""
    captions, named = Strings(), {}
    for row in _tsv_rows(_table(path, split)):
        captions.append(row[0])
    file = _list(path, split)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        name = line.strip().rpartition("/")[2]
        stem = name.partition(".")[0]
        if not name:
            continue
        if not stem.isdecimal() or int(stem) >= len(captions):
            reason = f"{name} is not named after one of the {len(captions)} rows of {TABLES[split]}"
            failures.append(Failure(f"{file.name}:{number}", reason))
        else:
            named[name] = int(stem)
    return captions, named


def _tsv_rows(path: Path) -> Iterator[list[str]]:
    """The rows that are not empty, quoted as pandas reads them: the names of the pictures count these."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, delimiter="\t")
            yield from (row for row in reader if row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def _sbu(path: Path) -> tuple[Strings, dict[str, int]]:
    """The same; of addresses that end alike, the last caption counts."""
    captions, named = Strings(), {}
    for item in items(path / SBU, "captions"):
        captions.append(str(item.value))
    for item in items(path / SBU, "image_urls"):
        named[str(item.value).rpartition("/")[2]] = item.number
    if len(captions) <= max(named.values(), default=-1):
        raise InputError(f"{path / SBU} has {len(captions)} captions, but more addresses")
    return captions, named
