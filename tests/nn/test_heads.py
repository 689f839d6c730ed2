from __future__ import annotations

import torch

from tuwen.nn.heads import Projection, unit


def test_a_projection_multiplies_from_the_right() -> None:
    head = Projection(3, 5)
    x = torch.randn(2, 4, 3)
    assert head.weight.shape == (3, 5)
    assert torch.equal(head(x), x @ head.weight)


def test_unit_features_have_length_one_and_their_direction() -> None:
    features = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    torch.testing.assert_close(unit(features), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
