"""What changes when several processes train together; the identity in a single one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def together(device: str) -> Iterator[None]:
    """Join the processes that `torchrun` started, until the block ends; nothing without a launcher."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def processes() -> int:
    """How many processes take part: 1 without a launcher."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def gather(features: Tensor) -> Tensor:
    """features (B, ...) of every process -> (N, ...), N = B x processes, in rank order.

    Gradients flow back to each process's own rows, summed over the processes that used them.
    """
    return features if processes() == 1 else _Gather.apply(features)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        parts = [torch.empty_like(features) for _ in range(processes())]
        dist.all_gather(parts, features.contiguous())
        context.rows = len(features)
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed[rank() * context.rows :][: context.rows]


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Make every gradient the mean over the processes, in one message."""
    if processes() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes()
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def wait() -> None:
    """Until every process is here."""
    if processes() > 1:
        dist.barrier()
