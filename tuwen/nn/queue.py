"""A ring of past features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.errors import UsageError


class Queue(nn.Module):
    """The last `size` features of unit length, the oldest overwritten first; random directions to begin with.

    rows (size, E), place () int64, where the next feature goes: both are saved with the module.
    """

    rows: Tensor
    place: Tensor

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(size, width), dim=-1))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def add(self, features: Tensor) -> None:
        """features (N, E), N a divisor of the size, so that no step ever splits a batch."""
        size = len(self.rows)
        if not len(features) or size % len(features):
            raise UsageError(
                f"{len(features)} features for a queue of {size}: its size must be a multiple of the batch"
            )
        places = (self.place + torch.arange(len(features), device=self.rows.device)) % size
        self.rows[places] = features.to(self.rows.dtype)
        self.place.copy_((self.place + len(features)) % size)
