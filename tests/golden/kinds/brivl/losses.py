"""The loss functions that lie beside the original's model: values, and gradients to the first argument."""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.golden.case import Case, Expected
from tuwen.losses import (
    alignment_loss,
    contrastive,
    gated_alignment_loss,
    late_scores,
    margin_loss,
    position_loss,
)
from tuwen.nn.heads import unit

TEMPERATURE = 0.07


def check(case: Case, expected: Expected) -> None:
    given = load_file(case.path / case.settings["inputs"])
    first, second, lengths = given["seq1"], given["seq2"], given["lens"]
    first_mask, second_mask = given["mask1"] == 0, given["mask2"] == 0
    one, other = given["fea1"], given["fea2"]
    gate = given["att_weight"], given["att_bias"]
    scale = torch.tensor(1 / TEMPERATURE)

    def trip(x: Tensor) -> Tensor:
        return margin_loss(unit(x) @ unit(other).T)

    def late_trip(x: Tensor) -> Tensor:
        back = late_scores(second, x, second_mask, first_mask).T
        return margin_loss(late_scores(x, second, first_mask, second_mask), back=back)

    functions = {
        "pairLoss": (first, lambda x: position_loss(x, given["same2"], first_mask)),
        "SimpTripLoss": (one, trip),
        "NCELoss": (one, lambda x: contrastive(unit(x), unit(other), scale)),
        "alignmentLoss": (first, lambda x: alignment_loss(x, second, first_mask, second_mask)),
        "AlignTripLoss": (first, late_trip),
        "attAlignmentLoss": (first, lambda x: gated_alignment_loss(x, second, second_mask, *gate)),
    }
    for name, (argument, function) in functions.items():
        x = argument.clone().requires_grad_()
        loss = function(x)
        expected.close(name, loss.reshape(1))
        expected.close(f"{name}.grad", torch.autograd.grad(loss, x)[0])
        expected.same(f"{name} works", bool(loss.isfinite()), expected.value(name)["ok"])
    width = expected.tensor("getLanMask").shape[1]
    expected.equal("getLanMask", (torch.arange(width) < lengths[:, None]).float())
