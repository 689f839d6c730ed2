"""ERNIE-ViL 2.0 and BriVL with a layer or two and random weights, saved as `tuwen.load` reads them."""

from __future__ import annotations

from pathlib import Path

import torch

from tuwen.loading import new
from tuwen.models import brivl, ernie_vil2
from tuwen.nn.bert import BertConfig
from tuwen.nn.efficientnet import scaled
from tuwen.nn.vit import ViTConfig
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.vocabulary import build
from tuwen.processing.wordpiece import WordPiece

WORDS = build(["一只红色的猫在绿色草地上", "a red cat"])


def save_ernie(folder: Path) -> Path:
    """Width 32, pictures of 32 pixels."""
    torch.manual_seed(0)
    text = BertConfig(len(WORDS), 32, 2, 2, 64, positions=48, segments=0, eps=1e-5, pooler=True)
    sizes = ernie_vil2.Config(ViTConfig(32, 16, 32, 2, 2, eps=1e-6), text)
    new("ernie-vil2", sizes, Processor(WordPiece(WORDS), ImagePipeline.ernie(32), 48), ("zh",), "cpu").save(folder)
    return folder


def save_brivl(folder: Path, boxes: int = 4) -> Path:
    """Width 24, pictures of 64 pixels, texts of 16 tokens, room for so many boxes."""
    torch.manual_seed(0)
    text = BertConfig(len(WORDS), 16, 1, 2, 32, positions=32, pooler=True)
    sizes = brivl.Config(scaled(64, 0.1, 0.1, 24, 0), text, 1, 2, 1, 2, hidden=32, boxes=boxes, context_length=16)
    processor = Processor(WordPiece(WORDS, "transformers"), ImagePipeline.brivl(64), 16)
    new("brivl", sizes, processor, ("zh",), "cpu").save(folder)
    return folder
