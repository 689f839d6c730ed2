"""The DeBERTa-v3 encoder: attention that also weighs how far apart two tokens are, arXiv 2006.03654 and 2111.09543."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.nn.attention import FeedForward, Runs, unpacked
from tuwen.nn.linear import Linear
from tuwen.types import PackedTexts, Texts


@dataclass(frozen=True)
class DebertaConfig:
    """Sizes of a DeBERTa-v3 encoder; distances are told apart up to `max_distance`, in 2 * `buckets` classes."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    buckets: int = 256
    max_distance: int = 512
    activation: str = "gelu"
    eps: float = 1e-7
    dropout: float = 0.1
    attention_dropout: float = 0.1
    initializer_range: float = 0.02


@dataclass(frozen=True)
class Relations:
    """The normalised table of distances (2k, D), and a key that tells one state of it from another; None: unknown."""

    table: Tensor
    key: tuple[object, ...] | None


@lru_cache(maxsize=512)
def places_between(length: int, buckets: int, max_distance: int) -> Tensor:
    """(T, T) int64: the row of the table for query i and key j, by their distance i - j.

    Up to half of `buckets` every distance has its own row; further away rows cover logarithmic steps. Computed in
    float32 like the original's `make_log_bucket_position`, for the sake of its roundings.
    """
    distance = torch.arange(1 - length, length)
    middle = buckets // 2
    far = distance.abs().clamp(min=middle)
    steps = torch.log(far / middle) / torch.log(torch.tensor((max_distance - 1) / middle)) * (middle - 1)
    coarse = (torch.ceil(steps) + middle) * distance.sign()
    rows = torch.where(distance.abs() <= middle, distance.float(), coarse).long() + buckets  # (2T - 1,)
    place = torch.arange(length)
    return rows.clamp(0, 2 * buckets - 1)[place[:, None] - place[None, :] + length - 1]


class RelativeAttention(nn.Module):
    """Self attention by content, by content to place and by place to content; rows q | k | v of `qkv`.

    The projections of the table of distances do not depend on a text. Without gradients they are computed once for
    every set of weights.
    """

    def __init__(self, config: DebertaConfig) -> None:
        super().__init__()
        if config.width % config.heads:
            raise ValueError(f"width {config.width} cannot be divided among {config.heads} heads")
        self.heads = config.heads
        self.max_distance = config.max_distance
        self.dropout = config.attention_dropout
        self.qkv = Linear(config.width, 3 * config.width)
        self.output = Linear(config.width, config.width)
        self._places: tuple[tuple[object, ...], Tensor, Tensor] | None = None  # derived from weights: never saved

    def places(self, relations: Relations) -> tuple[Tensor, Tensor]:
        """-> queries and keys of the table's rows, (H, 2k, D / H) each."""
        key = state_of(self.qkv.weight, cast(Tensor, self.qkv.bias))
        if key is None or relations.key is None:
            self._places = None
            return self._project(relations.table)
        key += relations.key
        if self._places is None or self._places[0] != key:
            self._places = (key, *self._project(relations.table))
        return self._places[1:]

    def _project(self, table: Tensor) -> tuple[Tensor, Tensor]:
        queries, keys, _ = self._heads(self.qkv(table)[None])
        return queries[0], keys[0]

    def forward(self, x: Tensor, mask: Tensor | None, runs: Runs | None, relations: Relations) -> Tensor:
        """x (B, T, D) with mask (B, T), or packed x (N, D) with runs; same shape out."""
        qkv = self.qkv(x)
        places = self.places(relations)
        if runs is None:
            return self.output(self._mixed(qkv, mask, places))
        parts = [self._mixed(run, None, places).flatten(0, 1) for run in unpacked(qkv, runs)]
        return self.output(torch.cat(parts))

    def _mixed(self, qkv: Tensor, mask: Tensor | None, places: tuple[Tensor, Tensor]) -> Tensor:
        """qkv (B, T, 3 * D) -> (B, T, D)."""
        q, k, v = self._heads(qkv)
        scale = (3 * q.shape[-1]) ** -0.5  # there are three kinds of scores
        by_place = self._by_place(q, k, places) * scale
        if mask is not None:
            by_place = by_place.masked_fill(~mask[:, None, None, :], -torch.inf)
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=by_place, scale=scale, dropout_p=self.dropout if self.training else 0.0
        )
        mixed = mixed.transpose(1, 2).flatten(2)
        # A query on padding attends to nothing: the published models were made with transformers before 4.48.
        return mixed if mask is None else mixed.masked_fill(~mask[:, :, None], 0)

    def _heads(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, 3 * D) -> queries, keys and values (B, H, T, D / H)."""
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def _by_place(self, q: Tensor, k: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """Scores (B, H, T, T) of queries with the keys of places, and of keys with the queries of places."""
        between = places_between(q.shape[2], places[0].shape[1] // 2, self.max_distance)
        low, high = int(between.min()), int(between.max())  # only these rows of the table occur
        between = between.to(q.device)
        queries, keys = (part[:, low : high + 1].transpose(-1, -2) for part in places)  # (H, D / H, R)
        index = (between - low).expand(*q.shape[:2], -1, -1)  # (B, H, T, T)
        return (q @ keys).gather(-1, index) + (k @ queries).gather(-1, index.transpose(-1, -2)).transpose(-1, -2)

    def weights(self, x: Tensor, mask: Tensor, relations: Relations) -> Tensor:
        """What each query gives to each key: probabilities (B, H, T, T), 0 wherever one of them is padding."""
        q, k, _ = self._heads(self.qkv(x))
        scores = (q @ k.transpose(-1, -2) + self._by_place(q, k, self.places(relations))) * (3 * q.shape[-1]) ** -0.5
        both = mask[:, None, :, None] & mask[:, None, None, :]
        return scores.masked_fill(~both, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(~both, 0)

    def _apply(self, fn: Any, recurse: bool = True) -> RelativeAttention:
        self._places = None  # its key may come back when memory is used again
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_places": None}


def state_of(*weights: Tensor) -> tuple[object, ...] | None:
    """Equal for equal values, in one process; None where that cannot be told and nothing may be kept.

    With gradients on, a fused optimizer's step may follow, which leaves the version counters alone.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return None
    kind = weights[0].device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return None
    if any(weight.is_inference() for weight in weights):
        return None
    return tuple((weight.data_ptr(), weight._version, weight.dtype, weight.device) for weight in weights)


class Block(nn.Module):
    """Post-norm: attend, add, normalise; think, add, normalise."""

    def __init__(self, config: DebertaConfig) -> None:
        super().__init__()
        self.attention = RelativeAttention(config)
        self.norm_attention = nn.LayerNorm(config.width, eps=config.eps)
        self.mlp = FeedForward(config.width, config.hidden, config.activation)
        self.norm_mlp = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, runs: Runs | None, relations: Relations) -> Tensor:
        """x (B, T, D) with mask (B, T), or packed x (N, D) with runs; same shape out."""
        x = self.norm_attention(x + self.dropout(self.attention(x, mask, runs, relations)))
        return self.norm_mlp(x + self.dropout(self.mlp(x)))


class Embeddings(nn.Module):
    """The word table, normalised; there are no positions in it. Padding becomes zero."""

    def __init__(self, config: DebertaConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """ids (...) with mask (...), True where real -> (..., D)."""
        x = self.norm(self.words(ids))
        return self.dropout(x if mask is None else x * mask[..., None].to(x.dtype))


class Deberta(nn.Module):
    """Token ids -> states after every layer."""

    def __init__(self, config: DebertaConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.distances = nn.Embedding(2 * config.buckets, config.width)
        self.norm_distances = nn.LayerNorm(config.width, eps=config.eps)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self._relations: Relations | None = None  # derived from weights: never saved
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """BERT's start: tables and weights normal with `initializer_range`, biases 0, norms 1 and 0."""
        for module in self.modules():
            if isinstance(module, Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def relations(self) -> Relations:
        """The normalised table of distances; kept between calls without gradients."""
        norm = self.norm_distances
        key = state_of(self.distances.weight, norm.weight, norm.bias)
        if key is None:
            self._relations = None
        elif self._relations is not None and self._relations.key == key:
            return self._relations
        relations = Relations(norm(self.distances.weight), key)
        if key is not None:
            self._relations = relations
        return relations

    def states(self, texts: Texts | PackedTexts) -> list[Tensor]:
        """States after the embeddings and after each layer: (B, T, D) for padded texts, (N, D) for packed ones."""
        mask, runs = (None, texts.runs) if isinstance(texts, PackedTexts) else (texts.mask, None)
        states = [self.embeddings(texts.ids, mask)]
        relations = self.relations()
        for block in self.blocks:
            states.append(block(states[-1], mask, runs, relations))
        return states

    def forward(self, texts: Texts | PackedTexts) -> Tensor:
        """-> states of the last layer, (B, T, D), or (N, D) of packed texts."""
        return self.states(texts)[-1]

    def maps(self, texts: Texts) -> list[Tensor]:
        """What every layer attends to: probabilities (B, H, T, T) each."""
        relations = self.relations()
        return [
            cast(Block, block).attention.weights(x, texts.mask, relations)
            for block, x in zip(self.blocks, self.states(texts), strict=False)
        ]

    def _apply(self, fn: Any, recurse: bool = True) -> Deberta:
        self._relations = None
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_relations": None}
