"""The post-norm BERT encoder, over padded or packed texts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tuwen.nn.attention import Attention, FeedForward, Runs, first_tokens, unpacked
from tuwen.nn.linear import Linear
from tuwen.types import PackedTexts, Texts


@dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT encoder; `positions` is the rows of its position table, `segments` the number of token types.

    segments may be 0, without a table of them. tasks: rows of ERNIE's table of tasks, of which every token gets row
    `task`; 0 is without one.
    padding: the id of padding where positions are counted as in RoBERTa, over the tokens that are not padding and
    beginning after it; None counts all tokens from 0. pooler: published files hold one that nothing uses; it is kept
    so that they can be written again whole.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    positions: int = 512
    segments: int = 2
    activation: str = "gelu"
    eps: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    initializer_range: float = 0.02
    padding: int | None = None
    pooler: bool = False
    tasks: int = 0
    task: int = 0

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return self.positions if self.padding is None else self.positions - self.padding - 1


class Embeddings(nn.Module):
    """Word, position and segment tables, added and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.segments = nn.Embedding(config.segments, config.width) if config.segments else None
        self.tasks = nn.Embedding(config.tasks, config.width) if config.tasks else None
        self.task = config.task
        self.norm = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        """ids (...), positions and segments of a shape that broadcasts to it -> (..., D)."""
        x = self.words(ids)
        if self.segments is not None:  # without segments every token takes row 0 of their table
            x = x + (self.segments.weight[0] if segments is None else self.segments(segments))
        x = x + self.positions(positions)
        if self.tasks is not None:
            x = x + self.tasks.weight[self.task]
        return self.dropout(self.norm(x))


class Block(nn.Module):
    """Post-norm: attend, add, normalise; think, add, normalise."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads, config.attention_dropout)
        self.norm_attention = nn.LayerNorm(config.width, eps=config.eps)
        self.mlp = FeedForward(config.width, config.hidden, config.activation)
        self.norm_mlp = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, runs: Runs | None = None, only_first: bool = False
    ) -> Tensor:
        """x (B, T, D) with mask (B, T), or packed x (N, D) with runs; same shape out, or (B, D) with only_first."""
        attended = self.attention(x, mask, runs, only_first)
        return self.think(first_tokens(x, runs) if only_first else x, attended)

    def think(self, x: Tensor, attended: Tensor) -> Tensor:
        """x (..., D) and what its tokens saw, of the same shape and overwritten -> the block's states of it."""
        x = self.norm_attention(added(x, self.dropout(attended)))
        return self.norm_mlp(added(x, self.dropout(self.mlp(x))))


def added(x: Tensor, fresh: Tensor) -> Tensor:
    """x + fresh; without gradients in the memory of `fresh`, which must be nobody else's.

    A new piece of memory costs a CPU more than the sum.
    """
    if torch.is_grad_enabled() or fresh.dtype != x.dtype:  # under autocast they differ, and the sum is the wider one
        return x + fresh
    return fresh.add_(x)


def counted(ids: Tensor, padding: int) -> Tensor:
    """ids (B, T) -> RoBERTa's positions (B, T): padding + 1, padding + 2, ... over real tokens, `padding` on padding.

    With padding id 1 rows 0 and 1 of the position table never meet a word.
    """
    real = ids != padding
    return real.cumsum(1) * real + padding


class Bert(nn.Module):
    """Token ids -> states after every layer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.pooler = Linear(config.width, config.width) if config.pooler else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """BERT's start: tables and weights normal with `initializer_range`, biases 0, norms 1 and 0."""
        for module in self.modules():
            if isinstance(module, Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def embed(self, texts: Texts | PackedTexts) -> tuple[Tensor, Tensor | None, Runs | None]:
        """-> what the blocks take: x (B, T, D) with mask (B, T), or packed x (N, D) with runs."""
        if isinstance(texts, PackedTexts):
            return self.embeddings(texts.ids, self._positions(texts), None), None, texts.runs
        return self.embeddings(texts.ids, self._positions(texts), texts.segments), texts.mask, None

    def _positions(self, texts: Texts | PackedTexts) -> Tensor:
        """The row of the position table for each token, of a shape that broadcasts to the ids."""
        padding = self.config.padding
        if isinstance(texts, PackedTexts):
            if padding is None:
                return texts.positions
            runs = unpacked(texts.ids[:, None], texts.runs)  # (count, length, 1) each
            return torch.cat([counted(run[..., 0], padding).flatten() for run in runs])
        if padding is None:
            return torch.arange(texts.ids.shape[1], device=texts.ids.device)
        return counted(texts.ids, padding)

    def states(self, texts: Texts | PackedTexts) -> list[Tensor]:
        """States after the embeddings and after each layer: (B, T, D) for padded texts, (N, D) for packed ones."""
        x, mask, runs = self.embed(texts)
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], mask, runs))
        return states

    def forward(self, texts: Texts | PackedTexts) -> Tensor:
        """-> the state of each text's first token, (B, D), in the order of the texts."""
        x, mask, runs = self.embed(texts)
        for block in self.blocks[:-1]:
            x = block(x, mask, runs)
        if self.training:  # the whole last layer, so that dropout draws the same numbers as in the original
            return first_tokens(self.blocks[-1](x, mask, runs), runs)
        return self.blocks[-1](x, mask, runs, only_first=True)
