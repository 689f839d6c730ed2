"""Models of two layers, made in milliseconds, and the texts and pictures they take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tuwen.loading import new
from tuwen.model import Model
from tuwen.models import chinese_clip
from tuwen.models.chinese_clip import ChineseCLIP, Config
from tuwen.nn.bert import BertConfig
from tuwen.nn.resnet import ResNetConfig
from tuwen.nn.vit import ViTConfig
from tuwen.processing.vocabulary import build
from tuwen.processing.wordpiece import WordPiece

VOCABULARY = build(["一只红色的猫在绿色草地上，小船照片", "a red cat on the green grass photo"])
TEXT = BertConfig(vocabulary=len(VOCABULARY), width=32, layers=2, heads=2, hidden=48, positions=40)
VIT = Config(ViTConfig(32, patch_size=8, width=32, layers=2, heads=2), TEXT, embedding=16)
RESNET = Config(ResNetConfig(64, blocks=(1, 2, 1, 1), width=4, heads=4, embedding=16), TEXT, embedding=16)
CONFIGS = {"vit": VIT, "resnet": RESNET}
TEXTS = ["猫", "一只红色的猫在绿色草地上", "a red cat on the green grass", "小船", "一只猫，一只小船"]


def randomise(module: torch.nn.Module, seed: int = 0) -> None:
    """Every parameter and running statistic away from the 0 and 1 it starts at."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point() or name == "log_scale":
                continue
            drawn = 0.1 * torch.randn(tensor.shape, generator=noise)
            around_one = "running_var" in name or ("norm" in name and name.endswith("weight"))
            tensor.copy_(1 + drawn.abs() if around_one else drawn)


def module(config: Config = VIT, seed: int = 0) -> ChineseCLIP:
    """Random weights, eval mode."""
    built = ChineseCLIP(config)
    randomise(built, seed)
    return built.eval()


def model(config: Config = VIT, seed: int = 0, dtype: str = "float32") -> Model:
    """The same with a tokenizer and a picture pipeline, on the CPU."""
    processor = chinese_clip.processor("original", config, WordPiece(VOCABULARY), None)
    made = new("chinese-clip", config, replace(processor, context_length=24), ("zh", "en"), "cpu")
    randomise(made.module, seed)
    return Model("chinese-clip", made.module, made.processor, None, ("zh", "en"), "cpu", dtype)


def pictures(count: int, size: int = 40) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """uint8 (size, size + 8, 3), noise."""
    noise = np.random.RandomState(7)
    return [noise.randint(0, 256, (size, size + 8, 3), dtype=np.uint8) for _ in range(count)]


def pixels(config: Config = VIT, count: int = 3) -> torch.Tensor:
    """(count, 3, R, R)."""
    size = config.image.image_size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))
