"""How much goes through a model at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

# On a CPU large enough for its matrix products and small enough for its caches.
TOKENS_AT_ONCE = 2048
TOKENS_AT_ONCE_ON_GPU = 32_768
PIXELS_AT_ONCE = 4 * 224 * 224  # as fast as larger passes, and their memory is not asked for anew
PICTURES_AT_ONCE_ON_GPU = 32


def tokens_at_once(device: torch.device) -> int:
    """Tokens of one pass on a device, unless the caller says so."""
    return TOKENS_AT_ONCE if device.type == "cpu" else TOKENS_AT_ONCE_ON_GPU


def pictures_at_once(device: torch.device, height: int, width: int) -> int:
    """Pictures of this size in one pass on a device."""
    return max(1, PIXELS_AT_ONCE // (height * width)) if device.type == "cpu" else PICTURES_AT_ONCE_ON_GPU


def passes(lengths: Sequence[int], tokens: int, batch_size: int | None = None) -> Iterator[list[int]]:
    """Numbers of texts, shortest first, in passes of at most so many tokens, or of `batch_size` texts if given."""
    numbers: list[int] = []
    held = 0
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        full = len(numbers) == batch_size if batch_size else held + lengths[number] > tokens
        if numbers and full:
            yield numbers
            numbers, held = [], 0
        numbers.append(number)
        held += lengths[number]
    if numbers:
        yield numbers
