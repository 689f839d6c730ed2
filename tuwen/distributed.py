"""What changes when several processes train together; the identity in a single one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist


def processes() -> int:
    """How many processes take part: 1 without a launcher."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def gather(features: Tensor) -> Tensor:
    """features (B, E) of every process -> (N, E), N = B x processes, in rank order, with gradients to each process's own rows."""
    if processes() == 1:
        return features
    import torch.distributed.nn.functional as collective

    return torch.cat(collective.all_gather(features))
