"""Which classes are taken for which: the most confused ones of a zero-shot run as a table of shades."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from tuwen.evaluate.scored import Table

SHOWN = 16  # classes
PAIRS = 12  # of classes, in the list


def confused(pictures: Table) -> list[tuple[str, str, int]]:
    """(class, what it was taken for, how often), most often first; pictures of several classes are left out."""
    wrong = [
        (str(right), str(predicted))
        for right, predicted, good in zip(pictures["class"], pictures["predicted"], pictures["top1"], strict=True)
        if not good and " / " not in str(right)
    ]
    counted = Counter(wrong)
    return [(right, predicted, count) for (right, predicted), count in counted.most_common()]


def classes(pairs: Sequence[tuple[str, str, int]], most: int = SHOWN) -> list[str]:
    """The classes of the most frequent confusions, those that are taken for each other side by side."""
    chosen: list[str] = []
    for right, predicted, _ in pairs:
        new = [name for name in (right, predicted) if name not in chosen]
        if len(chosen) + len(new) > most:
            break
        place = next((chosen.index(name) + 1 for name in (right, predicted) if name in chosen), len(chosen))
        chosen[place:place] = new
    return chosen


def html(pictures: Table) -> str:
    """The table, and the list of confusions; nothing where nothing was confused."""
    pairs = confused(pictures)
    names = classes(pairs)
    if not names:
        return ""
    place = {name: number for number, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), dtype=np.int64)
    totals = np.zeros(len(names), dtype=np.int64)
    for right, predicted in zip(pictures["class"], pictures["predicted"], strict=True):
        if right in place:
            totals[place[right]] += 1
            if predicted in place:
                matrix[place[right], place[predicted]] += 1
    heads = "".join(f"<th><span>{escape(name)}</span></th>" for name in names)
    rows = "".join(_row(name, number, matrix[number], int(totals[number])) for number, name in enumerate(names))
    listed = "".join(
        f"<li>{escape(right)} → {escape(predicted)} <b>{count}</b></li>" for right, predicted, count in pairs[:PAIRS]
    )
    return (
        f'<div class="wide"><table class="heat"><tr class="across"><th></th>{heads}<th></th></tr>{rows}</table></div>'
        f'<ul class="notes columns">{listed}</ul>'
    )


def _row(name: str, number: int, counts: np.ndarray[Any, Any], total: int) -> str:
    cells = []
    for column, count in enumerate(counts.tolist()):
        share = count / total if total else 0.0
        colour = "--heat" if column == number else "--miss"
        style = f' style="background: rgb(var({colour}) / {0.12 + 0.78 * share:.2f})"' if count else ""
        deep = ' class="deep"' if share > 0.5 else ""
        cells.append(f"<td{deep}{style}>{count or ''}</td>")
    return f'<tr><th title="{escape(name)}">{escape(name)}</th>{"".join(cells)}<th>/ {total}</th></tr>'
