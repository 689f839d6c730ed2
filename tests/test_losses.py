from __future__ import annotations

import math

import pytest
import torch

from tuwen.losses import contrastive, distillation
from tuwen.nn.heads import unit


def test_contrastive_by_hand() -> None:
    image = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # cosines [[1, 0.6], [0, 0.8]], times 2
    rows = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 1.6))) / 2
    columns = (math.log(1 + math.exp(0 - 2)) + math.log(1 + math.exp(1.2 - 1.6))) / 2
    assert contrastive(image, text, torch.tensor(2.0)).item() == pytest.approx((rows + columns) / 2)


def test_a_batch_of_one_has_nothing_to_learn() -> None:
    features = unit(torch.randn(1, 4))
    assert contrastive(features, features, torch.tensor(100.0)).item() == 0


def test_the_order_of_the_pairs_does_not_matter() -> None:
    image, text = unit(torch.randn(6, 8)), unit(torch.randn(6, 8))
    order = torch.randperm(6)
    scale = torch.tensor(20.0)
    torch.testing.assert_close(contrastive(image[order], text[order], scale), contrastive(image, text, scale))


def test_pairs_that_are_true_as_well_are_no_negatives() -> None:
    image, text = unit(torch.randn(4, 8)), unit(torch.randn(4, 8))
    scale = torch.tensor(10.0)
    also = torch.zeros(4, 4, dtype=torch.bool)
    assert torch.equal(contrastive(image, text, scale, also), contrastive(image, text, scale))
    also[0, 1] = also[2, 3] = True
    logits = scale * image @ text.T
    logits[0, 1] = logits[2, 3] = -1e9
    wanted = -(logits.log_softmax(1).diagonal().mean() + logits.log_softmax(0).diagonal().mean()) / 2
    torch.testing.assert_close(contrastive(image, text, scale, also), wanted)


def test_a_pair_is_never_excluded_from_itself() -> None:
    image, text = unit(torch.randn(3, 8)), unit(torch.randn(3, 8))
    everything = torch.ones(3, 3, dtype=torch.bool)
    assert contrastive(image, text, torch.tensor(10.0), everything).item() == 0


def test_distillation_is_one_minus_the_mean_cosine() -> None:
    teacher = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    student = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    wanted = 1 - (1 + math.sqrt(0.5)) / 2
    assert distillation(teacher, student).item() == pytest.approx(wanted)


def test_a_narrower_student_is_stretched_to_the_teachers_width() -> None:
    student = torch.tensor([[1.0, 3.0]])
    teacher = torch.tensor([[1.0, 1.5, 2.5, 3.0]])  # halves between the values, the ends repeated
    assert distillation(teacher, student).item() == pytest.approx(0, abs=1e-6)
