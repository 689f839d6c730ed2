"""The nouns: tensors and values that travel together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image
    from torch import Tensor

    # What a user may pass as one picture: a path, the bytes of a file, a PIL picture, or uint8 (H, W, 3) or (H, W).
    Picture = str | Path | bytes | Image.Image | np.ndarray[Any, Any]


@dataclass(frozen=True)
class Texts:
    """A padded batch of token sequences.

    ids (B, T) int64; mask (B, T) bool, True where real; segments (B, T) int64, or None where every token is of
    segment 0.
    """

    ids: Tensor
    mask: Tensor
    segments: Tensor | None = None

    def to(self, device: torch.device | str) -> Texts:
        """The same on a device."""
        segments = None if self.segments is None else self.segments.to(device)
        return Texts(self.ids.to(device), self.mask.to(device), segments)


@dataclass(frozen=True)
class PackedTexts:
    """The same without padding: sequences one after the other, neighbours of equal length together.

    ids (N,) int64, N = all tokens; positions (N,) int64, each token's place in its own sequence;
    runs: (count, length) of each stretch of equally long sequences, in order, so that sum(count * length) == N;
    starts (B,) int64, where each sequence begins.
    """

    ids: Tensor
    positions: Tensor
    runs: tuple[tuple[int, int], ...]
    starts: Tensor

    def to(self, device: torch.device | str) -> PackedTexts:
        """The same on a device."""
        return PackedTexts(self.ids.to(device), self.positions.to(device), self.runs, self.starts.to(device))


@dataclass(frozen=True)
class Images:
    """A batch of prepared pictures: pixels (B, 3, H, W), normalised floats."""

    pixels: Tensor


@dataclass(frozen=True)
class Sample:
    """One picture with one text, as a reader yields it; decoding belongs to `processing`."""

    image: Picture
    text: str
    image_id: str = ""
    text_id: str = ""
    columns: dict[str, Any] = field(default_factory=dict)


class DualEncoder(Protocol):
    """What a two-tower family offers; features are not normalised. `config.embedding` is their width E."""

    config: Any

    def encode_image(self, images: Images, patch_dropout: float = 0.0) -> Tensor:
        """-> (B, E)."""
        ...

    def encode_text(self, texts: Texts | PackedTexts) -> Tensor:
        """-> (B, E)."""
        ...

    def scale(self) -> Tensor:
        """What multiplies the cosine."""
        ...

    def after_step(self) -> None:
        """What training has to do after every optimizer step."""
        ...
