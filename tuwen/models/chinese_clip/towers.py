"""The model and its published sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tuwen.nn.bert import Bert, BertConfig
from tuwen.nn.heads import Projection
from tuwen.nn.resnet import ResNet, ResNetConfig
from tuwen.nn.vit import ViT, ViTConfig
from tuwen.types import Images, PackedTexts, Texts

START_SCALE = math.log(1 / 0.07)
# Training clamps the scale's logarithm to [0, ln 100]; the published models sit at the upper end.
MAX_LOG_SCALE = 4.6052


@dataclass(frozen=True)
class Config:
    """Everything that fixes the shape of a model; `embedding` is the width of the shared space."""

    image: ViTConfig | ResNetConfig
    text: BertConfig
    embedding: int


RBT3 = BertConfig(vocabulary=21128, width=768, layers=3, heads=12, hidden=3072)
BASE = BertConfig(vocabulary=21128, width=768, layers=12, heads=12, hidden=3072)
LARGE = BertConfig(vocabulary=21128, width=1024, layers=24, heads=16, hidden=4096)

VARIANTS = {
    "rn50": Config(ResNetConfig(224, blocks=(3, 4, 6, 3), width=64, heads=32, embedding=1024), RBT3, 1024),
    "vit-b-16": Config(ViTConfig(224, patch_size=16, width=768, layers=12, heads=12), BASE, 512),
    "vit-b-32": Config(ViTConfig(224, patch_size=32, width=768, layers=12, heads=12), BASE, 512),
    "vit-l-14": Config(ViTConfig(224, patch_size=14, width=1024, layers=24, heads=16), BASE, 768),
    "vit-l-14-336": Config(ViTConfig(336, patch_size=14, width=1024, layers=24, heads=16), BASE, 768),
    "vit-h-14": Config(ViTConfig(224, patch_size=14, width=1280, layers=32, heads=16), LARGE, 1024),  # heads of 80
}


class ChineseCLIP(nn.Module):
    """Two towers into one space."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.text = Bert(config.text)
        self.text_projection = Projection(config.text.width, config.embedding)
        self.image: ViT | ResNet
        self.image_projection: nn.Module
        if isinstance(config.image, ViTConfig):
            self.image = ViT(config.image)
            self.image_projection = Projection(config.image.width, config.embedding)
        else:
            self.image = ResNet(config.image)
            self.image_projection = nn.Identity()  # its attention pooling already ends in the shared space
        self.log_scale = nn.Parameter(torch.tensor(START_SCALE))

    def encode_image(self, images: Images, patch_dropout: float = 0.0) -> Tensor:
        """images -> features (B, E), not normalised; patch_dropout is for training, and for the ViT towers only."""
        if patch_dropout and isinstance(self.image, ViT):
            return self.image_projection(self.image(images.pixels, patch_dropout))
        return self.image_projection(self.image(images.pixels))

    def encode_text(self, texts: Texts | PackedTexts) -> Tensor:
        """texts -> features (B, E), not normalised; the [CLS] state, no pooler."""
        return self.text_projection(self.text(texts))

    def scale(self) -> Tensor:
        """What multiplies the cosine."""
        return self.log_scale.exp()

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep the scale's logarithm within [0, ln 100], after every optimizer step as the original does."""
        self.log_scale.clamp_(0, MAX_LOG_SCALE)


def build(config: Config) -> ChineseCLIP:
    """A module of these sizes."""
    return ChineseCLIP(config)


def variant_of(config: Config) -> str | None:
    """The published variant of these sizes, if there is one."""
    return next((name for name, known in VARIANTS.items() if known == config), None)
