from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

from tests.models import tiny_brivl
from tuwen import distributed
from tuwen.models import brivl
from tuwen.tasks.momentum import Momentum
from tuwen.types import Images, Texts

ROWS = 4
ORDERS = (torch.tensor([2, 0, 3, 1]), torch.tensor([1, 3, 0, 2]))


def started(**settings: Any) -> Momentum:
    """A task with a twin that differs from its model, and queues of 8."""
    torch.manual_seed(0)
    task = Momentum(tiny_brivl.module(), queue=8, **settings)
    task.twin.load_state_dict(tiny_brivl.module(seed=1).state_dict())
    return task.eval()


def batch(rows: slice = slice(None)) -> tuple[Images, Texts]:
    """Four pictures with 1 to 4 boxes, and four texts."""
    images, texts = tiny_brivl.images(ROWS), tiny_brivl.texts()
    assert images.boxes is not None
    assert images.box_mask is not None
    chosen = Images(images.pixels[rows], None, images.boxes[rows], images.box_mask[rows])
    return chosen, Texts(texts.ids[rows], texts.mask[rows])


def test_the_twin_starts_as_a_copy_without_gradients() -> None:
    task = Momentum(tiny_brivl.module(), queue=8)
    wanted = task.model.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in task.twin.state_dict().items())
    assert not any(parameter.requires_grad for parameter in task.twin.parameters())


def test_the_twin_follows_slowly_in_frozen_parameters_too_but_not_in_statistics() -> None:
    task = started(momentum=0.75)
    brivl.freeze(task.model)  # type: ignore[arg-type]
    before, model = copy.deepcopy(task.twin.state_dict()), task.model.state_dict()
    parameters = {name for name, _ in task.model.named_parameters()}
    task.after_step()
    for name, tensor in task.twin.state_dict().items():
        wanted = 0.75 * before[name] + 0.25 * model[name] if name in parameters else before[name]
        torch.testing.assert_close(tensor, wanted)


def test_the_order_in_which_the_twin_sees_a_batch_changes_nothing_without_its_statistics() -> None:
    task = started()
    straight = (torch.arange(ROWS), torch.arange(ROWS))
    torch.testing.assert_close(task(*batch(), ORDERS)[0], task(*batch(), straight)[0])
    torch.testing.assert_close(task(*batch())[0], task(*batch(), straight)[0])


def test_masks_that_stay_behind_pool_a_picture_with_anothers_boxes() -> None:
    right, published = started(), started(mask_stays=True)
    assert not torch.allclose(right(*batch(), ORDERS)[0], published(*batch(), ORDERS)[0])
    images, texts = batch()
    assert images.box_mask is not None
    full = Images(images.pixels, None, images.boxes, torch.ones_like(images.box_mask))
    torch.testing.assert_close(right(full, texts, ORDERS)[0], published(full, texts, ORDERS)[0])


def test_keys_enter_the_queues_after_the_step_in_the_order_of_the_batch() -> None:
    task = started()
    task(*batch(), ORDERS)
    wanted = torch.nn.functional.normalize(task.twin.encode_text(batch()[1]), dim=-1)  # type: ignore[operator]
    assert task.text_queue.place == 0
    task.after_step()
    assert [int(queue.place) for queue in (task.text_queue, task.image_queue)] == [ROWS, ROWS]
    torch.testing.assert_close(task.text_queue.rows[:ROWS], wanted, atol=1e-5, rtol=1e-4)
    task.after_step()  # nothing new
    assert task.text_queue.place == ROWS


def test_what_is_near_by_picture_and_by_text_counts_as_right_too() -> None:
    plain, several = started(), started(multi_label=True)
    for task in (plain, several):
        task(*batch(), ORDERS)
        for image_keys, text_keys in task._fresh:  # the same pairs again: the queues hold themselves
            task.image_queue.add(image_keys)
            task.text_queue.add(text_keys)
    assert several(*batch(), ORDERS)[0] > plain(*batch(), ORDERS)[0]
    image_keys, text_keys = several._fresh[-1]
    wanted = torch.eye(ROWS, 8, dtype=torch.bool)
    assert torch.equal(several._also(image_keys, text_keys), wanted)


def test_gradients_reach_the_model_and_not_its_twin() -> None:
    task = started()
    loss, logs = task(*batch())
    loss.backward()
    assert all(parameter.grad is None for parameter in task.twin.parameters())
    assert sum(parameter.grad is not None for parameter in task.model.parameters()) > 100
    assert 0 <= logs["accuracy"] <= 1


def step(rows: slice) -> dict[str, Tensor]:
    """Loss of this process's rows, and the queues that a step leaves behind."""
    task = started()
    loss, _ = task(*batch(rows), ORDERS)
    task.after_step()
    return {"loss": loss.detach(), "images": task.image_queue.rows, "texts": task.text_queue.rows, "drawn": drawn(task)}


def drawn(task: Momentum) -> Tensor:
    """An order that this process was given, from a generator of its own."""
    torch.manual_seed(distributed.rank())
    return task._order(ROWS // distributed.processes())


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(step(slice(2 * rank, 2 * rank + 2)), Path(folder) / f"{rank}.pt")
    distributed.wait()
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    spawn(one_of_two, args=(str(tmp_path),), nprocs=2)
    two = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    alone = step(slice(None))
    torch.testing.assert_close((two[0]["loss"] + two[1]["loss"]) / 2, alone["loss"], atol=1e-5, rtol=1e-4)
    for name in ("images", "texts"):
        assert torch.equal(two[0][name], two[1][name])
        torch.testing.assert_close(two[0][name], alone[name], atol=1e-5, rtol=1e-4)
    assert torch.equal(two[0]["drawn"], two[1]["drawn"])
    assert sorted(two[0]["drawn"].tolist()) == list(range(ROWS))


def test_a_queue_that_the_batch_does_not_divide_is_refused() -> None:
    task = Momentum(tiny_brivl.module(), queue=6)
    task(*batch())
    with pytest.raises(ValueError, match="4 features for a queue of 6"):
        task.after_step()
