"""Two processes equal one: the same loss, the same gradients, the same pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

from tests.models import tiny
from tuwen import distributed
from tuwen.tasks.contrast import Contrast
from tuwen.train.pictures import SceneBatches
from tuwen.train.recipe import Recipe, SceneRecipe

ROWS = 6
TEXTS = [*tiny.TEXTS, "绿色的草地"]


def step(rows: list[int]) -> dict[str, Any]:
    """Loss and averaged gradients for this process's rows of one batch."""
    model = tiny.model()
    task = Contrast(model.module, model.processor).eval()
    pixels = torch.from_numpy(np.stack([model.processor.image.pixels(picture) for picture in tiny.pictures(ROWS)]))
    shown = torch.eye(ROWS, dtype=torch.uint8)
    shown[4, 1] = 1  # so that text 1 is true of picture 4 too
    captions = {"zh": [TEXTS[row] for row in rows]}
    loss, _ = task(pixels[rows], captions, {"zh": torch.eye(ROWS, dtype=torch.uint8)[rows]}, shown[rows])
    loss.backward()
    distributed.average_gradients(task.parameters())
    gradients = {name: p.grad for name, p in task.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), "gradients": gradients, "pixels": scenes()}


def scenes() -> torch.Tensor:
    """This process's pictures of one batch, (B, 32, 32, 3)."""
    recipe = Recipe("chinese-clip", {}, SceneRecipe(sizes=(32,), workers=0), steps=10, batch_size=4, warmup=1)
    return SceneBatches(recipe, tiny.model().processor.image)[3].pixels


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    assert (distributed.processes(), distributed.rank()) == (2, rank)
    torch.save(step(list(range(rank, ROWS, 2))), Path(folder) / f"{rank}.pt")
    distributed.wait()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    spawn(one_of_two, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_two_processes_have_the_loss_of_one(two: list[dict[str, Any]]) -> None:
    alone = step(list(range(ROWS)))
    for found in two:
        torch.testing.assert_close(found["loss"], alone["loss"], atol=1e-5, rtol=1e-5)


def test_two_processes_have_the_gradients_of_one(two: list[dict[str, Any]]) -> None:
    alone = step(list(range(ROWS)))["gradients"]
    for found in two:
        assert found["gradients"].keys() == alone.keys()
        for name, gradient in alone.items():
            off = (found["gradients"][name] - gradient).abs().max().item()
            assert off < 1e-5, f"{name} differs by {off}"


def test_two_processes_share_the_pictures_of_one(two: list[dict[str, Any]]) -> None:
    def counted(pictures: torch.Tensor) -> list[bytes]:
        return sorted(picture.numpy().tobytes() for picture in pictures)

    assert counted(torch.cat([found["pixels"] for found in two])) == counted(scenes())


def test_a_single_process_is_left_alone() -> None:
    features = torch.randn(2, 3, requires_grad=True)
    assert distributed.gather(features) is features
    assert (distributed.processes(), distributed.rank()) == (1, 0)
    distributed.wait()
    with distributed.together("cpu"):
        assert not dist.is_initialized()
