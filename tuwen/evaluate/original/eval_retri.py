"""ERNIE-ViL 2.0's eval_retri.py: recall of pairs in cross_modal_embeddings.out, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuwen.models.ernie_vil2 import outputs
from tuwen.search.exact import ranks_of

Array = np.ndarray[Any, Any]

CUTS = (1, 5, 10)
NAMES = {"text2image": "Text2Image", "image2text": "Image2Text"}
COLUMNS = ("R@1", "R@5", "R@10", "meanRecall")
MULTIPLE = 10  # the original refuses a number of rows that is none of this


def eval_retri(path: Path) -> str:
    """A file of embeddings -> what is printed; InputError where it is none."""
    images, texts = outputs.read(path)
    return table(numbers(images, texts))


def numbers(images: Array, texts: Array) -> dict[str, dict[str, float]]:
    """Vectors (N, E) of N pairs -> r@1, r@5, r@10, mean_recall and mrr of "text2image" and "image2text".

    Only row i of the other side is right for row i, and it stands before all that score the same.
    """
    image, text = torch.from_numpy(images), torch.from_numpy(texts)
    return {"text2image": _of(text, image), "image2text": _of(image, text)}


def _of(queries: torch.Tensor, gallery: torch.Tensor) -> dict[str, float]:
    own = torch.arange(len(queries))
    ranks = ranks_of(queries, gallery, own, own, ties="for").numpy()
    found = {f"r@{cut}": int((ranks <= cut).sum()) / len(ranks) for cut in CUTS}
    found["mean_recall"] = sum(found.values()) / len(CUTS)
    found["mrr"] = float(np.mean(1 / ranks))
    return found


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """The printed table of the numbers of both directions, with their mean in the third row."""
    both = [found[name] for name in NAMES]
    mean = {name: (both[0][name] + both[1][name]) / 2 for name in both[0]}
    rows = [[name, *_printed(one)] for name, one in zip((*NAMES.values(), "MeanRecall"), (*both, mean), strict=True)]
    columns = ("Name", *COLUMNS)
    widths = [max(len(name) + 2, *(len(row[place]) for row in rows)) for place, name in enumerate(columns)]
    lines = [_line(columns, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    return "".join(f"{line}\n" for line in (*lines, *(_line(row, widths) for row in rows)))


def _printed(found: Mapping[str, float]) -> list[str]:
    return [f"{round(100 * found[key], 2):.2f}" for key in (*(f"r@{cut}" for cut in CUTS), "mean_recall")]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join([first, *others])} |"
