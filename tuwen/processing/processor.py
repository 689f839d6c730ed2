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
from tuwen.processing.batch import batch
from tuwen.processing.image import ImagePipeline
from tuwen.processing.prefetch import prepared
from tuwen.processing.tokenizer import NoTokenizer, Tokenizer, open_tokenizer
from tuwen.types import Images, PackedTexts, Texts

if TYPE_CHECKING:
    from tuwen.types import Picture

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "preprocessor.json"


@dataclass(frozen=True)
class Processor:
    """Texts and pictures to what a model takes.

    context_length: ids per text at most, those that frame it included; None for a model that takes any length.
    overflow: what happens to a longer text, "cut" at its end or "error".
    """

    tokenizer: Tokenizer
    image: ImagePipeline
    context_length: int | None = 52
    overflow: str = "cut"

    def __post_init__(self) -> None:
        if self.context_length is not None and self.context_length < 2:
            raise UsageError(f"context_length is {self.context_length}, expected at least 2")
        if self.overflow not in ("cut", "error"):
            raise UsageError(f"overflow is {self.overflow!r}, expected 'cut' or 'error'")

    def ids(self, texts: Sequence[str], length: int | None = None) -> list[list[int]]:
        """Ids of each text, those that frame it included, without padding.

        `length` cuts them to that many, if the model takes as many. InputError names the first text that is too long,
        where a text too long is an error.
        """
        limit = self.context_length
        if length is not None and (limit is None or length <= limit):
            return self.tokenizer.ids(texts, length)
        if limit is None or self.overflow == "cut":
            return self.tokenizer.ids(texts, limit)
        rows = self.tokenizer.ids(texts)
        for place, row in enumerate(rows):
            if len(row) > limit:
                shown = repr(texts[place][:40]) + "..." * (len(texts[place]) > 40)
                raise InputError(
                    f"text {place + 1} of {len(rows)} ({shown}) has {len(row)} tokens, the model "
                    f"takes {limit}: shorten it, or cut texts with a processor whose overflow is 'cut'"
                )
        return rows

    def texts(self, texts: Sequence[str], length: int | None = None) -> Texts:
        """Texts padded to the longest of them, or to exactly `length` ids, which cuts what is longer."""
        rows = self.ids(texts, length)
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
        """Prepared and normalised pictures (B, 3, H, W), with a mask where sizes differ and the pipeline pads.

        InputError names the first picture that cannot be decoded.
        """
        one = isinstance(pictures, str | bytes | Path) or getattr(pictures, "ndim", 4) < 4  # an array of arrays has 4
        if one or not hasattr(pictures, "__len__"):
            raise UsageError(f"pictures is one {type(pictures).__name__}, expected a list of pictures: put it in [ ]")
        if not len(pictures):
            raise UsageError("pictures is an empty list, expected at least one picture")
        rows = []
        for _, pixels in prepared(pictures, self.image, 0 if len(pictures) == 1 else workers):
            if isinstance(pixels, InputError):
                raise pixels
            rows.append(pixels)
        return batch(rows, self.image)

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and preprocessor.json into a folder, which is made if it does not exist."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(folder / TOKENIZER_FILE)
        settings = {"context_length": self.context_length, "overflow": self.overflow, "image": self.image.to_dict()}
        settings |= {"texts": False} if isinstance(self.tokenizer, NoTokenizer) else {}
        partial = folder / f"{SETTINGS_FILE}.partial"
        partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / SETTINGS_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> Processor:
        """Read what `save` wrote. InputError names a file that is missing or not as written."""
        path = Path(folder) / SETTINGS_FILE
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
            length = settings["context_length"]
            context_length = None if length is None else int(length)
            overflow = str(settings.get("overflow", "cut"))
            pipeline = ImagePipeline.from_dict(settings["image"])
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not what tuwen writes: {error}") from error
        takes_texts = settings.get("texts", True)
        tokenizer = open_tokenizer(Path(folder) / TOKENIZER_FILE) if takes_texts else NoTokenizer()
        return cls(tokenizer, pipeline, context_length, overflow)

    def fingerprint(self) -> str:
        """Equal for processors that give equal ids and pixels; the pixel limit does not count."""
        image = replace(self.image, max_pixels=0).to_dict()
        described = [self.tokenizer.fingerprint(), self.context_length, image]
        described += ["error"] if self.overflow == "error" else []
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
