"""ERNIE-ViL 2.0's sizes and its model: a vision transformer and an ERNIE of one width, without projections."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tuwen.nn.bert import Bert, BertConfig
from tuwen.nn.vit import ViT, ViTConfig
from tuwen.types import Images, PackedTexts, Texts


@dataclass(frozen=True)
class Config:
    """Sizes of both towers, whose widths are equal."""

    image: ViTConfig
    text: BertConfig

    @property
    def embedding(self) -> int:
        """Width E of the features."""
        return self.text.width


# Segments and tasks of ERNIE 3.0 are switched off here; the epsilon is ERNIE's own, not BERT's.
BASE_TEXT = BertConfig(40000, 768, 12, 12, 3072, positions=2048, segments=0, eps=1e-5, pooler=True)

VARIANTS = {
    "base": Config(ViTConfig(224, 16, 768, 12, 12, eps=1e-6), BASE_TEXT),
    # The large model was never released: its picture tower is in the code, the sizes of its text tower are ours.
    "large": Config(
        ViTConfig(224, 14, 1024, 24, 16, eps=1e-6), replace(BASE_TEXT, width=1024, layers=24, heads=16, hidden=4096)
    ),
}


def variant_of(config: Config) -> str | None:
    """The published name of these sizes, None where there is none."""
    plain = replace(config, image=replace(config.image, hidden=None), text=replace(config.text, eps=BASE_TEXT.eps))
    same_hidden = config.image.hidden in (None, 4 * config.image.width)
    return next((name for name, sizes in VARIANTS.items() if same_hidden and sizes == plain), None)


class ErnieViL2(nn.Module):
    """Pictures and texts -> features in one space (arXiv 2209.15270)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.image = ViT(config.image)
        self.text = Bert(config.text)
        self.log_scale = nn.Parameter(torch.tensor(2.65926))  # ln(1 / 0.07), as far as the original writes it out

    def encode_image(self, images: Images, patch_dropout: float = 0.0) -> Tensor:
        """-> (B, E), not normalised: the class token after the last norm."""
        return self.image(images.pixels, patch_dropout)

    def encode_text(self, texts: Texts | PackedTexts) -> Tensor:
        """-> (B, E), not normalised: the pooled state of the first token."""
        assert self.text.pooler is not None
        return torch.tanh(self.text.pooler(self.text(texts)))

    def scale(self) -> Tensor:
        """What multiplies the cosine."""
        return self.log_scale.exp()

    def after_step(self) -> None:
        """Nothing: the original's clipping of the temperature has no effect."""


def build(config: Config) -> ErnieViL2:
    """A model of these sizes with fresh weights."""
    return ErnieViL2(config)
