"""Datasets made of others without copying them: shares of one, and one with its texts cleaned."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tuwen.data.dataset import Dataset, Text
from tuwen.data.ids import Ids
from tuwen.data.lookup import ById, ByNumber
from tuwen.data.sampling import Order
from tuwen.data.tags import without_tags
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.types import Picture


class Changed(ByNumber[Text]):
    """Texts, each changed when it is asked for."""

    def __init__(self, texts: Sequence[Text], change: Callable[[str], str]) -> None:
        self._texts = texts
        self._change = change

    def __len__(self) -> int:
        return len(self._texts)

    def at(self, number: int) -> Text:
        """The changed text."""
        return self._changed(self._texts[number])

    def __iter__(self) -> Iterator[Text]:
        return map(self._changed, self._texts)

    def _changed(self, text: Text) -> Text:
        return replace(text, text=self._change(text.text))


def untagged(dataset: Dataset) -> Dataset:
    """The same with plain texts."""
    return replace(dataset, texts=Changed(dataset.texts, without_tags))


# -- shares -----------------------------------------------------------------------------------------------------------


def shares(dataset: Dataset, parts: Mapping[str, float], seed: int = 0) -> dict[str, Dataset]:
    """Name -> a share of the pictures and of their texts, drawn with a seed; together they are the dataset.

    Pictures that a text names together stay together, so that no picture and no text is in two of them. parts: name ->
    share, in all 1; each gets that share of the pictures but for what belongs together.
    """
    if not parts or abs(sum(parts.values()) - 1) > 1e-6 or min(parts.values()) <= 0:
        raise UsageError(f"the shares are {dict(parts)}: expected numbers above 0 that are 1 together")
    ids = Ids(dataset.pictures)
    groups = _groups(dataset, ids)
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = Order(len(sizes), seed).numbers(0)
    ends = np.cumsum(sizes[order])
    limits = np.cumsum(list(parts.values())) * len(ids)
    part_of_group = np.empty(len(sizes), dtype=np.int64)
    part_of_group[order] = np.minimum(np.searchsorted(limits, ends - 1e-6), len(parts) - 1)
    part_of = part_of_group[group_of]
    texts_of: list[array[int]] = [array("q") for _ in parts]
    for number, text in enumerate(dataset.texts):
        places = [ids.place(id) for id in text.image_ids]
        known = [place for place in places if place is not None]
        texts_of[int(part_of[known[0]]) if known else 0].append(number)
    return {
        name: replace(
            dataset,
            pictures=Share(dataset.pictures, Ids(id for place, id in enumerate(ids) if part_of[place] == part)),
            texts=Chosen(dataset.texts, np.array(texts_of[part], dtype=np.int64)),
            split=name,
            failures=dataset.failures if part == 0 else [],
        )
        for part, name in enumerate(parts)
    }


def _groups(dataset: Dataset, ids: Ids) -> np.ndarray[Any, Any]:
    """The group of each picture (N,): the first picture that it is connected with through texts."""
    first = list(range(len(ids)))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = first[place]
        return place

    for text in dataset.texts:
        if len(text.image_ids) > 1:
            roots = [root(place) for id in text.image_ids if (place := ids.place(id)) is not None]
            for one in roots:
                first[one] = min(roots)
    return np.array([root(place) for place in range(len(ids))], dtype=np.int64)


class Share(ById["Picture"]):
    """Some of the pictures."""

    def __init__(self, pictures: Mapping[str, Picture], ids: Ids) -> None:
        super().__init__(ids)
        self._pictures = pictures

    def at(self, place: int) -> Picture:
        """The picture itself."""
        return self._pictures[self.ids[place]]


class Chosen(ByNumber[Text]):
    """Some of the texts. numbers: (N,) int64."""

    def __init__(self, texts: Sequence[Text], numbers: np.ndarray[Any, Any]) -> None:
        self._texts = texts
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def at(self, number: int) -> Text:
        """The text itself."""
        return self._texts[int(self._numbers[number])]
