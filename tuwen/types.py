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

    # What a user may pass as one picture: a path, the bytes of a file, a PIL picture, or a uint8 array or tensor
    # (H, W, 3), (H, W), or (3, H, W) where that cannot be misunderstood.
    Picture = str | Path | bytes | Image.Image | np.ndarray[Any, Any] | Tensor


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
    """A batch of prepared pictures.

    pixels (B, 3, H, W), normalised floats; mask (B, H, W) bool, False on the padding of pictures that are smaller than
    the largest of their batch, or None where nothing is padded. boxes (B, R, 4), xyxy in pixels of the prepared
    picture, with box_mask (B, R) bool, False on empty places, or None where all are real: for families that look at
    regions; None is without.
    """

    pixels: Tensor
    mask: Tensor | None = None
    boxes: Tensor | None = None
    box_mask: Tensor | None = None

    def to(self, device: torch.device | str) -> Images:
        """The same on a device."""
        parts = (self.mask, self.boxes, self.box_mask)
        return Images(self.pixels.to(device), *(None if part is None else part.to(device) for part in parts))


@dataclass(frozen=True)
class Boxes:
    """Objects of each picture as VLE takes them beside the picture itself, for B items.

    patches: for each item its boxes, each a list of patch numbers (row by row, the class token not counted);
    image_types: for each item the token type of each box; text_types: for each item the token types of its text, which
    may end early (the rest is of type 0).
    """

    patches: list[list[list[int]]]
    image_types: list[list[int]]
    text_types: list[list[int]]


@dataclass(frozen=True)
class Fused:
    """What two streams are after attending to each other; parts that were not asked for are None.

    text (B, T, D); image (B, N, D), the class token first; pooled (B, 2 * D), the text's half first.
    """

    text: Tensor | None
    image: Tensor | None
    pooled: Tensor | None


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


class FusionModel(Protocol):
    """What a family offers whose text and picture attend to each other.

    Levels are all that the fusion takes from one side: K states of width D for every token.
    """

    config: Any
    fusion: Any
    heads: Any

    def image_levels(self, images: Images) -> Tensor:
        """-> (B, N, K, D)."""
        ...

    def text_levels(self, texts: Texts | PackedTexts) -> Tensor:
        """-> (B, T, K, D), or (N, K, D) of packed texts."""
        ...

    def words(self, text: Tensor) -> Tensor:
        """Fused text states (..., D) -> logits over the vocabulary (..., V); needs the head "fill"."""
        ...
