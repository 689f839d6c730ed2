"""Run rivals in turns and compare them round by round, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Times:
    """Seconds of one rival, one entry a round; `cpu_s` counts every thread of the process."""

    cpu_s: list[float]
    wall_s: list[float]


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


def race(rivals: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Every rival once a round, the order reversed from round to round. They should be warm: each has run once."""
    times = {name: Times([], []) for name in rivals}
    for number in range(rounds):
        order = list(rivals) if number % 2 == 0 else list(rivals)[::-1]
        for name in order:
            wall, cpu = time.perf_counter(), time.process_time()
            rivals[name]()
            times[name].cpu_s.append(time.process_time() - cpu)
            times[name].wall_s.append(time.perf_counter() - wall)
    return times


def ratio(slower: list[float], faster: list[float]) -> float:
    """The median of the ratios of each round."""
    return statistics.median(theirs / ours for theirs, ours in zip(slower, faster, strict=True))
