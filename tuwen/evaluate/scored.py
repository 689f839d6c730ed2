"""What an evaluator says: its figures, and the value of every single query that they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Column = np.ndarray[Any, Any] | list[Any]
Table = dict[str, Column]  # columns of equal length


@dataclass(frozen=True)
class Made:
    """How a figure comes about: the mean or median of a column of one table, or the mean of other figures.

    table, column: where its values are; how: "mean" or "median"; of: names of figures, instead of a table.
    """

    table: str = ""
    column: str = ""
    how: str = "mean"
    of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """Figures by name, shares between 0 and 1, ranks from 1.

    queries: a table per part ("text_to_image", "image_to_text", "pictures", ...), one row per query, with a column
    "id" and whatever people want to see of a query, numbers as arrays (Q,); a column "image" names the picture that a
    query is about, where several may be about one. made: how each figure comes about, so that intervals can be drawn
    from the queries; a figure without an entry has no interval.
    """

    task: str
    figures: dict[str, float]
    queries: dict[str, Table] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def figures_of(queries: dict[str, Table], made: dict[str, Made]) -> dict[str, float]:
    """Every figure from the values of its queries, in the order of `made`; figures of figures come after theirs."""
    figures: dict[str, float] = {}
    for name, how in made.items():
        if how.of:
            figures[name] = float(np.mean([figures[part] for part in how.of]))
        else:
            values = np.asarray(queries[how.table][how.column], dtype=np.float64)
            figures[name] = float(np.median(values) if how.how == "median" else values.mean())
    return figures
