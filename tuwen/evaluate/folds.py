"""Sets that are evaluated in parts, as COCO's 5,000 test pictures are five times 1,000."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tuwen.data.ids import Ids
from tuwen.data.views import Chosen, Share
from tuwen.evaluate.scored import Column, Scored, Table, figures_of

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset

FOLD = 1000  # pictures


def selection(dataset: Dataset, ids: Iterable[str]) -> Dataset:
    """Some of the pictures, and the texts that name one of them."""
    chosen = Ids(ids)
    numbers = [n for n, text in enumerate(dataset.texts) if any(one in chosen for one in text.image_ids)]
    return replace(
        dataset,
        pictures=Share(dataset.pictures, chosen),
        texts=Chosen(dataset.texts, np.array(numbers, dtype=np.int64)),
    )


def folds(dataset: Dataset, count: int, size: int = FOLD) -> Iterator[Dataset]:
    """The dataset in at most `count` parts of `size` pictures, in their order; of a smaller one all, once."""
    ids = list(dataset.pictures)
    for number in range(min(count, max(1, len(ids) // size))):
        yield selection(dataset, ids[number * size : (number + 1) * size])


def together(parts: Sequence[Scored]) -> Scored:
    """The figures of all queries of the parts, each of which was asked of its own part alone."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    queries: dict[str, Table] = {}
    for name, table in first.queries.items():
        queries[name] = {column: _joined([part.queries[name][column] for part in parts]) for column in table}
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    said = f"{len(parts)} parts, each asked by itself: figures are over the queries of all"
    return Scored(first.task, figures_of(queries, first.made), queries, first.made, [said, *notes])


def _joined(columns: Sequence[Column]) -> Column:
    if all(isinstance(column, np.ndarray) for column in columns):
        return np.concatenate(columns)
    return [value for column in columns for value in column]
