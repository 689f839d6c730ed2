"""Tiny models with heads and tokenizers, from the golden cases' checkpoints, and what they are asked about."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuwen.loading import load
from tuwen.model import Model
from tuwen.types import Images, PackedTexts, Texts

CASES = Path(__file__).parent / "golden" / "cases"
BRIDGETOWER = CASES / "bridgetower" / "hf_all_heads" / "checkpoint"  # match, fill, contrast
PRETRAINED = CASES / "bridgetower" / "orig_pretrain" / "checkpoint" / "BridgeTower_pt_tiny.ckpt"  # match, fill
ANSWERING = CASES / "bridgetower" / "orig_vqa" / "checkpoint" / "BridgeTower_ftfpt_tiny_vqav2.ckpt"  # answer, unnamed
VLE_ANSWERING = CASES / "vle" / "vqa_base" / "checkpoint"
VLE_PRETRAINED = CASES / "vle" / "pretrain_checkpoint" / "checkpoint"  # match, ground, fill
MATCHING = {"bridgetower": BRIDGETOWER, "original": PRETRAINED, "vle": VLE_PRETRAINED}
PLACES = {**MATCHING, "vqa": VLE_ANSWERING, "original vqa": ANSWERING}

TEXTS = ["a cat", "two dogs in a car .", "an image of two cats chilling on a couch", "a goal", "a red bus near people"]


def opened(name: str, **settings: Any) -> Model:
    """A model of PLACES on the CPU, fresh for the test."""
    place = PLACES[name]
    tokenizer = None if place.is_dir() else place.parent / "roberta"
    return load(place, tokenizer=tokenizer, device="cpu", **settings)


@cache
def model(name: str) -> Model:
    """The same, opened once for all tests: not to be changed."""
    return opened(name)


def pictures(count: int = 3, seed: int = 7) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """uint8 (H, W, 3) of different shapes, soft colours."""
    noise = np.random.RandomState(seed)
    made = []
    for number in range(count):
        height, width = 50 + 9 * number, 80 - 11 * number
        colours = noise.randint(0, 256, (4, 5, 3), dtype=np.uint8)
        made.append(np.repeat(np.repeat(colours, height // 4, axis=0), width // 5, axis=1))
    return made


def pair_by_pair(of: Model, head: str, image: Any, text: str) -> torch.Tensor:
    """What the head says of one picture and one text that go through the whole model together, (outputs,)."""
    with torch.no_grad():
        pixels = of.processor.images([image]).pixels.to(of.dtype)
        fused = of.module(Images(pixels), of.processor.texts([text]))
        logits: torch.Tensor = of.fusing.heads[head](fused.pooled)
    return logits[0].float()


def counting(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many pictures, texts and pairs go through the towers and the fusion of whatever model from now on."""
    from tuwen.models.bridgetower import BridgeTower
    from tuwen.models.vle import VLE
    from tuwen.nn.fusion import Fusion

    seen: Counter[str] = Counter()
    for kind in (BridgeTower, VLE):
        monkeypatch.setattr(kind, "image_levels", _counted(kind.image_levels, seen, "pictures"))
        monkeypatch.setattr(kind, "text_levels", _counted(kind.text_levels, seen, "texts"))
    forward = Fusion.forward

    def fuse(self: Fusion, image: Any, text: Any, last: str = "all") -> Any:
        seen["pairs"] += len(text)
        return forward(self, image, text, last)

    monkeypatch.setattr(Fusion, "forward", fuse)
    return seen


def _counted(function: Any, seen: Counter[str], what: str) -> Any:
    def count(self: Any, given: Images | Texts | PackedTexts, *rest: Any) -> Any:
        seen[what] += len(given.starts) if isinstance(given, PackedTexts) else _size(given)
        return function(self, given, *rest)

    return count


def _size(given: Images | Texts) -> int:
    return len(given.pixels) if isinstance(given, Images) else len(given.ids)
