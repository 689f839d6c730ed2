"""Tokenizer and image pipeline of a model behind one object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tuwen.errors import InputError, UsageError
from tuwen.processing.image import ImagePipeline
from tuwen.processing.prefetch import prepared
from tuwen.processing.wordpiece import WordPiece
from tuwen.types import Images, PackedTexts, Texts

if TYPE_CHECKING:
    from tuwen.types import Picture

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "preprocessor.json"


@dataclass(frozen=True)
class Processor:
    """Texts and pictures to what a model takes; `context_length` ids per text at most, [CLS] and [SEP] included."""

    tokenizer: WordPiece
    image: ImagePipeline
    context_length: int = 52

    def __post_init__(self) -> None:
        if self.context_length < 2:
            raise UsageError(f"context_length is {self.context_length}, expected at least 2")

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """[CLS] ... [SEP] for each text, cut to `context_length`, without padding."""
        return self.tokenizer.ids(texts, self.context_length)

    def texts(self, texts: Sequence[str], length: int | None = None) -> Texts:
        """Texts padded to the longest of them, or to exactly `length` ids, which cuts what is longer."""
        context_length = self.context_length if length is None else min(length, self.context_length)
        rows = self.tokenizer.ids(texts, context_length)
        width = max(map(len, rows)) if length is None else length
        ids = torch.full((len(rows), width), self.tokenizer.pad_id, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.bool)
        for row, numbers in enumerate(rows):
            ids[row, : len(numbers)] = torch.tensor(numbers)
            mask[row, : len(numbers)] = True
        return Texts(ids, mask)

    def packed(self, ids: Sequence[Sequence[int]]) -> tuple[PackedTexts, list[int]]:
        """Sequences one after the other, sorted by length, and their order: packed sequence i is ids[order[i]].

        `restored[order] = features` puts the rows that come out back in the order of `ids`.
        """
        if not ids or not all(ids):
            raise UsageError("packing needs at least one sequence and no empty ones")
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        lengths = np.array([len(ids[place]) for place in order])
        starts = np.cumsum(lengths) - lengths
        flat = np.concatenate([np.asarray(ids[place], dtype=np.int64) for place in order])
        positions = np.arange(len(flat)) - np.repeat(starts, lengths)
        different, counts = np.unique(lengths, return_counts=True)
        runs = tuple((int(count), int(length)) for length, count in zip(different, counts, strict=True))
        packed = PackedTexts(torch.from_numpy(flat), torch.from_numpy(positions), runs, torch.from_numpy(starts))
        return packed, order

    def images(self, pictures: Sequence[Picture], workers: int | None = None) -> Images:
        """Prepared and normalised pictures (B, 3, H, W). InputError names the first that cannot be decoded."""
        if isinstance(pictures, str | bytes | Path) or not hasattr(pictures, "__len__"):
            raise UsageError(f"pictures is one {type(pictures).__name__}, expected a list of pictures: put it in [ ]")
        if not len(pictures):
            raise UsageError("pictures is an empty list, expected at least one picture")
        rows = []
        for _, pixels in prepared(pictures, self.image, 0 if len(pictures) == 1 else workers):
            if isinstance(pixels, InputError):
                raise pixels
            rows.append(pixels)
        shapes = sorted({row.shape[:2] for row in rows})
        if len(shapes) > 1:
            raise UsageError(
                f"pictures come out in sizes {shapes}, which make no batch: set size (height, width) or crop"
            )
        return Images(self.image.normalise(torch.from_numpy(np.stack(rows))))

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and preprocessor.json into a folder, which is made if it does not exist."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(folder / TOKENIZER_FILE)
        settings = {"context_length": self.context_length, "image": self.image.to_dict()}
        partial = folder / f"{SETTINGS_FILE}.partial"
        partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / SETTINGS_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> Processor:
        """Read what `save` wrote. InputError names a file that is missing or not as written."""
        path = Path(folder) / SETTINGS_FILE
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
            context_length, image = int(settings["context_length"]), settings["image"]
            pipeline = ImagePipeline.from_dict(image)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not what tuwen writes: {error}") from error
        return cls(WordPiece.from_json(Path(folder) / TOKENIZER_FILE), pipeline, context_length)

    def fingerprint(self) -> str:
        """Equal for processors that give equal ids and pixels; the pixel limit does not count."""
        image = replace(self.image, max_pixels=0).to_dict()
        described = [self.tokenizer.fingerprint(), self.context_length, image]
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
