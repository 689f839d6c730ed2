"""What sits on top of the towers: projections, poolers, classifiers, and unit length."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tuwen.nn.attention import ACTIVATIONS
from tuwen.nn.linear import Linear


class Projection(nn.Module):
    """x @ weight, with weight (in, out): the orientation in which CLIP-like files store their projections."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_in, width_out) * width_in**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        return x @ self.weight


class Pooler(nn.Module):
    """The first token through one layer and tanh."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        """states (B, T, D) -> (B, D)."""
        return torch.tanh(self.dense(states[:, 0]))


def classifier(width: int, *outputs: int) -> nn.Sequential:
    """The task heads of METER, BridgeTower and VLE: one layer to the scores, or a hidden one with norm and gelu before.

    outputs: (classes,) or (hidden, classes). The norm has torch's own epsilon, 1e-5, whatever the model around it uses.
    """
    if len(outputs) == 1:
        return nn.Sequential(Linear(width, outputs[0]))
    hidden, classes = outputs
    return nn.Sequential(Linear(width, hidden), nn.LayerNorm(hidden, eps=1e-5), nn.GELU(), Linear(hidden, classes))


class WordTransform(nn.Module):
    """What BERT does to a state before comparing it with its vocabulary: a layer, the activation, a norm."""

    def __init__(self, width: int, eps: float, activation: str = "gelu") -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        return self.norm(self.activation(self.dense(x)))


def unit(features: Tensor) -> Tensor:
    """features (..., E) divided by their length, as the originals do it (no epsilon)."""
    return features / features.norm(dim=-1, keepdim=True)


def normal_start(module: nn.Module) -> nn.Module:
    """Every linear layer in it starts from normal weights of deviation 0.02 and zero biases."""
    for part in module.modules():
        if isinstance(part, Linear):
            nn.init.normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module
