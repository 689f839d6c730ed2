"""How far two tensors are apart, and when that is too far."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tuwen.verify.compare import Report, Stage, Tolerance, compared

EXACT, LOOSE = Tolerance(), Tolerance(0.1, 0.01)


def test_a_stage_tells_how_far_and_how_far_it_may_be() -> None:
    stage = compared("x", torch.tensor([1.0, 10.05]), torch.tensor([1.05, 10.0]), LOOSE)
    assert stage.deviation == pytest.approx(0.05, abs=1e-6)
    assert stage.relative == pytest.approx(0.005, abs=1e-6)
    assert stage.allowed == pytest.approx(0.2)
    assert stage.ok


def test_every_entry_has_its_own_bound_unless_the_largest_counts_for_all() -> None:
    ours, theirs = torch.tensor([0.15, 100.0]), torch.tensor([0.0, 100.0])
    assert not compared("x", ours, theirs, LOOSE).ok
    assert compared("x", ours, theirs, Tolerance(0.1, 0.01, of_largest=True)).ok


@pytest.mark.parametrize(("ours", "ok"), [(torch.tensor([1, 2]), True), (torch.tensor([1, 3]), False)])
def test_whole_numbers_must_be_equal(ours: Tensor, ok: bool) -> None:
    assert compared("ids", ours, torch.tensor([1, 2]), LOOSE).ok is ok


@pytest.mark.parametrize(
    ("ours", "theirs", "ok"),
    [
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
        (math.inf, math.inf, True),
        (math.inf, -math.inf, False),
        (1.0, math.inf, False),
    ],
)
def test_what_is_no_number_must_be_the_same(ours: float, theirs: float, ok: bool) -> None:
    assert compared("x", torch.tensor([ours, 1.0]), torch.tensor([theirs, 1.0]), LOOSE).ok is ok


def test_another_shape_is_a_problem_of_its_own() -> None:
    stage = compared("x", torch.zeros(2, 3), torch.zeros(3, 2), LOOSE)
    assert not stage.ok
    assert stage.problem == "shape (2, 3) instead of (3, 2)"


def test_what_the_mask_leaves_out_is_not_compared() -> None:
    ours, theirs = torch.tensor([[1.0, 5.0]]), torch.tensor([[1.0, 9.0]])
    assert compared("x", ours, theirs, EXACT, torch.tensor([[True, False]])).ok
    assert not compared("x", ours, theirs, EXACT).ok
    assert compared("x", torch.zeros(0), torch.zeros(0), EXACT).ok


def test_a_report_is_as_good_as_its_worst_stage() -> None:
    assert Report([Stage("a")]).ok
    assert not Report([Stage("a"), Stage("b", ok=False)]).ok
