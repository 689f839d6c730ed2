"""A linear layer that takes the fastest exact matrix product of the machine.

On some CPUs torch's default fp32 product runs on a slow path while the oneDNN library inside the same wheel is twice
as fast on a weight that was laid out for it once. Which one wins is measured, never guessed from the name of the
processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
}  # activations that oneDNN applies on the way out, with the same exactness
WORTH_IT = 1.15  # a smaller gain is within the noise of the trial and not worth a second copy of the weights


class Linear(nn.Module):
    """y = x @ weight.T + bias, with weight (out, in) and bias (out,), as `torch.nn.Linear` names them."""

    def __init__(self, width_in: int, width_out: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_out, width_in))
        self.bias = nn.Parameter(torch.empty(width_out)) if bias else None
        self._packed: tuple[tuple[int, int, torch.dtype], Tensor] | None = None  # derived from `weight`: never saved
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The start that `torch.nn.Linear` uses: uniform in +-1 / sqrt(in) for both."""
        bound = self.weight.shape[1] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out)."""
        if _may_pack(x, self.weight):
            return torch.ops.mkldnn._linear_pointwise(x, self._packed_weight(), self.bias, "none", [], "")
        if not torch.compiler.is_compiling() and torch.is_grad_enabled():
            self._packed = None  # a fused optimizer's step, which may follow, leaves the version counter alone
        return F.linear(x, self.weight, self.bias)

    def activated(self, x: Tensor, activation: str) -> Tensor:
        """x (..., in) -> (..., out), then one of FUSED: on the packed path in the same pass over the memory."""
        if _may_pack(x, self.weight):
            how = "none" if activation == "gelu" else ""  # which approximation of gelu: none
            return torch.ops.mkldnn._linear_pointwise(x, self._packed_weight(), self.bias, activation, [], how)
        return FUSED[activation](self(x))

    def _packed_weight(self) -> Tensor:
        # The version counter moves with every in-place change (an optimizer step, load_state_dict), the pointer with
        # every replacement.
        key = (self.weight.data_ptr(), self.weight._version, self.weight.dtype)
        if self._packed is None or self._packed[0] != key:
            self._packed = (key, pack(self.weight.detach()))
        return self._packed[1]

    def _apply(self, fn: Any, recurse: bool = True) -> Linear:
        # `.to()` and its kind: frees the packed weight, whose key may come back when memory is used again.
        self._packed = None
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_packed": None}  # the packed form belongs to this process and cannot be copied

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, bias={self.bias is not None}"


def pack(weight: Tensor) -> Tensor:
    """weight (out, in) laid out for oneDNN; opaque, readable only by its linear operator."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return packed


def _may_pack(x: Tensor, weight: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return False  # exporters see the plain product
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False
    if weight.dtype != x.dtype or weight.is_inference():  # weights made in inference mode do not count their versions
        return False
    return packing_wins(x.dtype)


@cache
def packing_wins(dtype: torch.dtype) -> bool:
    """Whether the packed product is faster here and as exact as the default one; measured once per process.

    The trial takes about 50 ms and its sizes are those of one short query and of a small batch of texts.
    """
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    noise = torch.Generator().manual_seed(0)
    weight = torch.randn(1024, 512, generator=noise).to(dtype)
    bias = torch.randn(1024, generator=noise).to(dtype)
    with torch.inference_mode():
        try:
            packed = pack(weight)
        except (AttributeError, RuntimeError):  # a torch build without these operators
            return False
        gains = [_gain(torch.randn(rows, 512, generator=noise).to(dtype), weight, packed, bias) for rows in (16, 256)]
    return min(gains) > 0 and (gains[0] * gains[1]) ** 0.5 > WORTH_IT


def _gain(x: Tensor, weight: Tensor, packed: Tensor, bias: Tensor) -> float:
    """How many times faster the packed product is; 0 if it cannot be computed or is less exact."""

    def packed_product() -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")

    def plain_product() -> Tensor:
        return F.linear(x, weight, bias)

    exact = x.double() @ weight.double().T + bias.double()
    try:
        ours = (packed_product() - exact).abs().max()
    except (AttributeError, RuntimeError):
        return 0.0
    if ours > 3 * (plain_product() - exact).abs().max() + 1e-6:
        return 0.0
    # The two take turns and the best of many short runs counts: a busy machine disturbs some of them, hardly all.
    rounds = [(_seconds(plain_product), _seconds(packed_product)) for _ in range(12)]
    return min(plain for plain, _ in rounds) / min(packed for _, packed in rounds)


def _seconds(product: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    product()
    return time.perf_counter() - start
