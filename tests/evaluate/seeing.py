"""A stand-in for a two-tower model: features of whole numbers that say how bright a picture and how long a text is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tuwen.errors import InputError, UnsupportedTask
from tuwen.model import Model

WIDTH = 3


class Seeing:
    """Pictures are bytes: b"red 3" has the features (3, 0, 1); b"broken" cannot be read. Texts alike."""

    family = "chinese-clip"
    fingerprint = "0123456789abcdef"
    embedding = WIDTH
    takes_boxes = False

    def __init__(self, stop_after: int | None = None) -> None:
        self.pictures: list[bytes] = []
        self.texts: list[str] = []
        self.quotes: list[str | None] = []
        self.boxes: list[Any] = []
        self.stop_after = stop_after

    def need(self, task: str) -> None:
        if task != "embed":
            raise UnsupportedTask(task)

    def embed_images(
        self, images: Sequence[Any], batch_size: int = 32, *, on_error: Any = None, boxes: Any = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        self.boxes = boxes
        for number in range(len(images)):
            picture = images[number]
            if self.stop_after is not None and len(self.pictures) == self.stop_after:
                raise KeyboardInterrupt
            self.pictures.append(picture)
            if picture == b"broken":
                error = InputError("it is broken")
                if on_error is None:
                    raise error
                on_error(number, error)
                continue
            yield [number], features(picture.decode())[None]

    def encode_text(self, texts: Sequence[str], quotes: str | None = None) -> Tensor:
        self.texts += texts
        self.quotes.append(quotes)
        return torch.stack([features(text) for text in texts])


def features(words: str) -> Tensor:
    """("red 3") -> (3, 0, 1), ("blue 2") -> (0, 2, 1)."""
    colour, amount = words.split()
    value = float(amount)
    return torch.tensor([value if colour == "red" else 0.0, value if colour == "blue" else 0.0, 1.0])


def seeing(stop_after: int | None = None) -> tuple[Model, Seeing]:
    """The stand-in as a model, and as itself."""
    one = Seeing(stop_after)
    return cast(Model, one), one


def noise_picture(seed: int) -> Image.Image:
    """A small picture of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8))
