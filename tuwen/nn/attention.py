"""Self attention over padded or packed sequences, and the feed-forward network beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.nn.linear import Linear

Runs = Sequence[tuple[int, int]]  # (count, length) of each stretch of equally long sequences


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), OpenAI CLIP's approximation of gelu; published weights expect exactly this one.

    Written with silu, whose backward pass is one kernel instead of four.
    """
    return F.silu(1.702 * x) * (1 / 1.702)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"quick_gelu": quick_gelu, "gelu": F.gelu, "relu": F.relu}


class Attention(nn.Module):
    """Multi-head self attention with one projection for queries, keys and values: rows q | k | v of `qkv`."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be divided among {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.qkv = Linear(width, 3 * width)
        self.output = Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, runs: Runs | None = None) -> Tensor:
        """x (B, T, D) with mask (B, T), True where real, or None; or packed x (N, D) with its runs. Same shape out."""
        qkv = self.qkv(x)
        mixed = self._padded(qkv, mask) if runs is None else self._packed(qkv, runs)
        return self.output(mixed)

    def _padded(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, _ = qkv.shape
        q, k, v = qkv.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D / H)
        seen = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, T): every query sees the real keys
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=seen, dropout_p=self.dropout if self.training else 0.0
        )
        return mixed.transpose(1, 2).reshape(batch, length, -1)

    def _packed(self, qkv: Tensor, runs: Runs) -> Tensor:
        """One unmasked attention for each run of equally long sequences: nothing is spent on padding."""
        pieces = []
        for (count, length), piece in zip(runs, qkv.split([count * length for count, length in runs]), strict=True):
            pieces.append(self._padded(piece.view(count, length, -1), None).view(count * length, -1))
        return torch.cat(pieces)


class FeedForward(nn.Module):
    """Widen, activate, narrow."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.expand = Linear(width, hidden)
        self.reduce = Linear(hidden, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        return self.reduce(self.activation(self.expand(x)))
