"""A dataset on its way into rows: one for each picture with its texts, or for each text with its pictures."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.growing import Growing
from tuwen.data.ids import Ids
from tuwen.data.options import Options, Writing


class ByPicture:
    """Every picture with its texts, in the order of the pictures; then the texts without one, each a row of its own.

    Looks at every text once.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.ids = Ids(dataset.pictures)
        self.columns = False  # whether a text has some
        owners, numbers, loose = array("q"), array("q"), array("q")
        for number, text in enumerate(dataset.texts):
            self.columns |= bool(text.columns)
            places = {place for id in text.image_ids if (place := self.ids.place(id)) is not None}
            owners.extend(places)
            numbers.extend([number] * len(places))
            if not places:
                loose.append(number)
        of = np.asarray(owners, dtype=np.int64)
        order = np.argsort(of, kind="stable")
        self._texts = np.asarray(numbers, dtype=np.int64)[order]
        self._ends = np.cumsum(np.bincount(of, minlength=len(self.ids)))
        self._loose = loose

    def __len__(self) -> int:
        return len(self.ids) + len(self._loose)

    def rows(self, start: int = 0) -> Iterator[tuple[str, list[int]]]:
        """(id of the picture, "" for none; numbers of its texts) from a row on."""
        for place in range(start, len(self.ids)):
            first = int(self._ends[place - 1]) if place else 0
            yield self.ids[place], self._texts[first : int(self._ends[place])].tolist()
        for number in self._loose[max(start - len(self.ids), 0) :]:
            yield "", [number]

    def single(self) -> bool:
        """Whether every picture has one text at most."""
        counts = np.diff(self._ends, prepend=0)
        return bool((counts <= 1).all())

    def cells(self, id: str, numbers: list[int], single: bool = False) -> dict[str, Any]:
        """A row as plain data: image_id, text, text_id, and where there is something, columns and boxes.

        text, text_id: lists, or one of each or none with `single`; columns: a dictionary for each text.
        """
        texts = [self.dataset.texts[number] for number in numbers]
        words, ids = [text.text for text in texts], [text.id for text in texts]
        row: dict[str, Any] = {"image_id": id or None}
        row |= {"text": next(iter(words), None), "text_id": next(iter(ids), None)} if single else {}
        row |= {} if single else {"text": words, "text_id": ids}
        if any(text.columns for text in texts):
            row["columns"] = [text.columns for text in texts]
        boxes = boxes_of(self.dataset, id)
        if boxes is not None:
            row["boxes"] = boxes
        if self.dataset.kind != PAIRS:
            row["kind"] = self.dataset.kind
        return row


def contents(
    rows: ByPicture, files: Growing, options: Options, writing: Writing
) -> Iterator[tuple[int, list[tuple[str, bytes, list[int]]]]]:
    """(number of the row, what to write for it) from where the files are; a picture of no bytes is none.

    What to write: (id, bytes, numbers of the texts). A picture that cannot be read is a failure; a text all of whose
    pictures are lost is written without one.
    """
    writing.expect(len(rows), files.done)
    noted = files.state.setdefault("lost", [])
    lost, dataset = set(noted), rows.dataset
    for number, (id, texts) in enumerate(rows.rows(files.done), files.done):
        content = writing.picture(dataset, id, options.jpeg) if id else b""
        if content is None:
            noted.append(id)
            lost.add(id)
            alone = [
                text
                for text in texts
                if all(one in lost or one not in dataset.pictures for one in dataset.texts[text].image_ids)
            ]
            yield number, [("", b"", [text]) for text in alone]
        else:
            yield number, [(id, content, texts)]
        writing.advance(1)


class ByPair:
    """Every text with its pictures that are there, in the order of the texts; then pictures that no text names."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.ids = Ids(dataset.pictures)
        self.columns: dict[str, None] = {}
        named = np.zeros(len(self.ids), dtype=bool)
        for text in dataset.texts:
            self.columns |= dict.fromkeys(text.columns)
            named[[place for id in text.image_ids if (place := self.ids.place(id)) is not None]] = True
        self._rest = np.flatnonzero(~named)

    def __len__(self) -> int:
        return len(self.dataset.texts) + len(self._rest)

    def rows(self, start: int = 0) -> Iterator[tuple[Text | None, list[str]]]:
        """(text, ids of its pictures), or (None, [the id of a picture]), from a row on."""
        for text in islice(self.dataset.texts, start, None):
            yield text, [id for id in dict.fromkeys(text.image_ids) if id in self.ids]
        for place in self._rest[max(start - len(self.dataset.texts), 0) :].tolist():
            yield None, [self.ids[place]]


def boxes_of(dataset: Dataset, id: str) -> Any:
    """The boxes of a picture, None where nothing is said of them."""
    return dataset.picture_columns[id].get("boxes") if id and id in dataset.picture_columns else None


def left_out(dataset: Dataset, kept: Sequence[str], writing: Writing) -> None:
    """Say which columns of pictures a format does not keep."""
    names = dict.fromkeys(name for about in dataset.picture_columns.values() for name in about)
    lost = [name for name in names if name not in kept]
    if lost:
        writing.notes.append(f"what the dataset says of its pictures as {', '.join(lost)} is left out")
