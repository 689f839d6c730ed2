"""Texts and pictures of a dataset that lie somewhere in groups or under names: read when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.data.dataset import Text
from tuwen.data.lookup import ByNumber
from tuwen.errors import InputError


class Grouped(ByNumber[Text]):
    """Texts in groups, such as the captions of one picture in one row of a table; a group is read as a whole.

    counts: how many texts each group has; read: number of a group -> its texts, `counts` of them.
    """

    def __init__(self, counts: Sequence[int] | np.ndarray[Any, Any], read: Callable[[int], list[Text]]) -> None:
        self._ends = np.cumsum(np.asarray(counts, dtype=np.int64))
        self._read = read
        self._last: tuple[int, list[Text]] = (-1, [])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def at(self, number: int) -> Text:
        """One text out of its group."""
        group = int(np.searchsorted(self._ends, number, side="right"))
        texts = self._group(group)
        return texts[number - int(self._ends[group]) + len(texts)]

    def __iter__(self) -> Iterator[Text]:
        for group in range(len(self._ends)):
            yield from self._group(group)

    def _group(self, group: int) -> list[Text]:
        number, texts = self._last
        if number != group:
            texts = self._read(group)
            expected = int(self._ends[group]) - (int(self._ends[group - 1]) if group else 0)
            if len(texts) != expected:
                raise InputError(f"a row that had {expected} texts when it was opened has {len(texts)}: it has changed")
            self._last = (group, texts)
        return texts

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": (-1, [])}


@dataclass(frozen=True)
class Counts:
    """Pictures of a dataset: how many files are there, how many are spoken of, and how many of those are there."""

    files: int
    named: int
    used: int

    def __add__(self, other: Counts) -> Counts:
        """Of two splits that share their folders."""
        return Counts(self.files, self.named + other.named, self.used + other.used)


class PictureFiles(Mapping[str, Path]):
    """Pictures that are files: id -> path, in the order in which they were added."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = list(folders)
        self._names: dict[str, str | None] = {}  # None: the id itself
        self._where: dict[str, int] = {}  # of those that are not in the first folder

    def add(self, id: str, name: str, folder: int) -> None:
        """One more. name: of its file below that folder."""
        self._names[id] = None if name == id else name
        if folder:
            self._where[id] = folder

    def __getitem__(self, id: str) -> Path:
        name = self._names[id]
        return self._folders[self._where.get(id, 0)] / (id if name is None else name)

    def __contains__(self, id: object) -> bool:
        return id in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Folders:
    """Folders of pictures, each listed once: which names are there, and in which folder."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = list(folders)
        self._names = [frozenset(_listed(folder)) for folder in self.folders]

    def __len__(self) -> int:
        """How many files there are."""
        return sum(map(len, self._names))

    def __iter__(self) -> Iterator[str]:
        for names in self._names:
            yield from names

    def find(self, name: str) -> int:
        """The first folder that has a file of that name; -1 where none has."""
        return next((number for number, names in enumerate(self._names) if name in names), -1)

    def said(self) -> str:
        """The folders, for messages."""
        return " or ".join(map(str, self.folders))


class Tree:
    """Files below a folder by their paths; each folder is listed when it is first asked about."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, name: str) -> bool:
        folder, _, base = name.rpartition("/")
        if folder not in self._names:
            place = self.root / folder
            self._names[folder] = frozenset(_listed(place)) if place.is_dir() else frozenset()
        return base in self._names[folder]


def first_folder(candidates: Iterable[Path], what: str) -> Path:
    """The first that is a folder; InputError names them all."""
    tried = list(dict.fromkeys(candidates))
    for folder in tried:
        if folder.is_dir():
            return folder
    places = " or ".join(map(str, tried))
    raise InputError(f"{what} are not there: expected them in {places}; name their folder with --pictures")


def _listed(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if not entry.name.startswith(".") and not entry.is_dir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}") from None
