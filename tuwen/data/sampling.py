"""The order in which samples are taken: shuffled anew every epoch, shared out over processes, continued exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tuwen.errors import InputError, UsageError

ROUNDS = 6
AT_ONCE = 8192  # numbers that are worked out together
Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Position:
    """How far all processes together are. taken: samples of the epoch; count, seed: of the order that it belongs to."""

    epoch: int = 0
    taken: int = 0
    count: int = -1
    seed: int = 0


@dataclass(frozen=True)
class Order:
    """The order of `count` samples for one of `world` processes, which take turns.

    It is worked out from seed, epoch and place alone, so that it is the same on every machine, needs no memory, and can
    begin anywhere. even: every process gets as many, the first samples of an epoch come again at its end for that; else
    each sample comes once and some processes get one less.
    """

    count: int
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    world: int = 1
    even: bool = True

    def __post_init__(self) -> None:
        if self.count < 0 or self.world < 1 or not 0 <= self.rank < self.world:
            raise UsageError(f"process {self.rank} of {self.world} cannot share {self.count} samples")

    @property
    def per_epoch(self) -> int:
        """Samples that all processes take in an epoch, together."""
        return -(-self.count // self.world) * self.world if self.even else self.count

    def __len__(self) -> int:
        """Samples that this process takes in an epoch."""
        return len(range(self.rank, self.per_epoch, self.world))

    def numbers(self, epoch: int, start: int = 0, end: int | None = None) -> Numbers:
        """Numbers of the samples of an epoch (N,) int64, those of all processes, from one place to another."""
        places = np.arange(start, self.per_epoch if end is None else min(end, self.per_epoch)) % max(self.count, 1)
        return permuted(places, self.count, self.seed, epoch) if self.shuffle else places

    def walk(self, since: Position | None = None, epochs: int | None = 1) -> Iterator[tuple[int, Position]]:
        """Number of each sample of this process, with the position to save once all processes are done with theirs.

        since: goes on behind it, also with another number of processes; epochs: up to that many in all, None for ever.
        InputError for a position of another order.
        """
        since = since or Position(count=self.count, seed=self.seed)
        if (since.count, since.seed) != (self.count, self.seed):
            raise InputError(
                f"the position is of {since.count} samples in the order of seed {since.seed}, there are {self.count} "
                f"and seed {self.seed}: go on with the same data and seed, or begin a new run"
            )
        epoch, taken = since.epoch, since.taken
        while self.count and (epochs is None or epoch < epochs):
            for first in range(taken, self.per_epoch, self.world * AT_ONCE):
                numbers = self.numbers(epoch, first, first + self.world * AT_ONCE)
                for place, number in enumerate(numbers[self.rank :: self.world].tolist()):
                    done = min(first + (place + 1) * self.world, self.per_epoch)
                    yield number, _after(since, epoch, done, self.per_epoch)
            epoch, taken = epoch + 1, 0


def _after(since: Position, epoch: int, taken: int, per_epoch: int) -> Position:
    if taken >= per_epoch:
        return replace(since, epoch=epoch + 1, taken=0)
    return replace(since, epoch=epoch, taken=taken)


def permuted(places: Numbers, count: int, seed: int, epoch: int) -> Numbers:
    """Where a shuffle of 0..count-1 puts these places (N,) int64; different for every seed and epoch.

    A Feistel network over the next power of four, walked until the number is below count: a permutation whatever the
    rounds mix. Written out here because numpy's own shuffles may change from version to version.
    """
    half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    keys = _mix(np.arange(1, ROUNDS + 1, dtype=np.uint64) + _mix(_words(seed) + _mix(_words(epoch))))
    found = places.astype(np.uint64)
    waiting = np.arange(len(found))
    while len(waiting):
        found[waiting] = _network(found[waiting], np.uint64(half), keys)
        waiting = waiting[found[waiting] >= np.uint64(count)]
    return found.astype(np.int64)


def _words(number: int) -> Numbers:
    return np.array([number % (1 << 64)], dtype=np.uint64)


def _network(values: Numbers, half: np.uint64, keys: Numbers) -> Numbers:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & mask)
    return left << half | right


def _mix(values: Numbers) -> Numbers:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result hangs on every bit given."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)
