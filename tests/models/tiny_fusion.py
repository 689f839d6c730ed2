"""BridgeTower, METER and VLE of one or two layers, made in milliseconds, and what they take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from tests.models.tiny import randomise
from tuwen.models import bridgetower, vle
from tuwen.nn.bert import BertConfig
from tuwen.nn.deberta import DebertaConfig
from tuwen.nn.fusion import FusionConfig
from tuwen.nn.vit import ViTConfig
from tuwen.types import Images, PackedTexts, Texts

ROWS = [[0, 5, 6, 7, 2], [0, 8, 2], [0, 5, 6, 7, 8, 9, 10, 2], [0, 12, 13, 2]]  # ids of four texts
PADDING = 1

BRIDGETOWER = bridgetower.Config(
    ViTConfig(24, patch_size=8, width=64, layers=2, heads=1),
    BertConfig(
        30, width=32, layers=2, heads=2, hidden=48, positions=16, segments=1, eps=1e-5, padding=PADDING, pooler=True
    ),
    FusionConfig(32, 2, heads=2, hidden=48, eps=1e-5, bridge="add"),
    {"match": (2,), "fill": (30,), "contrast": (8, 8)},
)
# The original's contrastive heads sit on the towers, which are then as wide as the fusion.
ORIGINAL = replace(
    BRIDGETOWER,
    image=ViTConfig(24, patch_size=8, width=64, layers=2, heads=1),
    text=replace(BRIDGETOWER.text, width=64, heads=4),
    fusion=FusionConfig(64, 2, heads=4, hidden=128, eps=1e-12, bridge="add"),
    heads={
        "match": (2,),
        "fill": (30,),
        "contrast": (8,),
        "answer": (48, 7),
        "pair": (24, 2),
        "entail": (3,),
        "rank": (1,),
    },
    types=3,
    word_eps=1e-12,
    contrast_on="tower",
)
METER = replace(
    ORIGINAL,
    fusion=replace(ORIGINAL.fusion, bridge=None),
    heads={"match": (2,), "fill": (30,)},
    norm_inputs=False,
    types=2,
)
BRIDGETOWERS = {
    "add": BRIDGETOWER,
    "scaled_add": replace(
        BRIDGETOWER, fusion=replace(BRIDGETOWER.fusion, bridge="scaled_add"), shared_transforms=False
    ),
    "interpolate": replace(BRIDGETOWER, fusion=replace(BRIDGETOWER.fusion, bridge="interpolate", layers=3)),
    "one layer": replace(BRIDGETOWER, fusion=replace(BRIDGETOWER.fusion, layers=1)),
    "original": ORIGINAL,
    "meter": METER,
    "meter with gates": replace(METER, gates=True),
}

VLE = vle.Config(
    ViTConfig(24, patch_size=8, width=16, layers=2, heads=2, hidden=24),
    DebertaConfig(30, width=24, layers=2, heads=3, hidden=32, buckets=4, max_distance=12),
    FusionConfig(32, 2, heads=4, hidden=48),
    {"match": (2,), "fill": (30,), "answer": (64, 5), "ground": (32, 2), "choose": (64, 1)},
    types=6,
)
VLES = {"q2a": VLE, "qa2r": replace(VLE, choose="qa2r")}


def module(config: Any, seed: int = 0) -> nn.Module:
    """Random weights away from their start, eval mode."""
    family = vle if isinstance(config, vle.Config) else bridgetower
    torch.manual_seed(seed)
    made: nn.Module = family.build(config)
    randomise(made, seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2 if parameter.ndim > 1 else 1)
    return made.eval()


def texts(length: int | None = None, chosen: list[list[int]] = ROWS) -> Texts:
    """Padded to the longest, or to `length`."""
    width = max(map(len, chosen)) if length is None else length
    ids = torch.tensor([row + [PADDING] * (width - len(row)) for row in chosen])
    return Texts(ids, torch.arange(width) < torch.tensor([[len(row)] for row in chosen]))


def packed(chosen: list[list[int]] = ROWS) -> tuple[PackedTexts, list[int]]:
    """Sorted by length, and their order."""
    order = sorted(range(len(chosen)), key=lambda row: len(chosen[row]))
    rows = [chosen[row] for row in order]
    starts = torch.tensor([sum(map(len, rows[:row])) for row in range(len(rows))])
    lengths = sorted({len(row) for row in rows})
    runs = tuple((sum(len(row) == length for row in rows), length) for length in lengths)
    ids, positions = [i for row in rows for i in row], [p for row in rows for p in range(len(row))]
    return PackedTexts(torch.tensor(ids), torch.tensor(positions), runs, starts), order


def images(count: int = len(ROWS), size: int = 24) -> Images:
    """(count, 3, size, size)."""
    return Images(torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3)))
