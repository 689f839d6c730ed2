"""The peer, transformers' Chinese-CLIP used as its model page shows, and tuwen with the same random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from PIL import Image
from torch import Tensor

import tuwen
from benchmarks.material import vocabulary
from tuwen.model import Model

LENGTH = 52  # what the published model was trained with, and what its tokenizer's configuration pads to


class Peer:
    """`ChineseCLIPModel` with `ChineseCLIPProcessor` on Pillow, of the sizes of ViT-B-16 and RoBERTa-wwm base."""

    def __init__(self, folder: Path) -> None:
        transformers.logging.disable_progress_bar()
        text = {"vocab_size": 21128, "hidden_act": "gelu"}  # all else is the classes' own default
        image = {"patch_size": 16, "projection_dim": 512}
        settings = transformers.ChineseCLIPConfig(text_config=text, vision_config=image, projection_dim=512)
        torch.manual_seed(0)
        self.model: Any = transformers.ChineseCLIPModel(settings).eval()
        with torch.no_grad():  # the classes start biases at 0 and norms at 1, which would hide a misplaced tensor
            for name, parameter in self.model.named_parameters():
                if parameter.ndim == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.02)
                assert parameter.isfinite().all(), name
        vocab = folder / "vocab.txt"
        vocab.write_text("\n".join(vocabulary()), encoding="utf-8")
        pictures = transformers.ChineseCLIPImageProcessorPil(do_center_crop=False, size={"height": 224, "width": 224})
        tokenizer = transformers.BertTokenizer(str(vocab))
        self.processor: Any = transformers.ChineseCLIPProcessor(pictures, tokenizer)
        self.model.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(pictures.to_dict(), default=str), encoding="utf-8")

    def texts(self, texts: Sequence[str], padding: str = "max_length") -> Tensor:
        """Features (N, E) of unit length; padding="longest" stops at the longest text of the batch."""
        with torch.no_grad():
            inputs = self.processor(
                text=list(texts), padding=padding, max_length=LENGTH, truncation=True, return_tensors="pt"
            )
            return self._unit(self.model.get_text_features(**inputs))

    def pixels(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, 224, 224), prepared -> features (B, E) of unit length."""
        with torch.no_grad():
            return self._unit(self.model.get_image_features(pixel_values=pixels))

    def files(self, paths: Sequence[Path]) -> Tensor:
        """Files, all in one batch -> features (N, E) of unit length."""
        inputs = self.processor(images=[Image.open(path) for path in paths], return_tensors="pt")
        return self.pixels(inputs["pixel_values"])

    @staticmethod
    def _unit(output: Any) -> Tensor:
        features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return features / features.norm(p=2, dim=-1, keepdim=True)


@dataclass(frozen=True)
class Rivals:
    """Both sides; tuwen reads the folder that the peer wrote."""

    peer: Peer
    folder: Path

    @cached_property
    def tuwen(self) -> Model:
        return tuwen.load(self.folder, device="cpu")

    @cached_property
    def tuwen_bfloat16(self) -> Model:
        return tuwen.load(self.folder, device="cpu", dtype="bfloat16")


@contextmanager
def rivals() -> Iterator[Rivals]:
    """Both sides, in a temporary folder of 0.8 GB."""
    with TemporaryDirectory(prefix="tuwen-benchmarks-") as folder:
        yield Rivals(Peer(Path(folder)), Path(folder))
