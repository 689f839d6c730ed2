"""What one search in two stages costs: milliseconds of its parts on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tuwen.search.exact import top_k

if TYPE_CHECKING:
    from tuwen.model import Model
    from tuwen.types import Picture

REPEATS = 3
CANDIDATES = 10


@dataclass(frozen=True)
class Cost:
    """Milliseconds of the parts of one search, medians: `query` finds candidates, `text` prepares the query for the
    fusion, `picture` prepares one candidate for it, `pair` fuses one candidate with the query."""

    query: float
    text: float
    picture: float
    pair: float

    def of(self, depth: int, kept: bool = False) -> float:
        """Of one search of this depth; kept: with the states of pictures at hand, computed before."""
        return self.query + (self.text + depth * (self.pair + (0 if kept else self.picture)) if depth else 0.0)


def measure(
    recalling: Model, ranking: Model, pictures: Sequence[Picture], words: Sequence[str], gallery: Tensor
) -> Cost:
    """The cost of one search by one text on this machine, from a few pictures and texts.

    gallery (N, E): features of all pictures.
    """
    image = ranking.image_state(list(pictures))
    text = ranking.text_state(words[0])
    ranking.fuse(image, text)  # the first pass prepares what later ones find ready

    def query() -> None:
        for word in words:
            top_k(recalling.encode_text(word), gallery, CANDIDATES)

    return Cost(
        query=_milliseconds(query) / len(words),
        text=_milliseconds(lambda: [ranking.text_state(word) for word in words]) / len(words),
        picture=_milliseconds(lambda: ranking.image_state(list(pictures))) / len(pictures),
        pair=_milliseconds(lambda: ranking.fuse(image, text)) / len(pictures),
    )


def _milliseconds(work: Callable[[], object]) -> float:
    """The median of some rounds, each to its end on a GPU, too."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def said(cost: Cost) -> str:
    """The cost as a note."""
    return (
        f"one search: {cost.query:.2f} ms to find candidates, then {cost.text:.2f} ms for the text and for each "
        f"candidate {cost.picture:.2f} ms for its picture, unless its state is kept, and {cost.pair:.2f} ms to match"
    )
