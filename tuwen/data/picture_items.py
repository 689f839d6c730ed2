"""Pictures that the items of a JSON list speak of, each item with all texts of its picture."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tuwen.data.dataset import Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.grouped import Counts, Folders, Grouped, PictureFiles
from tuwen.data.json_items import Item, items_at


class PictureItems:
    """Pictures by their ids, and where the items are that hold their texts: these are read when they are asked for.

    file: with the list; list: its name there, where it has one; folders: of the pictures; failures: where those go that
    are not there, or came before.
    """

    def __init__(self, file: Path, folders: Sequence[Path], failures: list[Failure], list: str = "") -> None:
        self.file = file
        self.list = list
        self.failures = failures
        self.folders = Folders(folders)
        self.pictures = PictureFiles(self.folders.folders)
        self._texts, self._offsets, self._lengths = array("q"), array("q"), array("q")
        self._missing = 0

    def add(self, item: Item, id: str, name: str, texts: int) -> None:
        """One more picture. name: of its file in one of the folders; texts: how many the item has."""
        folder = self.folders.find(name)
        if id in self.pictures:
            self.fail(item, f"its picture {name} came before")
        elif folder < 0:
            self._missing += 1
            self.fail(item, f"its picture {name} is not in {self.folders.said()}")
        else:
            self.pictures.add(id, name, folder)
            self._texts.append(texts)
            self._offsets.append(item.offset)
            self._lengths.append(item.length)

    def fail(self, item: Item, reason: str) -> None:
        """Leave an item out."""
        self.failures.append(Failure(f"{self.file.name}{':' * bool(self.list)}{self.list}[{item.number}]", reason))

    def into(self, dataset: Dataset, texts: Callable[[Any], list[Text]]) -> Counts:
        """Make them the dataset's pictures and texts. texts: what an item holds -> its texts, as many as were said."""
        dataset.pictures = self.pictures
        dataset.texts = Grouped(self._texts, partial(_read, self.file, self._offsets, self._lengths, texts))
        return Counts(len(self.folders), len(self.pictures) + self._missing, len(self.pictures))


def _read(
    file: Path, offsets: Sequence[int], lengths: Sequence[int], texts: Callable[[Any], list[Text]], group: int
) -> list[Text]:
    (value,) = items_at(file, [(offsets[group], lengths[group])])
    return texts(value)
