"""A VLE of two layers with the heads for grounding and choosing, and a tokenizer that needs no file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from tests.models import tiny_fusion
from tuwen.model import Model
from tuwen.models.vle import VLE
from tuwen.processing.image import ImagePipeline
from tuwen.types import Images, Texts

HEADS = {"ground": (32, 2), "choose": (64, 1)}


class Letters:
    """One piece for each letter, and [SEP]; ids by their code."""

    pad_id, unknown_id = 0, 3

    def __init__(self) -> None:
        self.vocabulary = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *map(chr, range(32, 127))]

    def tokens(self, text: str) -> list[str]:
        return re.findall(r"\[SEP\]|\S", text)

    def ids(self, texts: Sequence[str], context_length: int | None = None) -> list[list[int]]:
        rows = [[2 if piece == "[SEP]" else 3 + ord(piece) % 60 for piece in self.tokens(text)] for text in texts]
        return [[1, *(row if context_length is None else row[: context_length - 2]), 2] for row in rows]


class Processor:
    """Texts and pictures of 32 x 32 pixels, cut from the middle."""

    tokenizer = Letters()
    image = ImagePipeline(size=32, crop=(32, 32))

    def fingerprint(self) -> str:
        return "tiny"

    def texts(self, texts: Sequence[str]) -> Texts:
        (row,) = self.tokenizer.ids(texts)
        return Texts(torch.tensor([row]), torch.ones(1, len(row), dtype=torch.bool))

    def images(self, pictures: Sequence[Any]) -> Images:
        pixels = np.stack([self.image.pixels(picture) for picture in pictures])
        return Images(self.image.normalise(torch.from_numpy(pixels)))


def module(choose: str = "q2a", heads: tuple[str, ...] = tuple(HEADS), types: int = 83) -> VLE:
    """Random weights, 4 x 4 patches, eval mode."""
    config = replace(
        tiny_fusion.VLE,
        image=replace(tiny_fusion.VLE.image, image_size=32),
        text=replace(tiny_fusion.VLE.text, vocabulary=64),
        heads={name: HEADS[name] for name in heads},
        types=types,
        choose=choose,
    )
    built = cast(VLE, tiny_fusion.module(config))
    with torch.no_grad():
        for head in built.heads.values():
            for parameter in head.parameters():
                parameter.mul_(10)  # so that scores differ
    return built


def model(choose: str = "q2a", heads: tuple[str, ...] = tuple(HEADS), types: int = 83) -> Model:
    """The same with its processor, on the CPU."""
    return Model("vle", module(choose, heads, types), cast(Any, Processor()), None, ("en",), "cpu")


def picture(height: int = 48, width: int = 48) -> np.ndarray[Any, Any]:
    """uint8 (height, width, 3), noise."""
    return np.random.RandomState(3).randint(0, 256, (height, width, 3), dtype=np.uint8)
