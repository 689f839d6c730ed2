from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tuwen.errors import InputError
from tuwen.nn.regions import axis_weights, box_weights, pool_boxes, regular_grid, whole_picture


def sampled_by_torch(states: Tensor, boxes: Tensor, image_size: int, samples: int) -> Tensor:
    """map (1, D, H, W), boxes (R, 4) -> (R, D, samples, samples), by an affine matrix as the original has it."""
    height, width = states.shape[-2:]
    left, top, right, bottom = (boxes / (image_size / height)).unbind(-1)
    matrix = torch.zeros(len(boxes), 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 2] = (right - left) / (width - 1), (left + right - width + 1) / (width - 1)
    matrix[:, 1, 1], matrix[:, 1, 2] = (bottom - top) / (height - 1), (top + bottom - height + 1) / (height - 1)
    grid = F.affine_grid(matrix, [len(boxes), states.shape[1], samples, samples], align_corners=False)
    maps = states.expand(len(boxes), -1, -1, -1)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def random_boxes(count: int, size: int) -> Tensor:
    """Some of them turned over, some outside."""
    return (torch.rand(count, 4, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.3) * size


@pytest.mark.parametrize(("size", "height", "width"), [(380, 12, 12), (100, 4, 4), (96, 3, 5)])
@pytest.mark.parametrize("samples", [1, 4, 5])
def test_a_pooled_box_is_the_mean_of_bilinear_samples(size: int, height: int, width: int, samples: int) -> None:
    states = torch.randn(1, 6, height, width, generator=torch.Generator().manual_seed(1))
    boxes = torch.cat([random_boxes(20, size), whole_picture(size), torch.zeros(1, 4)])
    wanted = sampled_by_torch(states, boxes, size, samples)
    rows, columns = box_weights(boxes, size, height, width, samples)
    torch.testing.assert_close(
        torch.einsum("rih,rjw,dhw->rdij", rows, columns, states[0]), wanted, atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(
        pool_boxes(states, boxes[None], size, samples)[0], wanted.mean((2, 3)), atol=1e-5, rtol=0
    )


def test_the_whole_picture_is_sampled_right_of_its_middle() -> None:
    """The worked example: at 380 pixels the samples lie at -0.727, -0.182, 0.364 and 0.909 of the map's half."""
    weights = axis_weights(torch.tensor([0.0]), torch.tensor([12.0]), 12, 4)[0]
    places = weights @ torch.arange(12.0)
    wanted = [((-0.75 * 12 / 11 + 1 / 11 + 0.5 * 12 / 11 * step + 1) * 12 - 1) / 2 for step in range(4)]
    assert places.tolist() == pytest.approx(wanted, abs=1e-5)
    assert wanted[0] == pytest.approx(((-8 / 11 + 1) * 12 - 1) / 2)


def test_an_empty_box_takes_a_quarter_of_the_first_cell() -> None:
    states = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(pool_boxes(states, torch.zeros(1, 1, 4), 128, 4)[0, 0], states[0, :, 0, 0] / 4)


def test_a_box_far_outside_sees_nothing() -> None:
    boxes = torch.tensor([[[900.0, 900.0, 950.0, 990.0], [-900.0, 0.0, -800.0, 10.0]]])
    assert not pool_boxes(torch.ones(1, 3, 4, 4), boxes, 128, 4).any()


def test_a_map_in_half_precision_is_sampled_at_the_same_places() -> None:
    states, boxes = torch.randn(1, 8, 12, 12), random_boxes(9, 380)[None]
    wanted = pool_boxes(states, boxes, 380, 4)
    half = pool_boxes(states.bfloat16(), boxes, 380, 4)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), wanted, atol=0.05, rtol=0)


def test_a_grid_goes_down_every_column_in_turn() -> None:
    boxes = regular_grid(90, 3)
    assert boxes.dtype == torch.float64
    assert boxes[:4].tolist() == [[0, 0, 30, 30], [0, 30, 30, 60], [0, 60, 30, 90], [30, 0, 60, 30]]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert math.isclose(areas.sum().item(), 90 * 90)


def test_a_map_of_one_cell_has_no_places() -> None:
    with pytest.raises(InputError, match="at least 33 pixels"):
        pool_boxes(torch.zeros(1, 3, 1, 1), torch.zeros(1, 1, 4), 32, 4)
