"""Self attention over padded or packed sequences, and the feed-forward network beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.nn.linear import FUSED, Linear

Runs = Sequence[tuple[int, int]]  # (count, length) of each stretch of equally long sequences


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x), OpenAI CLIP's approximation of gelu; published weights expect exactly this one.

    Written with silu, whose backward pass is one kernel instead of four.
    """
    y = 1.702 * x
    if torch.is_grad_enabled():
        return F.silu(y) * (1 / 1.702)
    return F.silu(y, inplace=True).mul_(1 / 1.702)  # a fresh piece of memory costs a CPU more than the arithmetic


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

    def forward(
        self, x: Tensor, mask: Tensor | None = None, runs: Runs | None = None, only_first: bool = False
    ) -> Tensor:
        """x (B, T, D) with mask (B, T), True where real, or None; or packed x (N, D) with its runs. Same shape out.

        only_first: what the first token of each sequence sees and nothing else, (B, D).
        """
        return self.mix(self.qkv(x), mask, runs, only_first)

    def mix(
        self, qkv: Tensor, mask: Tensor | None = None, runs: Runs | None = None, only_first: bool = False
    ) -> Tensor:
        """`forward` from queries, keys and values on: qkv (B, T, 3 * D), or packed (N, 3 * D) with its runs."""
        mixed = self._padded(qkv, mask, only_first) if runs is None else self._packed(qkv, runs, only_first)
        return self.output(mixed)

    def _padded(self, qkv: Tensor, mask: Tensor | None, only_first: bool) -> Tensor:
        """qkv (B, T, 3 * D) -> (B, T, D), or (B, D) of the first tokens."""
        batch, length, _ = qkv.shape
        q, k, v = qkv.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D / H)
        if only_first:
            q = q[:, :, :1]
        seen = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, T): every query sees the real keys
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=seen, dropout_p=self.dropout if self.training else 0.0
        )
        if only_first:
            return mixed.reshape(batch, -1)  # (B, H, 1, D / H) -> (B, D)
        return mixed.transpose(1, 2).reshape(batch, length, -1)

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """What each query of x (B, T, D) gives to each key: probabilities (B, H, T, T); mask (B, T)."""
        q, k, _ = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min)
        return scores.softmax(-1)

    def _packed(self, qkv: Tensor, runs: Runs, only_first: bool) -> Tensor:
        """One unmasked attention for each run of equally long sequences: nothing is spent on padding."""
        return torch.cat([self._padded(run, None, only_first).flatten(0, -2) for run in unpacked(qkv, runs)])


def unpacked(x: Tensor, runs: Runs) -> list[Tensor]:
    """Packed x (N, D) -> for each run its sequences, (count, length, D)."""
    pieces = x.split([count * length for count, length in runs])
    return [piece.view(count, length, -1) for (count, length), piece in zip(runs, pieces, strict=True)]


def first_tokens(x: Tensor, runs: Runs | None = None) -> Tensor:
    """x (B, T, D), or packed x (N, D) with its runs -> the first token of each sequence, (B, D)."""
    return x[:, 0] if runs is None else torch.cat([run[:, 0] for run in unpacked(x, runs)])


class FeedForward(nn.Module):
    """Widen, activate, narrow."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.expand = Linear(width, hidden)
        self.reduce = Linear(hidden, width)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        if self.activation in FUSED:
            return self.reduce(self.expand.activated(x, self.activation))
        return self.reduce(ACTIVATIONS[self.activation](self.expand(x)))
