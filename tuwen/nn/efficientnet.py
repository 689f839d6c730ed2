"""EfficientNet B0 to B7 with TensorFlow's padding and epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.errors import InputError, UsageError
from tuwen.nn.linear import Linear, pack, packing_wins

EPS = 1e-3  # TensorFlow's; torch's own 1e-5 is off by 7e-3 in a feature


class Stage(NamedTuple):
    """One row of the architecture before it is scaled."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280

# width multiplier, depth multiplier and own picture size of the published variants (arXiv 1905.11946, 1911.04252)
SCALES = {
    "b0": (1.0, 1.0, 224),
    "b1": (1.0, 1.1, 240),
    "b2": (1.1, 1.2, 260),
    "b3": (1.2, 1.4, 300),
    "b4": (1.4, 1.8, 380),
    "b5": (1.6, 2.2, 456),
    "b6": (1.8, 2.6, 528),
    "b7": (2.0, 3.1, 600),
    "l2": (4.3, 5.3, 800),
}


@dataclass(frozen=True)
class EfficientNetConfig:
    """Sizes: channels of the stem, of every stage and of the last map; blocks of every stage; image_size in pixels.

    classes: published files hold a classifier that features never meet; it is kept so that they can be written again
    whole, and 0 is without. counters: whether every norm counts the batches it has seen, as torch's files do.
    """

    image_size: int
    stem: int
    channels: tuple[int, ...]
    repeats: tuple[int, ...]
    head: int
    classes: int = 1000
    counters: bool = True

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.repeats) == len(STAGES) or min(self.repeats) < 1:
            raise UsageError(
                f"channels {self.channels} and repeats {self.repeats}, expected {len(STAGES)} stages with blocks"
            )

    @property
    def smallest(self) -> int:
        """Pixels along an edge that a picture needs at least, so that boxes have a map of two cells to lie on."""
        return 33

    @property
    def side(self) -> int:
        """Edge of the last feature map in cells."""
        return map_side(self.image_size)


def map_side(image_size: int) -> int:
    """Cells along an edge after the stem and the four stages of stride 2, each of which rounds up."""
    for _ in range(5):
        image_size = ceil(image_size / 2)
    return image_size


def round_to_eight(channels: float) -> int:
    """To the nearest multiple of 8, half upwards, at least 8 and never below nine tenths of what was asked for."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def scaled(
    image_size: int, width: float, depth: float, head: int | None = None, classes: int = 1000
) -> EfficientNetConfig:
    """Sizes of a network `width` times as wide and `depth` times as deep as B0; head: its last channels, if not so."""
    return EfficientNetConfig(
        image_size,
        round_to_eight(STEM * width),
        tuple(round_to_eight(stage.channels * width) for stage in STAGES),
        tuple(ceil(stage.repeats * depth) for stage in STAGES),
        round_to_eight(HEAD * width) if head is None else head,
        classes,
    )


def same_conv(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int) -> Tensor:
    """x (B, C, H, W) -> (B, O, H / stride, W / stride), rounded up, padded as TensorFlow's "SAME" does.

    With stride 2 an even edge needs one more zero after it than before it. A row of zeros before the kernel's first
    moves it by one pixel within an even padding, which gives the same numbers without a padded copy of x.
    """
    padding, taps = [], []
    for edge, kernel in zip(x.shape[-2:], weight.shape[-2:], strict=True):
        total = max((-(-edge // stride) - 1) * stride + kernel - edge, 0)
        taps.append(total % 2)
        padding.append(total // 2 + total % 2)
    if any(taps):
        weight = F.pad(weight, (taps[1], 0, taps[0], 0))
    return F.conv2d(x, weight, bias, stride, padding, groups=groups)


class Convolution(nn.Module):
    """A convolution without bias, its norm, and x * sigmoid(x) where `active`.

    Outside training the norm is folded into the weights, which rounds a little differently (about 1e-7).
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
        active: bool = True,
        counters: bool = True,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.groups = width_in if depthwise else 1
        self.active = active
        self.conv = nn.Conv2d(width_in, width_out, kernel, stride=stride, groups=self.groups, bias=False)
        self.norm = nn.BatchNorm2d(width_out, eps=EPS)
        if not counters:
            self.norm.num_batches_tracked = None
        self._folded: tuple[tuple[Any, ...], Tensor, Tensor, bool] | None = None  # derived from the rest: never saved

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, O, H / stride, W / stride), rounded up."""
        if self._may_fold(x):
            return self._quick(x)
        self._folded = None  # a fused optimizer's step, which may follow, leaves the version counters alone
        y = self.norm(same_conv(x, self.conv.weight, None, self.stride, self.groups))
        return F.silu(y) if self.active else y

    def _quick(self, x: Tensor) -> Tensor:
        weight, bias, packed = self._folded_weight(x)
        if self.conv.kernel_size != (1, 1):
            y = same_conv(x, weight, bias, self.stride, self.groups)
            return F.silu(y, inplace=True) if self.active else y
        pixels = x.permute(0, 2, 3, 1)  # (B, H, W, C), as it lies in memory: a 1x1 convolution is a product of matrices
        if packed:
            activation = "swish" if self.active else "none"
            return torch.ops.mkldnn._linear_pointwise(pixels, weight, bias, activation, [], "").permute(0, 3, 1, 2)
        y = F.linear(pixels, weight, bias).permute(0, 3, 1, 2)
        return F.silu(y, inplace=True) if self.active else y

    def _folded_weight(self, x: Tensor) -> tuple[Tensor, Tensor, bool]:
        """Weight and bias with the norm in them, and whether the weight is laid out for oneDNN."""
        parts = self._parts()
        packs = self.conv.kernel_size == (1, 1) and x.device.type == "cpu" and packing_wins(x.dtype)
        key = (packs, *((part.data_ptr(), part._version, part.dtype) for part in parts))
        if self._folded is None or self._folded[0] != key:
            kernel, gain, offset, mean, variance = (part.detach().double() for part in parts)
            gain = gain / (variance + EPS).sqrt()
            weight = (kernel * gain[:, None, None, None]).to(x.dtype)
            bias = (offset - mean * gain).to(x.dtype)
            if self.conv.kernel_size == (1, 1):
                weight = weight.flatten(1)  # (O, C)
            self._folded = (key, pack(weight) if packs else weight, bias, packs)
        return self._folded[1:]

    def _parts(self) -> tuple[Tensor, ...]:
        norm = self.norm
        return self.conv.weight, norm.weight, norm.bias, cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)

    def _may_fold(self, x: Tensor) -> bool:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
            return False  # exporters see the convolution and its norm, and fold them themselves
        if self.training or torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type):
            return False
        # Weights made in inference mode do not count their versions.
        return x.dtype == self.conv.weight.dtype and not any(part.is_inference() for part in self._parts())

    def _apply(self, fn: Any, recurse: bool = True) -> Convolution:
        # `.to()` and its kind: frees the folded weight, whose key may come back when memory is used again.
        self._folded = None
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_folded": None}  # the packed form belongs to this process and cannot be copied


class Squeeze(nn.Module):
    """Squeeze and excitation: every channel is weighed by what the whole map looks like on average."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.reduce = Linear(width, hidden)
        self.expand = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> the same shape; x itself is overwritten where no gradients are asked for."""
        gate = torch.sigmoid(self.expand(F.silu(self.reduce(x.mean(dim=(2, 3))))))[:, :, None, None]
        return x * gate if torch.is_grad_enabled() else x.mul_(gate)


class Block(nn.Module):
    """Widen, look around in every channel apart, weigh the channels, narrow; added to the input where shapes allow."""

    def __init__(self, width_in: int, stage: Stage, stride: int, width_out: int, counters: bool = True) -> None:
        super().__init__()
        inner = width_in * stage.expansion
        # The first stage does not widen.
        self.widen = Convolution(width_in, inner, counters=counters) if stage.expansion > 1 else None
        self.look = Convolution(inner, inner, stage.kernel, stride, depthwise=True, counters=counters)
        self.squeeze = Squeeze(inner, width_in // 4)  # a quarter of the block's input, not of the widened map
        self.narrow = Convolution(inner, width_out, active=False, counters=counters)
        self.adds = stride == 1 and width_in == width_out

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, O, H / stride, W / stride), rounded up."""
        y = self.narrow(self.squeeze(self.look(x if self.widen is None else self.widen(x))))
        if not self.adds:
            return y
        return y + x if torch.is_grad_enabled() else y.add_(x)


class EfficientNet(nn.Module):
    """pixels -> one feature map."""

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        self.config = config
        counters = config.counters
        self.stem = Convolution(3, config.stem, 3, 2, counters=counters)
        self.stages = nn.ModuleList()
        width = config.stem
        for stage, channels, repeats in zip(STAGES, config.channels, config.repeats, strict=True):
            blocks = [Block(width, stage, stage.stride, channels, counters)]
            blocks += [Block(channels, stage, 1, channels, counters) for _ in range(repeats - 1)]
            self.stages.append(nn.Sequential(*blocks))
            width = channels
        self.head = Convolution(width, config.head, counters=counters)
        self.classifier = Linear(config.head, config.classes) if config.classes else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The start that TensorFlow's code gives it: convolutions normal with deviation sqrt(2 / outgoing weights)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                outgoing = module.weight[0, 0].numel() * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=(2 / outgoing) ** 0.5)

    def states(self, pixels: Tensor) -> list[Tensor]:
        """pixels (B, 3, H, W) -> maps after the stem and after each of the seven stages."""
        if pixels.ndim != 4 or pixels.shape[1] != 3 or min(pixels.shape) < 1:
            raise InputError(f"pixels are of shape {tuple(pixels.shape)}, expected (B, 3, H, W)")
        x = pixels.to(self.stem.conv.weight.dtype)
        if not self.training and not torch.is_grad_enabled():
            x = x.contiguous(
                memory_format=torch.channels_last
            )  # training keeps to the order it was given, as timm does
        states = [self.stem(x)]
        for stage in self.stages:
            states.append(stage(states[-1]))
        return states

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, H, W) -> the map after the last convolution (B, D, ceil(H / 32), ceil(W / 32))."""
        return self.head(self.states(pixels)[-1])
