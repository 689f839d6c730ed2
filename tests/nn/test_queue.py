from __future__ import annotations

import pytest
import torch

from tuwen.errors import UsageError
from tuwen.nn.queue import Queue


def test_it_starts_with_directions() -> None:
    torch.testing.assert_close(Queue(8, 6).rows.norm(dim=1), torch.ones(6))


def test_the_oldest_go_first() -> None:
    queue = Queue(2, 6)
    for number in range(5):
        queue.add(torch.full((2, 2), float(number)))
    assert queue.rows[:, 0].tolist() == [3, 3, 4, 4, 2, 2]
    assert queue.place == 4


def test_it_goes_on_where_it_was_saved() -> None:
    queue, other = Queue(2, 4), Queue(2, 4)
    queue.add(torch.ones(2, 2))
    other.load_state_dict(queue.state_dict())
    other.add(torch.zeros(2, 2))
    assert other.rows[:, 0].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("count", [4, 0])
def test_a_batch_must_divide_it(count: int) -> None:
    with pytest.raises(UsageError, match="a queue of 6"):
        Queue(2, 6).add(torch.ones(count, 2))
