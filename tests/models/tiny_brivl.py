"""A BriVL of a layer or two, and the pictures, boxes and texts it takes."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.models import tiny
from tuwen.models.brivl import BriVL, Config
from tuwen.nn.bert import BertConfig
from tuwen.nn.efficientnet import scaled
from tuwen.types import Images, PackedTexts, Texts

SIZE = 96  # of pictures: a map of 3 x 3
TEXT = BertConfig(60, 16, 2, 2, 24, positions=96, pooler=True)
CONFIG = Config(scaled(SIZE, 0.1, 0.1, head=24, classes=3), TEXT, 2, 4, 1, 4, hidden=20, boxes=5, context_length=12)
LENGTHS = (3, 3, 7, 12)


def module(config: Config = CONFIG, seed: int = 0) -> BriVL:
    """Random weights, eval mode."""
    torch.manual_seed(seed)
    built = BriVL(config)
    tiny.randomise(built, seed)
    for name, tensor in built.state_dict().items():
        if "norm" not in name and tensor.is_floating_point() and tensor.ndim > 1:
            tensor.mul_(4)  # states that do not die away
    return built.eval()


def images(count: int = 3, boxes: bool = True) -> Images:
    """Of pictures with 1, 2, 3, ... boxes each."""
    noise = torch.Generator().manual_seed(3)
    pixels = torch.randn(count, 3, SIZE, SIZE, generator=noise)
    if not boxes:
        return Images(pixels)
    places = torch.rand(count, CONFIG.boxes, 4, generator=noise) * SIZE
    real = torch.arange(CONFIG.boxes) <= torch.arange(count)[:, None]
    return Images(pixels, None, places * real[..., None], real)


def texts(length: int = CONFIG.context_length) -> Texts:
    """Padded to a length."""
    ids = torch.zeros(len(LENGTHS), length, dtype=torch.long)
    mask = torch.arange(length) < torch.tensor(LENGTHS)[:, None]
    ids[mask] = torch.randint(1, 60, (sum(LENGTHS),), generator=torch.Generator().manual_seed(4))
    return Texts(ids, mask)


def packed() -> PackedTexts:
    """The same texts, which are sorted by their length."""
    padded = texts()
    positions = torch.cat([torch.arange(length) for length in LENGTHS])
    starts = torch.tensor(LENGTHS).cumsum(0) - torch.tensor(LENGTHS)
    return PackedTexts(padded.ids[padded.mask], positions, ((2, 3), (1, 7), (1, 12)), starts)


def features(built: BriVL) -> tuple[Tensor, Tensor]:
    """Of all pictures and of all texts."""
    with torch.no_grad():
        return built.encode_image(images()), built.encode_text(texts())
