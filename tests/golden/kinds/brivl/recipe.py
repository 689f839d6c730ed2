"""Weights that are a function of each tensor's name, its shape and a seed: no files, the same bits on every machine.

h = FNV-1a-64(name) xor seed * GOLDEN; the i-th value, counted from 0, is the splitmix64 finaliser of
h + (i + 1) * GOLDEN in 64-bit whole numbers, whose upper 24 bits become a float in [-1, 1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
AT_ONCE = 1 << 14  # values whose numbers stay in the cache

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def hashed(name: str) -> int:
    """FNV-1a, 64 bits."""
    found = 0xCBF29CE484222325
    for byte in name.encode():
        found = ((found ^ byte) * 0x100000001B3) & MASK
    return found


def units(name: str, count: int, seed: int) -> Array:
    """(count,) float32 in [-1, 1), each a multiple of 2 ** -23."""
    start = hashed(name) ^ ((seed * GOLDEN) & MASK)
    steps = np.arange(1, min(count, AT_ONCE) + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    mixed, shifted = np.empty_like(steps), np.empty_like(steps)
    values = np.empty(count, np.float32)
    for first in range(0, count, AT_ONCE):
        part = slice(0, min(AT_ONCE, count - first))
        z, shift = mixed[part], shifted[part]
        np.add(steps[part], np.uint64((start + first * GOLDEN) & MASK), out=z)
        for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            np.right_shift(z, np.uint64(bits), out=shift)
            np.bitwise_xor(z, shift, out=z)
            np.multiply(z, np.uint64(factor), out=z)
        np.right_shift(z, np.uint64(31), out=shift)
        np.bitwise_xor(z, shift, out=z)
        np.right_shift(z, np.uint64(40), out=z)
        small = values[first : first + AT_ONCE]
        small[:] = z.view(np.int64)
        small -= np.float32(1 << 23)
        small *= np.float32(2.0**-23)
    return values


def gain(name: str) -> float:
    """How strong a matrix of this name is."""
    block = re.search(r"blocks\.(\d+)\.(\d+)\.(\w+)", name)
    if block:
        stage, number, part = block.groups()
        if part == "se":
            return 1.0
        if part == "conv_pwl" or (part == "conv_pw" and stage == "0"):
            return 1.4 if number == "0" else 0.4
        return 1.5
    strengths = {"classifier": 1.0, "embeddings": 0.2}
    strengths |= dict.fromkeys(("conv_stem", "conv_head", "max_pool", "imgFC", "textFC"), 1.5)
    return next((strength for part, strength in strengths.items() if part in name), 1.2)


def tensor(name: str, shape: tuple[int, ...], seed: int, whole: bool = False) -> Tensor:
    """The tensor of this name, float32 or, where it holds whole numbers, int64."""
    count = math.prod(shape)
    if whole:
        numbers = torch.arange(count) if name.endswith("position_ids") else torch.full((count,), 7)
        return numbers.reshape(shape)
    values = units(name, count, seed)
    if name.endswith("running_var"):
        values = np.float32(1) + np.float32(0.5) * values
    elif len(shape) == 1 and name.endswith("weight"):
        values = np.float32(1) + np.float32(0.3) * values
    elif len(shape) == 1:
        values *= np.float32(0.1)
    else:
        values *= np.float32(gain(name) * math.sqrt(3 / math.prod(shape[1:])))
    return torch.from_numpy(values).reshape(shape)


def tensors(shapes: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """A tensor for every one of these, which give names, shapes and types."""
    return {name: tensor(name, tuple(like.shape), seed, not like.is_floating_point()) for name, like in shapes.items()}
