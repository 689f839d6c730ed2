"""Parameter groups and schedules, as the originals have them."""

from __future__ import annotations

import math

import torch
from torch import nn

NO_DECAY = ("bn", "ln", "bias", "logit_scale")


def learning_rate(step: int, base: float, warmup: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to zero; `step` counts from 0.

    At step == warmup the full rate appears a second time, as in Chinese-CLIP's `cosine_lr`.
    """
    if step < warmup:
        return base * (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) * base


def groups(named: dict[str, nn.Parameter], weight_decay: float) -> list[dict[str, object]]:
    """Two groups for AdamW, from parameters under their *published* names: without and with weight decay.

    Chinese-CLIP excludes by substring of the name: whatever contains bn, ln, bias or logit_scale is not decayed. By
    the same rule every BERT LayerNorm weight, all tables and all projections are decayed; published training runs
    depend on it.
    """
    free = [p for name, p in named.items() if p.requires_grad and any(part in name for part in NO_DECAY)]
    decayed = [p for name, p in named.items() if p.requires_grad and not any(part in name for part in NO_DECAY)]
    return [{"params": free, "weight_decay": 0.0}, {"params": decayed, "weight_decay": weight_decay}]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The same rate for every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
