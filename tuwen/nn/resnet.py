"""CLIP's modified ResNet: a stem of three convolutions, strides as average pooling, attention as final pooling."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.nn.linear import Linear


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of the tower: blocks in each of the four stages, channels of the first, width of the final features."""

    image_size: int
    blocks: tuple[int, int, int, int]
    width: int
    heads: int
    embedding: int

    @property
    def side(self) -> int:
        """Edge of the last feature map: every stage but the first halves it, the stem quarters it."""
        return self.image_size // 32


def conv_norm(width_in: int, width_out: int, kernel: int, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    convolution = nn.Conv2d(width_in, width_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(width_out)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, four times wider at the end; a stride is an average pooling after the 3x3."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv_norm(width_in, width, 1)
        self.conv2, self.norm2 = conv_norm(width, width, 3)
        self.conv3, self.norm3 = conv_norm(width, 4 * width, 1)
        nn.init.zeros_(self.norm3.weight)  # every block starts as the identity
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or width_in != 4 * width:
            pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
            convolution, norm = conv_norm(width_in, 4 * width, 1)
            self.shortcut = nn.Sequential(OrderedDict(pool=pool, conv=convolution, norm=norm))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, 4 * width, H / stride, W / stride)."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.pool(F.relu(self.norm2(self.conv2(y))))
        return F.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


class AttentionPool(nn.Module):
    """One attention whose only query is the mean of all positions."""

    def __init__(self, positions: int, width: int, heads: int, embedding: int) -> None:
        super().__init__()
        self.heads = heads
        self.positions = nn.Parameter(torch.randn(1 + positions, width) * width**-0.5)
        self.query, self.key, self.value = Linear(width, width), Linear(width, width), Linear(width, width)
        self.output = Linear(width, embedding)
        for linear in (self.query, self.key, self.value, self.output):
            nn.init.normal_(linear.weight, std=width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, D, S, S) -> (B, E)."""
        tokens = x.flatten(2).transpose(1, 2)  # (B, S * S, D), row by row
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1) + self.positions.to(x.dtype)
        batch, length, _ = tokens.shape
        q = self.query(tokens[:, :1]).view(batch, 1, self.heads, -1).transpose(1, 2)
        k = self.key(tokens).view(batch, length, self.heads, -1).transpose(1, 2)
        v = self.value(tokens).view(batch, length, self.heads, -1).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, k, v)  # (B, H, 1, D / H)
        return self.output(mixed.transpose(1, 2).reshape(batch, -1))


class ResNet(nn.Module):
    """pixels -> one vector a picture, already in the shared space."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv1, self.norm1 = conv_norm(3, width // 2, 3, stride=2)
        self.conv2, self.norm2 = conv_norm(width // 2, width // 2, 3)
        self.conv3, self.norm3 = conv_norm(width // 2, width, 3)
        self.stages = nn.ModuleList()
        width_in = width
        for stage, count in enumerate(config.blocks):
            inner = width * 2**stage
            blocks = [Bottleneck(width_in, inner, stride=1 if stage == 0 else 2)]
            blocks += [Bottleneck(4 * inner, inner, stride=1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*blocks))
            width_in = 4 * inner
        self.pool = AttentionPool(config.side**2, 32 * width, config.heads, config.embedding)

    def states(self, pixels: Tensor) -> list[Tensor]:
        """Feature maps after the stem and after each of the four stages."""
        x = pixels.to(self.conv1.weight.dtype)
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)):
            x = F.relu(norm(conv(x)))
        states = [F.avg_pool2d(x, 2)]
        for stage in self.stages:
            states.append(stage(states[-1]))
        return states

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, R, R) -> (B, E)."""
        return self.pool(self.states(pixels)[-1])
