"""A small post-norm transformer over vectors without positions, as `torch.nn.TransformerEncoder` computes it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tuwen.nn.attention import Attention, Runs
from tuwen.nn.linear import Linear


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of an encoder."""

    width: int
    layers: int
    heads: int
    hidden: int = 2048
    eps: float = 1e-5
    dropout: float = 0.1


class Layer(nn.Module):
    """Attend, add, normalise; think with relu, add, normalise."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads, config.dropout)
        self.norm_attention = nn.LayerNorm(config.width, eps=config.eps)
        self.expand = Linear(config.width, config.hidden)
        self.reduce = Linear(config.hidden, config.width)
        self.norm_mlp = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, runs: Runs | None = None) -> Tensor:
        """x (B, T, D) with mask (B, T), True where real, or None; or packed x (N, D) with its runs. Same shape out."""
        x = self.norm_attention(x + self.dropout(self.attention(x, mask, runs)))
        thought = self.reduce(self.dropout(self.expand.activated(x, "relu")))
        return self.norm_mlp(x + self.dropout(thought))


class Encoder(nn.Module):
    """Layers one after the other, without a norm at the end."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def states(self, x: Tensor, mask: Tensor | None = None, runs: Runs | None = None) -> list[Tensor]:
        """x and the states after every layer, each of the shape of x; see `Layer`."""
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], mask, runs))
        return states

    def forward(self, x: Tensor, mask: Tensor | None = None, runs: Runs | None = None) -> Tensor:
        """x (B, T, D), or packed (N, D) -> the same shape."""
        for layer in self.layers:
            x = layer(x, mask, runs)
        return x


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """x (B, T, D), mask (B, T), True where real, or None where all are -> the mean of the real ones (B, D)."""
    if mask is None:
        return x.mean(dim=1)
    kept = mask[..., None].to(x.dtype)  # (B, T, 1)
    return (x * kept).sum(dim=1) / kept.sum(dim=1)
