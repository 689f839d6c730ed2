"""Whole numbers for ids that may be any text, for formats that want numbers: the ids themselves where they are some."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tuwen.data.ids import Ids

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


def is_number(id: str) -> bool:
    """Whether an id is a whole number, written so that it comes back the same."""
    return _NUMBER.fullmatch(id) is not None


class Numbers:
    """The number of each of the ids of pictures: the id itself where all are numbers, else its place from 0."""

    def __init__(self, ids: Iterable[str]) -> None:
        numbers_only = ids.all_numbers if isinstance(ids, Ids) else all(map(is_number, ids))
        self._places = None if numbers_only else Ids(ids)

    @property
    def given(self) -> bool:
        """Whether the ids were no numbers, so that a table has to say which is which."""
        return self._places is not None

    def __call__(self, id: str) -> int:
        if self._places is None:
            return int(id)
        place = self._places.place(id)
        if place is None:
            raise KeyError(id)
        return place


def rows(ids: Iterable[str]) -> Iterator[bytes]:
    """The table of numbers and ids, between them a tab."""
    for number, id in enumerate(ids):
        yield f"{number}\t{' '.join(id.split())}\n".encode()
