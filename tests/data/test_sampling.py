"""The order of samples: a shuffle that is the same everywhere, shared out, and continued exactly."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuwen.data import sampling
from tuwen.data.sampling import Order, Position, permuted
from tuwen.errors import InputError, UsageError

EXPECTED = (
    [5, 8, 1, 0, 3, 10, 2, 7, 11, 9, 4, 6],
    [2, 10, 11, 6, 3, 8, 5, 7, 9, 1, 0, 4],
    [6, 2, 5, 8, 10, 3, 0, 11, 9, 4, 7, 1],
)


@given(st.integers(1, 700), st.integers(0, 2**70), st.integers(0, 5))
def test_a_shuffle_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    assert sorted(Order(count, seed).numbers(epoch).tolist()) == list(range(count))


def test_a_shuffle_never_changes() -> None:
    assert Order(12, 3).numbers(0).tolist() == EXPECTED[0]
    assert Order(12, 3).numbers(1).tolist() == EXPECTED[1]
    assert Order(12, 4).numbers(0).tolist() == EXPECTED[2]
    assert Order(12, 3, shuffle=False).numbers(7).tolist() == list(range(12))


def test_every_place_gets_every_sample_about_as_often() -> None:
    counts = np.zeros((8, 8), dtype=int)
    for seed in range(2000):
        counts[np.arange(8), permuted(np.arange(8), 8, seed, 0)] += 1
    assert counts.min() > 180  # 250 each; six standard deviations are 89
    assert counts.max() < 340


@given(st.integers(0, 60), st.integers(1, 5), st.booleans())
def test_processes_take_turns_and_leave_nothing_out(count: int, world: int, even: bool) -> None:
    walks = [[number for number, _ in Order(count, 1, True, rank, world, even).walk()] for rank in range(world)]
    lengths = {len(walk) for walk in walks}
    taken = [number for walk in walks for number in walk]
    assert [len(Order(count, 1, True, rank, world, even)) for rank in range(world)] == [len(walk) for walk in walks]
    if even:
        assert len(lengths) <= 1
        assert set(taken) == set(range(count))
        assert len(taken) < count + world
    else:
        assert sorted(taken) == list(range(count))


@given(st.integers(1, 30), st.integers(1, 3), st.integers(0, 80), st.booleans())
def test_stopped_anywhere_the_rest_is_the_same(count: int, world: int, stop: int, even: bool) -> None:
    orders = [Order(count, 9, True, rank, world, even) for rank in range(world)]
    whole = [list(order.walk(epochs=3)) for order in orders]
    stop = min(stop, len(whole[0]))
    since = whole[0][stop - 1][1] if stop else None
    saved = Position(**asdict(since)) if since else None
    rest = [list(order.walk(saved, epochs=3)) for order in orders]
    if even:
        assert rest == [walk[stop:] for walk in whole]
    else:  # rounds at the end of an epoch leave some processes out
        assert rest[0] == whole[0][stop:]


def test_another_number_of_processes_goes_on_with_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "AT_ONCE", 3)
    order = Order(24, 5).numbers(0).tolist()
    first = [list(islice(Order(24, 5, True, rank, 2).walk(), 4)) for rank in range(2)]
    since = first[0][-1][1]
    assert since == first[1][-1][1] == Position(0, 8, 24, 5)
    rest = [[number for number, _ in Order(24, 5, True, rank, 4).walk(since)] for rank in range(4)]
    assert [number for round in zip(*rest, strict=True) for number in round] == order[8:]


def test_epochs_follow_one_another_for_ever() -> None:
    order = Order(3, 2)
    numbers = [number for number, _ in islice(order.walk(epochs=None), 9)]
    assert numbers == [*order.numbers(0), *order.numbers(1), *order.numbers(2)]
    assert list(islice(order.walk(), 3))[-1][1] == Position(1, 0, 3, 2)


def test_a_position_of_other_data_is_refused() -> None:
    since = Position(0, 2, 10, 1)
    with pytest.raises(InputError, match=r"of 10 samples in the order of seed 1, there are 11 and seed 1"):
        next(Order(11, 1).walk(since))
    with pytest.raises(InputError, match=r"and seed 2"):
        next(Order(10, 2).walk(since))


@pytest.mark.parametrize(("count", "rank", "world"), [(-1, 0, 1), (1, 1, 1), (1, 0, 0), (1, -1, 2)])
def test_what_cannot_share_is_refused(count: int, rank: int, world: int) -> None:
    with pytest.raises(UsageError):
        Order(count, 0, True, rank, world)
