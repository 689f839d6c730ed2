"""Run rivals in turns and compare them round by round, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

# A rival's whole work, cut into parts of equal weight: one, unless the whole takes too long for a turn.
Parts = Sequence[Callable[[], Tensor]]


@dataclass(frozen=True)
class Times:
    """Seconds that the whole work of one rival takes, one entry a round; `cpu_s` counts every thread of the process.

    results: what the parts gave, in order, None for a part that had no turn.
    """

    cpu_s: list[float]
    wall_s: list[float]
    results: list[Tensor | None]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute on `count` threads; with one, the whole process stays on one processor, decoding threads too."""
    before = torch.get_num_threads()
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    torch.set_num_threads(count)
    if count == 1 and allowed:
        os.sched_setaffinity(0, {max(allowed)})  # threads started from here on inherit it
    try:
        yield
    finally:
        torch.set_num_threads(before)
        if allowed:
            os.sched_setaffinity(0, allowed)


def race(rivals: Mapping[str, Parts], rounds: int) -> dict[str, Times]:
    """The next part of every rival once a round, the order reversed from round to round. They should be warm.

    A part stands for the whole: its time counts as often as there are parts.
    """
    times = {name: Times([], [], [None] * len(parts)) for name, parts in rivals.items()}
    for number in range(rounds):
        order = list(rivals) if number % 2 == 0 else list(rivals)[::-1]
        for name in order:
            parts, own = rivals[name], times[name]
            place = number % len(parts)
            wall, cpu = time.perf_counter(), time.process_time()
            own.results[place] = parts[place]()
            own.cpu_s.append((time.process_time() - cpu) * len(parts))
            own.wall_s.append((time.perf_counter() - wall) * len(parts))
    return times


def ratio(slower: list[float], faster: list[float]) -> float:
    """The median of the ratios of each round."""
    return statistics.median(theirs / ours for theirs, ours in zip(slower, faster, strict=True))
