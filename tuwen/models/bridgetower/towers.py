"""BridgeTower's sizes and its model: a RoBERTa, a CLIP picture tower, and a fusion with bridges from both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.errors import UsageError
from tuwen.nn.bert import Bert, BertConfig
from tuwen.nn.fusion import Fusion, FusionConfig
from tuwen.nn.heads import WordTransform, classifier, normal_start
from tuwen.nn.linear import Linear
from tuwen.nn.vit import ViT, ViTConfig
from tuwen.types import Fused, Images, PackedTexts, Texts


@dataclass(frozen=True)
class Config:
    """Sizes of a model and which heads it has.

    heads: name -> widths of the head's layers: "match" (2,), "fill" (V,), "contrast" (E,) or (E, E) with one for the
    pooled pair, "answer", "entail" and "pair" (hidden, classes) or (classes,), "rank" (1,).
    contrast_on: what the picture's contrastive vector is made from: "transform", the transformed state with its token
    type as in transformers, or "tower", the tower's own state as in the original code.
    norm_inputs: whether the first levels are normalised; not in METER. gates: METER's mixture of all levels.
    types: rows of the token type table, text first; a third is the second picture of NLVR2.
    """

    image: ViTConfig
    text: BertConfig
    fusion: FusionConfig
    heads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    shared_transforms: bool = True
    norm_inputs: bool = True
    gates: bool = False
    types: int = 2
    word_eps: float = 1e-5
    word_activation: str = "gelu"
    contrast_on: str = "transform"
    answers: tuple[str, ...] = ()

    @property
    def embedding(self) -> int:
        """Width E of the contrastive vectors, 0 without that head."""
        return self.heads.get("contrast", (0,))[0]


def _variant(image_size: int, patch_size: int, width: int, layers: int, heads: int, **own: tuple[int, ...]) -> Config:
    text = BertConfig(
        50265, width, layers, heads, 4 * width, positions=514, segments=1, eps=1e-5, padding=1, pooler=True
    )
    return Config(
        ViTConfig(image_size, patch_size, width, layers, width // 64),
        text,
        FusionConfig(width, 6, heads, 4 * width, eps=1e-5, bridge="add"),
        own,
    )


VARIANTS = {
    "base": _variant(288, 16, 768, 12, 12),
    "base-itm-mlm": _variant(288, 16, 768, 12, 12, match=(2,), fill=(50265,)),
    "large-itm-mlm": _variant(294, 14, 1024, 24, 16, match=(2,), fill=(50265,)),
    "large-itm-mlm-itc": _variant(294, 14, 1024, 24, 16, match=(2,), fill=(50265,), contrast=(512, 512)),
}


def variant_of(config: Config) -> str | None:
    """The published name of these sizes and heads, None where there is none. The size of pictures does not count."""
    plain = _without_size(config)
    return next((name for name, sizes in VARIANTS.items() if _without_size(sizes) == plain), None)


def _without_size(config: Config) -> Config:
    return replace(config, image=replace(config.image, image_size=0, any_size=False), answers=())


class Contrast(nn.Module):
    """Vectors of text, picture and, in transformers' files, of the fused pair in one space, and their scale."""

    def __init__(self, text: int, image: int, pooled: int, outputs: tuple[int, ...], has_scale: bool) -> None:
        super().__init__()
        self.text = Linear(text, outputs[0])
        self.image = Linear(image, outputs[0])
        self.cross = Linear(pooled, outputs[1]) if len(outputs) > 1 else None
        self.log_scale = nn.Parameter(torch.tensor(2.6592)) if has_scale else None


class Words(nn.Module):
    """Scores of every word of the vocabulary for a text state; not tied to the word table."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.fusion.width
        self.transform = WordTransform(width, config.word_eps, config.word_activation)
        self.decoder = Linear(width, config.text.vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., V)."""
        return self.decoder(self.transform(x))


class BridgeTower(nn.Module):
    """Texts and pictures -> states that know of each other (arXiv 2206.08657); METER is the same without bridges."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        check(config)
        width, levels = config.fusion.width, config.fusion.levels
        self.image = ViT(config.image)
        self.text = Bert(config.text)
        self.text_transform = _transform(config.text.width, width, levels, config.shared_transforms)
        self.image_transform = _transform(config.image.width, width, levels, config.shared_transforms)
        self.types = nn.Embedding(config.types, width)
        eps = config.fusion.bridge_eps
        self.norm_text = nn.LayerNorm(width, eps=eps) if config.norm_inputs else None
        self.norm_image = nn.LayerNorm(width, eps=eps) if config.norm_inputs else None
        self.text_gate = Linear(config.text.width, config.text.width) if config.gates else None
        self.image_gate = Linear(config.image.width, config.image.width) if config.gates else None
        self.fusion = Fusion(config.fusion)
        self.temperature = nn.Parameter(torch.tensor(0.07)) if config.contrast_on == "tower" else None
        self.heads = nn.ModuleDict({name: new_head(name, config) for name in config.heads})

    # -- each side alone -----------------------------------------------------------------------------------------------

    def text_levels(self, texts: Texts | PackedTexts) -> Tensor:
        """-> what the fusion takes from the texts, (B, T, K, D), or (N, K, D) of packed ones."""
        return self.text_levels_of(self.text.states(texts))

    def text_levels_of(self, states: list[Tensor]) -> Tensor:
        """The same from the text tower's states, as `Bert.states` gives them."""
        chosen = self._chosen(states)
        if self.text_gate is not None:
            chosen = _mixed(chosen, self.text_gate)
        levels = _transformed(self.text_transform, chosen) + self.types.weight[0]
        return _first_normalised(levels, self.norm_text)

    def image_levels(self, images: Images, kind: int = 1) -> Tensor:
        """-> what the fusion takes from the pictures, (B, N, K, D); `kind` is their row of the token type table."""
        return self.image_levels_of(self.image.states(images.pixels), kind)

    def image_levels_of(self, states: list[Tensor], kind: int = 1) -> Tensor:
        """The same from the picture tower's states, as `ViT.states` gives them."""
        if not 0 < kind < self.config.types:
            raise UsageError(f"pictures of token type {kind}: this model has types 1 to {self.config.types - 1}")
        chosen = self.image.norm_out(self._chosen(states))  # one norm for every level
        if self.image_gate is not None:
            chosen = _mixed(chosen, self.image_gate)
        levels = _transformed(self.image_transform, chosen) + self.types.weight[kind]
        return _first_normalised(levels, self.norm_image)

    def _chosen(self, states: list[Tensor]) -> Tensor:
        """The tower's states that the fusion takes, (..., K, D); all layers' where gates mix them."""
        first = 1 if self.config.gates else len(states) - self.config.fusion.levels
        return torch.stack(states[first:], dim=-2)

    # -- together ------------------------------------------------------------------------------------------------------

    def forward(self, images: Images, texts: Texts, last: str = "all", kind: int = 1) -> Fused:
        """Picture i with text i. last: which part of `Fused` is wanted (see `Fusion.forward`)."""
        image = self.fusion.image_side(self.image_levels(images, kind))
        return self.fusion(image, self.fusion.text_side(self.text_levels(texts), texts.mask), last)

    def words(self, text: Tensor) -> Tensor:
        """Fused text states (..., D) -> logits (..., V)."""
        return self.heads["fill"](text)

    def pair_logits(self, texts: Texts, first: Images, second: Images, dropout: float = 0.1) -> Tensor:
        """NLVR2: whether text i is true of its two pictures, (B, 2), index 1 = true. dropout acts in training only."""
        text = self.fusion.text_side(self.text_levels(texts), texts.mask)
        pooled = []
        for kind, images in ((1, first), (2, second)):
            image = self.fusion.image_side(self.image_levels(images, kind))
            pooled.append(cast(Tensor, self.fusion(image, text, "first").pooled))
        return self.heads["pair"](F.dropout(torch.cat(pooled, dim=-1), dropout, self.training))

    # -- as two towers -------------------------------------------------------------------------------------------------

    @property
    def _contrast(self) -> Contrast:
        return cast(Contrast, self.heads["contrast"])

    def encode_text(self, texts: Texts | PackedTexts) -> Tensor:
        """-> contrastive vectors (B, E), not normalised; no fusion takes place."""
        return self.text_vector(self.text(texts))

    def text_vector(self, first: Tensor) -> Tensor:
        """first (B, width of the tower), the text tower's last state of each first token -> (B, E)."""
        return self._contrast.text(first)

    def encode_image(self, images: Images, patch_dropout: float = 0.0) -> Tensor:
        """-> contrastive vectors (B, E), not normalised; no fusion takes place."""
        return self.image_vector(self.image(images.pixels, patch_dropout))

    def image_vector(self, first: Tensor) -> Tensor:
        """first (B, width of the tower), the picture tower's last state of each class token, normalised -> (B, E)."""
        if self.config.contrast_on == "transform":
            first = self._last_image_transform(first) + self.types.weight[1]
        return self._contrast.image(first)

    def encode_pair(self, pooled: Tensor) -> Tensor:
        """pooled (B, 2 * D) of `Fused` -> the pair's vector (B, E), not normalised; only in transformers' files."""
        if self._contrast.cross is None:
            raise UsageError("this model has no contrastive head for fused pairs: the original's files hold none")
        return self._contrast.cross(pooled)

    def _last_image_transform(self, x: Tensor) -> Tensor:
        shared = isinstance(self.image_transform, Linear)
        return self.image_transform(x) if shared else cast(nn.ModuleList, self.image_transform)[-1](x)

    def scale(self) -> Tensor:
        """What multiplies the cosine."""
        if self.temperature is not None:
            return 1 / self.temperature
        return cast(Tensor, self._contrast.log_scale).exp()

    @torch.no_grad()
    def after_step(self) -> None:
        """The original keeps its temperature in [0.001, 0.5]."""
        if self.temperature is not None:
            self.temperature.clamp_(0.001, 0.5)


def build(config: Config) -> BridgeTower:
    """A model of these sizes with fresh weights."""
    return BridgeTower(config)


def check(config: Config) -> None:
    """UsageError for sizes that make no model."""
    if config.fusion.bridge:
        if config.image.layers != config.text.layers:
            raise UsageError(
                f"{config.text.layers} text layers and {config.image.layers} picture layers: "
                "bridges need as many of both"
            )
        if config.fusion.layers > config.text.layers + 1:
            raise UsageError(
                f"{config.fusion.layers} fusion layers need {config.fusion.layers - 1} layers in each tower, "
                f"these have {config.text.layers}"
            )
    if "contrast" in config.heads and config.contrast_on == "tower" and config.image.width != config.text.width:
        raise UsageError("the original's contrastive heads need towers of one width")


def _transform(width_in: int, width: int, levels: int, shared: bool) -> Linear | nn.ModuleList:
    return Linear(width_in, width) if shared else nn.ModuleList(Linear(width_in, width) for _ in range(levels))


def _transformed(transform: Linear | nn.ModuleList, levels: Tensor) -> Tensor:
    """levels (..., K, D) through the one transform, or each through its own."""
    if isinstance(transform, Linear):
        return transform(levels)
    return torch.stack([one(level) for one, level in zip(transform, levels.unbind(-2), strict=True)], dim=-2)


def _first_normalised(levels: Tensor, norm: nn.Module | None) -> Tensor:
    """levels (..., K, D): the first is where the fusion begins."""
    if norm is None:
        return levels
    return torch.cat([norm(levels[..., :1, :]), levels[..., 1:, :]], dim=-2)


def _mixed(levels: Tensor, gate: nn.Module) -> Tensor:
    """METER's fusion of levels (..., K, D) into (..., 1, D): the last, plus the others weighted by a softmax."""
    earlier, last = levels[..., :-1, :], levels[..., -1:, :]
    return last + (gate(earlier).softmax(-2) * earlier).sum(-2, keepdim=True)


def new_head(name: str, config: Config) -> nn.Module:
    """A head with fresh weights: normal with 0.02, biases 0, as the original starts them."""
    return normal_start(_head(name, config))


def _head(name: str, config: Config) -> nn.Module:
    width, outputs = config.fusion.width, config.heads[name]
    if name == "fill":
        return Words(config)
    if name == "contrast":
        on_tower = config.contrast_on == "tower"
        image = config.image.width if on_tower else width
        return Contrast(config.text.width, image, 2 * width, outputs, has_scale=not on_tower)
    if name in ("match", "rank"):
        return Linear(2 * width, outputs[0])
    if name in ("answer", "entail"):
        return classifier(2 * width, *outputs)
    if name == "pair":
        return classifier(4 * width, *outputs)
    raise UsageError(f"BridgeTower has no head {name!r}")
