"""Files of ERNIE-ViL 2.0 and BriVL as their own code writes them, with a layer or two and random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.models import tiny_brivl
from tests.models.tiny_towers import WORDS, save_ernie
from tuwen import checkpoint, keymap
from tuwen.models import brivl, ernie_vil2

SIZES = {"vision": {"num_heads": 2}, "text": {"num_attention_heads": 2}}
CFG: dict[str, Any] = {"MODEL": {"IMG_SIZE": tiny_brivl.SIZE, "MAX_IMG_LEN": 10, "MAX_TEXT_LEN": 12}}
ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"一只红色的猫在绿草地上acdert"]


def brivl_tensors() -> dict[str, Tensor]:
    """Of a training file: two different models, counting rows, a queue."""
    theirs = keymap.store(tiny_brivl.module().state_dict(), brivl.KEYS["original"])
    other = keymap.store(tiny_brivl.module(seed=1).state_dict(), brivl.KEYS["original"])
    whole = brivl.original_tensors(theirs, tiny_brivl.CONFIG)
    return whole | {name.replace("encoder.", "encoder_mom.", 1): tensor for name, tensor in other.items()}


def write_brivl(folder: Path, *starts: str) -> Path:
    """A .pth file with the tensors that begin so, all unless any is given; the vocabulary and the text encoder's
    config.json lie in the folder "encoder" beside it."""
    encoder = folder / "encoder"
    encoder.mkdir(parents=True, exist_ok=True)
    (encoder / "vocab.txt").write_text("".join(entry + "\n" for entry in ENTRIES), encoding="utf-8")
    text = tiny_brivl.TEXT
    (encoder / "config.json").write_text(json.dumps({"num_attention_heads": text.heads}), encoding="utf-8")
    tensors = {name: one for name, one in brivl_tensors().items() if name.startswith(starts or "")}
    checkpoint.write_original(folder / "brivl.pth", tensors, {}, "learnable")
    return folder / "brivl.pth"


def write_ernie(folder: Path) -> Path:
    """The research release's .pdparams with its numbered vocab.txt, and with the head that nothing uses."""
    save_ernie(folder / "own")
    ours = checkpoint.read(folder / "own").tensors
    tensors = {
        **keymap.store(ours, ernie_vil2.KEYS["research"]),
        "visual.classfy.weight": torch.zeros(32, 3),
        "visual.classfy.bias": torch.zeros(3),
    }
    checkpoint.write_pdparams(folder / "model.pdparams", tensors)
    lines = [f"{entry}\t{number}" for number, entry in enumerate(WORDS)]
    (folder / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder / "model.pdparams"
