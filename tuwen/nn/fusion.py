"""Co-attention: two streams that attend to themselves and to each other, with or without bridges from the towers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.nn.attention import FeedForward
from tuwen.nn.heads import Pooler
from tuwen.nn.linear import Linear
from tuwen.types import Fused

BRIDGES = ("add", "scaled_add", "interpolate")
PARTS = ("all", "first", "text", "image")  # what of the last layer's output is wanted


@dataclass(frozen=True)
class FusionConfig:
    """Sizes of a fusion; `bridge` is None, or one of BRIDGES: how the towers' levels come in before layers 1, 2, ..."""

    width: int
    layers: int
    heads: int
    hidden: int
    activation: str = "gelu"
    eps: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    bridge: str | None = None
    bridge_eps: float = 1e-5

    @property
    def levels(self) -> int:
        """K, the states of every token that each side brings."""
        return self.layers if self.bridge else 1


@dataclass(frozen=True)
class Side:
    """One stream as far as it goes without the other: B items after the first layer's own attention.

    own (B, T, D): that attention's output, normalised; query (B, H, T, D / H): the first layer's question to the
    other stream; keys, values (B, H, T, D / H): what the other stream finds here; later (B, T, K - 1, D): the levels
    of the bridges; mask (B, T), True where real, or None where all are.
    """

    own: Tensor
    query: Tensor
    keys: Tensor
    values: Tensor
    later: Tensor
    mask: Tensor | None

    def __len__(self) -> int:
        return len(self.own)

    def repeat(self, count: int) -> Side:
        """One item as `count` equal ones, without taking more memory."""
        return Side(*(None if part is None else part.expand(count, *part.shape[1:]) for part in self._parts()))  # type: ignore[arg-type]

    def __getitem__(self, rows: Tensor) -> Side:
        """The items of these numbers, rows (B',) int64; one may come several times."""
        return Side(*(None if part is None else part[rows] for part in self._parts()))  # type: ignore[arg-type]

    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.own, self.query, self.keys, self.values, self.later, self.mask

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return sum(part.numel() * part.element_size() for part in self._parts() if part is not None)


@dataclass(frozen=True)
class Step:
    """One layer from outside: what came in, what went out, and the four attention maps (B, H, queries, keys)."""

    text_in: Tensor
    image_in: Tensor
    text: Tensor
    image: Tensor
    text_own: Tensor
    text_other: Tensor
    image_own: Tensor
    image_other: Tensor


class Attend(nn.Module):
    """Multi-head attention whose queries come from one sequence and whose keys and values come from another."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be divided among {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.query = Linear(width, width)
        self.memory = Linear(width, 2 * width)  # rows: keys | values
        self.output = Linear(width, width)

    def ask(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> queries (B, H, T, D / H)."""
        return self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def offer(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source (B, S, D) -> keys and values, (B, H, S, D / H) each."""
        keys, values = self.memory(source).unflatten(-1, (2, self.heads, -1)).unbind(-3)  # each (B, S, H, D / H)
        return keys.transpose(1, 2), values.transpose(1, 2)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """query (B, H, T, D / H), keys and values (B, H, S, D / H), mask (B, S) or None -> (B, T, D)."""
        seen = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, S)
        mixed = F.scaled_dot_product_attention(
            query, keys, values, attn_mask=seen, dropout_p=self.dropout if self.training else 0.0
        )
        return self.output(mixed.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
        """What each query of x (B, T, D) gives to each key of source (B, S, D): probabilities (B, H, T, S)."""
        query, (keys, _) = self.ask(x), self.offer(source)
        scores = query @ keys.transpose(-1, -2) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min)
        return scores.softmax(-1)


class CoAttention(nn.Module):
    """Attend to oneself, then to the other stream, then think: three post-norm steps.

    `begin` and `finish` are its two halves: all of `begin` depends on this stream alone.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.own = Attend(config.width, config.heads, config.attention_dropout)
        self.norm_own = nn.LayerNorm(config.width, eps=config.eps)
        self.other = Attend(config.width, config.heads, config.attention_dropout)
        self.norm_other = nn.LayerNorm(config.width, eps=config.eps)
        self.mlp = FeedForward(config.width, config.hidden, config.activation)
        self.norm_mlp = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def begin(self, x: Tensor, mask: Tensor | None, only_first: bool = False) -> tuple[Tensor, Tensor]:
        """x (B, T, D) -> after its own attention (B, T, D), and the question to the other stream (B, H, T, D / H).

        only_first: both for the first token alone, T = 1.
        """
        asking = x[:, :1] if only_first else x
        attended = self.own(self.own.ask(asking), *self.own.offer(x), mask)
        own = self.norm_own(asking + self.dropout(attended))
        return own, self.other.ask(own)

    def finish(self, own: Tensor, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """The rest, with keys and values of the other stream, mask (B, S) of its tokens -> (B, T, D)."""
        x = self.norm_other(own + self.dropout(self.other(query, keys, values, mask)))
        return self.norm_mlp(x + self.dropout(self.mlp(x)))


class Bridge(nn.Module):
    """A tower's level into the stream: added, scaled, or interpolated, then normalised (arXiv 2206.08657, 3.3)."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        if config.bridge not in BRIDGES:
            raise ValueError(f"bridge is {config.bridge!r}, expected one of {', '.join(BRIDGES)}")
        self.kind = config.bridge
        self.norm = nn.LayerNorm(config.width, eps=config.bridge_eps)
        if self.kind == "scaled_add":
            self.factor = nn.Parameter(torch.tensor(1.0))
        elif self.kind == "interpolate":
            self.beta = nn.Parameter(torch.tensor(0.5))

    def forward(self, level: Tensor, x: Tensor) -> Tensor:
        """level and x (B, T, D) -> (B, T, D)."""
        if self.kind == "scaled_add":
            level = level * self.factor
        elif self.kind == "interpolate":
            level, x = level * (1 - self.beta), x * self.beta
        return self.norm(level + x)


class Fusion(nn.Module):
    """Two stacks of co-attention in step, and a pooler on each."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        bridges = config.layers - 1 if config.bridge else 0
        self.text_layers = nn.ModuleList(CoAttention(config) for _ in range(config.layers))
        self.image_layers = nn.ModuleList(CoAttention(config) for _ in range(config.layers))
        self.text_bridges = nn.ModuleList(Bridge(config) for _ in range(bridges))
        self.image_bridges = nn.ModuleList(Bridge(config) for _ in range(bridges))
        self.text_pooler = Pooler(config.width)
        self.image_pooler = Pooler(config.width)

    def text_side(self, levels: Tensor, mask: Tensor | None = None) -> Side:
        """levels (B, T, K, D), mask (B, T): all that the fusion can know before it meets a picture."""
        return _side(levels, mask, *self._pair(0))

    def image_side(self, levels: Tensor, mask: Tensor | None = None) -> Side:
        """levels (B, N, K, D), mask (B, N): all that the fusion can know before it meets a text."""
        return _side(levels, mask, *reversed(self._pair(0)))

    def _pair(self, number: int) -> tuple[CoAttention, CoAttention]:
        """The text's and the picture's layer of this number."""
        return cast(CoAttention, self.text_layers[number]), cast(CoAttention, self.image_layers[number])

    def forward(self, image: Side, text: Side, last: str = "all") -> Fused:
        """Item i of one side with item i of the other.

        last: "all" gives every part of Fused; "first" only `pooled`, "text" only `text`, "image" only `image`: exactly
        the same numbers with less of the last layer computed.
        """
        if last not in PARTS:
            raise ValueError(f"last is {last!r}, expected one of {', '.join(PARTS)}")
        if self.config.layers == 0:
            raise ValueError("this model has no fusion layers")
        if self.config.layers == 1:
            image, text = _wanted(image, last == "first"), _wanted(text, last == "first")
        x, y = self._finish(0, image, text, last)
        for number in range(1, self.config.layers):
            x, y = self._layer(number, x, y, image, text, last)
        pooled = None
        if last in ("all", "first"):
            pooled = torch.cat([self.text_pooler(x), self.image_pooler(y)], dim=-1)
        return Fused(
            x if last in ("all", "text") else None,
            y if last in ("all", "image") else None,
            pooled,
        )

    def _finish(self, number: int, image: Side, text: Side, last: str) -> tuple[Tensor, Tensor]:
        """The second half of a layer for both streams; a stream that nobody reads afterwards stays as it is."""
        at_end = number == self.config.layers - 1
        text_layer, image_layer = self._pair(number)
        x, y = text.own, image.own
        if not (at_end and last == "image"):
            x = text_layer.finish(text.own, text.query, image.keys, image.values, image.mask)
        if not (at_end and last == "text"):
            y = image_layer.finish(image.own, image.query, text.keys, text.values, text.mask)
        return x, y

    def _layer(self, number: int, x: Tensor, y: Tensor, image: Side, text: Side, last: str) -> tuple[Tensor, Tensor]:
        """Layer `number` >= 1 on the states x (B, T, D) of the text and y (B, N, D) of the picture."""
        x, y = self._bridged(number, x, y, text, image)
        only_first = last == "first" and number == self.config.layers - 1
        text_layer, image_layer = self._pair(number)
        begun_text = Side(
            *text_layer.begin(x, text.mask, only_first), *image_layer.other.offer(x), text.later, text.mask
        )
        begun_image = Side(
            *image_layer.begin(y, image.mask, only_first), *text_layer.other.offer(y), image.later, image.mask
        )
        return self._finish(number, begun_image, begun_text, last)

    def _bridged(self, number: int, x: Tensor, y: Tensor, text: Side, image: Side) -> tuple[Tensor, Tensor]:
        if not self.config.bridge:
            return x, y
        level = number - 1
        return (
            self.text_bridges[level](text.later[:, :, level], x),
            self.image_bridges[level](image.later[:, :, level], y),
        )

    def trace(
        self,
        image_levels: Tensor,
        text_levels: Tensor,
        text_mask: Tensor | None = None,
        image_mask: Tensor | None = None,
    ) -> list[Step]:
        """Every layer's inputs, outputs and attention maps; levels (B, N, K, D) and (B, T, K, D), masks (B, ...)."""
        image, text = self.image_side(image_levels, image_mask), self.text_side(text_levels, text_mask)
        x, y = text_levels[:, :, 0], image_levels[:, :, 0]
        steps = []
        for number in range(self.config.layers):
            if number:
                x, y = self._bridged(number, x, y, text, image)
            steps.append(self._step(number, x, y, text_mask, image_mask))
            x, y = steps[-1].text, steps[-1].image
        return steps

    def _step(self, number: int, x: Tensor, y: Tensor, text_mask: Tensor | None, image_mask: Tensor | None) -> Step:
        text_layer, image_layer = self._pair(number)
        text, text_own, text_other = _observed(text_layer, x, y, text_mask, image_mask)
        image, image_own, image_other = _observed(image_layer, y, x, image_mask, text_mask)
        return Step(x, y, text, image, text_own, text_other, image_own, image_other)


def _side(levels: Tensor, mask: Tensor | None, layer: CoAttention, opposite: CoAttention) -> Side:
    x = levels[:, :, 0]
    return Side(*layer.begin(x, mask), *opposite.other.offer(x), levels[:, :, 1:], mask)


def _observed(
    layer: CoAttention, x: Tensor, other: Tensor, mask: Tensor | None, other_mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """A whole layer on x: its output, and what it attended to in its own stream and in the other."""
    own, query = layer.begin(x, mask)
    output = layer.finish(own, query, *layer.other.offer(other), other_mask)
    return output, layer.own.weights(x, x, mask), layer.other.weights(own, other, other_mask)


def _wanted(side: Side, only_first: bool) -> Side:
    """The side with questions of its first token alone, if no others are wanted."""
    return replace(side, own=side.own[:, :1], query=side.query[:, :, :1]) if only_first else side
