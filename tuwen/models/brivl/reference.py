"""Numbers that are known of BriVL's published weights, to compare a file with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuwen.data import brivl_jsonl
from tuwen.data.folder import Failure
from tuwen.errors import InputError
from tuwen.models.brivl.towers import TOWERS
from tuwen.nn.heads import unit
from tuwen.processing.boxes import prepare
from tuwen.processing.decode import size_of
from tuwen.types import Images, Sample

Check = tuple[str, Tensor, Tensor, float]  # name, ours, theirs, allowed difference

# What some of them need beside the weights: option -> what it is.
FILES = {"pairs": "the original's data/jsonls/example.jsonl with its three pictures"}

# Cosines of the authors' own features of their three example pairs, pictures down, which lie beside their code. When
# they were made the configuration still said 456 pixels, which was corrected to 380 afterwards.
SIMILARITY = (
    (0.610788, 0.078101, 0.105673),
    (-0.176363, 0.818103, -0.078315),
    (-0.030947, 0.009950, 0.744333),
)
SIZES = (380, 456)
ATOL = 1e-3

# Of BriVL-1.0-5500w.pth with the momentum copies of both encoders, in float32.
ENCODERS = ("imgencoder.", "imgencoder_mom.", "textencoder.", "textencoder_mom.")
TENSORS, TENSOR_BYTES = 2_320, 2_191_943_168


# Of both towers of each variant, and of parts that features never meet and that a file may lack.
PARAMETERS = {
    "1.0": {"image": 143_724_056, "text": 130_094_848},
    "roberta-base": {"image": 143_724_056, "text": 130_094_848},
    "roberta-large": {"image": 232_917_432, "text": 368_302_080},
}
CLASSIFIER = {"1.0": 2_049_000, "roberta-base": 2_049_000, "roberta-large": 2_561_000}
POOLER = {"1.0": 590_592, "roberta-base": 590_592, "roberta-large": 1_049_600}


def parameters(model: Any) -> int | None:
    """How many numbers the published towers have, without the parts that this model's file lacks; None for others."""
    if model.variant not in PARAMETERS:
        return None
    config = model.module.config
    count = sum(PARAMETERS[model.variant][tower] for tower in config.towers)
    count -= 0 if "image" not in config.towers or config.image.classes else CLASSIFIER[model.variant]
    return count - (0 if "text" not in config.towers or config.text.pooler else POOLER[model.variant])


def known(model: Any) -> bool:
    """Whether the model has both towers in the published sizes; that its weights are those is what the pairs tell."""
    both = set(model.module.config.towers) == set(TOWERS)
    return both and model.variant in ("1.0", "roberta-base")


def file_checks(tensors: Mapping[str, Tensor]) -> list[tuple[str, int, int]]:
    """(name, ours, theirs) of the whole published file; nothing of a part of it or of another precision."""
    whole = [tensor for name, tensor in tensors.items() if name.startswith(ENCODERS)]
    has_all = all(any(name.startswith(start) for name in tensors) for start in ENCODERS)
    if not has_all or any(tensor.dtype not in (torch.float32, torch.int64) for tensor in whole):
        return []
    size_bytes = sum(tensor.numel() * tensor.element_size() for tensor in whole)
    return [("tensors in the file", len(whole), TENSORS), ("bytes of its tensors", size_bytes, TENSOR_BYTES)]


def checks(model: Any, files: Mapping[str, Path]) -> list[Check]:
    """The cosines of the example pairs, with pictures in the size that fits them better."""
    if "pairs" not in files:
        return []
    failures: list[Failure] = []
    rows = list(brivl_jsonl.read(files["pairs"], failures.append))
    if failures or len(rows) != len(SIMILARITY):
        why = f"{failures[0].id}: {failures[0].reason}" if failures else f"it has {len(rows)} rows"
        raise InputError(f"{files['pairs']} is not the original's example of {len(SIMILARITY)} pairs: {why}")
    theirs = torch.tensor(SIMILARITY)
    text = model.encode_text([row.text for row in rows])
    found = [
        (f"cosines of the example pairs ({size} pixels)", _pictures(model, rows, size) @ text.T, theirs, ATOL)
        for size in SIZES
    ]
    return [min(found, key=lambda check: float((check[1] - check[2]).abs().max()))]


def _pictures(model: Any, rows: list[Sample], size: int) -> Tensor:
    """Features (N, E), unit length, of the rows' pictures with their boxes, at another size than the model's own."""
    paths = [str(row.image) for row in rows]
    pixels = replace(model.processor, image=model.processor.image.at_size(size)).images(paths).pixels
    given = [row.columns["boxes"] for row in rows]
    boxes, mask = prepare(given, [size_of(path) for path in paths], size, model.module.config.boxes)
    images = Images(pixels.to(model.dtype), None, boxes, mask).to(model.device)
    return unit(model.module.encode_image(images).float()).cpu()
