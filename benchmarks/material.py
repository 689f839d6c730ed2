"""Texts and pictures to measure with, the same in every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ENTRIES = 21128  # of the published vocabulary
FIRST_IDEOGRAPH = 0x4E00


def vocabulary() -> list[str]:
    """As many entries as the published one, a character each: Chinese texts become one token a character in both."""
    characters = [chr(FIRST_IDEOGRAPH + number) for number in range(20_900)]
    unused = [f"[unused{number}]" for number in range(ENTRIES - len(SPECIAL) - len(characters))]
    return [*SPECIAL, *characters, *unused]


def chinese_texts(count: int, mean: float, seed: int) -> list[str]:
    """Texts of `mean` characters on average; lengths spread like those of captions, one in twenty 1.6 times as long."""
    generator = np.random.default_rng(seed)
    lengths = np.clip(np.round(generator.gamma(8, mean / 8, count)), 2, 50).astype(int)
    while lengths.sum() != round(mean * count):  # exactly the mean, whatever the draw
        lengths[generator.integers(count)] += int(np.sign(round(mean * count) - lengths.sum()))
        lengths = np.clip(lengths, 2, 50)
    return ["".join(chr(FIRST_IDEOGRAPH + n) for n in generator.integers(0, 3000, length)) for length in lengths]


def photographs(folder: Path, count: int, width: int, height: int) -> list[Path]:
    """JPEG files with the statistics of photographs: noise of every scale and sharp edges, quality 88."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(count):
        picture = np.zeros((height, width, 3), dtype=np.float32)
        for cells in (4, 16, 64, 256, 1024):
            noise = generator.standard_normal((cells * height // width, cells, 3)).astype(np.float32)
            for channel in range(3):
                layer = Image.fromarray(noise[:, :, channel]).resize((width, height), Image.Resampling.BICUBIC)
                picture[:, :, channel] += np.asarray(layer) * 40 / cells**0.3
        for _ in range(30):  # edges
            top, left = int(generator.integers(height - 200)), int(generator.integers(width - 200))
            bottom, right = top + int(generator.integers(50, 900)), left + int(generator.integers(50, 900))
            picture[top:bottom, left:right] += generator.normal(0, 40, 3).astype(np.float32)
        path = folder / f"photograph{number}.jpg"
        Image.fromarray(np.clip(picture + 128, 0, 255).astype(np.uint8)).save(path, quality=88)
        paths.append(path)
    return paths


def letters(count: int, shortest: int, longest: int, seed: int) -> list[str]:
    """English-like texts of words of one letter, one token each: all lengths as often, in tokens with the two framing
    ones."""
    generator = np.random.default_rng(seed)
    lengths = [shortest + number % (longest - shortest + 1) for number in generator.permutation(count)]
    return [" ".join(chr(n) for n in generator.integers(ord("a"), ord("z") + 1, length - 2)) for length in lengths]


def squares(count: int, edge: int, seed: int) -> list[NDArray[np.uint8]]:
    """Pictures (edge, edge, 3) uint8 of coarse noise, already of the size that a model takes."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(cells).resize((edge, edge), Image.Resampling.BICUBIC)) for cells in coarse]
