"""The CLIP vision transformer: patches, a class token, pre-norm blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tuwen.errors import InputError
from tuwen.nn.attention import Attention, FeedForward
from tuwen.nn.positions import resize_grid


@dataclass(frozen=True)
class ViTConfig:
    """Sizes of a vision transformer; image_size and patch_size in pixels.

    any_size: pictures of other sizes are taken too, their positions interpolated from the table.
    """

    image_size: int
    patch_size: int
    width: int
    layers: int
    heads: int
    hidden: int | None = None  # of the feed-forward networks; four times the width unless given
    activation: str = "quick_gelu"
    eps: float = 1e-5
    any_size: bool = False

    @property
    def smallest(self) -> int:
        """Pixels along an edge that a picture needs at least."""
        return self.patch_size

    @property
    def side(self) -> int:
        """Patches along one edge."""
        return self.image_size // self.patch_size


class Block(nn.Module):
    """Pre-norm: look around, then think, each added to what was there."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.width, eps=config.eps)
        self.attention = Attention(config.width, config.heads)
        self.norm_mlp = nn.LayerNorm(config.width, eps=config.eps)
        self.mlp = FeedForward(config.width, config.hidden or 4 * config.width, config.activation)

    def forward(self, x: Tensor, only_first: bool = False) -> Tensor:
        """x (B, T, D) -> (B, T, D), or with only_first the first token's state alone, (B, D)."""
        attended = self.attention(self.norm_attention(x), only_first=only_first)
        x = (x[:, 0] if only_first else x) + attended
        return x + self.mlp(self.norm_mlp(x))

    def weights(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> what each token looks at, (B, H, T, T)."""
        return self.attention.weights(self.norm_attention(x))


class ViT(nn.Module):
    """pixels -> one vector a picture: the class token after the last block and its LayerNorm."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size, bias=False)
        self.class_token = nn.Parameter(torch.randn(config.width) * config.width**-0.5)
        self.positions = nn.Parameter(torch.randn(1 + config.side**2, config.width) * config.width**-0.5)
        self.norm_in = nn.LayerNorm(config.width, eps=config.eps)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm_out = nn.LayerNorm(config.width, eps=config.eps)

    def embed(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, R, R) -> tokens (B, 1 + P, D): the class token, then patches row by row, positions added."""
        positions = self.positions_of(*pixels.shape[-2:])
        patches = self.patches(pixels.to(self.patches.weight.dtype)).flatten(2).transpose(1, 2)  # (B, P, D)
        first = self.class_token.to(patches.dtype).expand(patches.shape[0], 1, -1)
        return torch.cat([first, patches], dim=1) + positions.to(patches.dtype)

    def positions_of(self, height: int, width: int) -> Tensor:
        """The table (1 + P, D) for pictures of this size in pixels; what does not fill a patch is lost."""
        wanted, patch = self.config.image_size, self.config.patch_size
        if (height, width) == (wanted, wanted):
            return self.positions
        if not self.config.any_size:
            raise InputError(
                f"pictures of {height} x {width} pixels for a model of {wanted} x {wanted}: load it with "
                f"image_size={height}, or prepare the pictures with its own processor"
            )
        if min(height, width) < patch:
            raise InputError(f"pictures of {height} x {width} pixels hold no patch of {patch} x {patch}")
        return resize_grid(self.positions, (height // patch, width // patch), align_corners=False)

    def tokens(self, pixels: Tensor, patch_dropout: float = 0.0) -> Tensor:
        """`embed`, with patches dropped at random if asked: (B, 1 + kept, D)."""
        tokens = self.embed(pixels)
        return drop_patches(tokens, patch_dropout) if patch_dropout else tokens

    def states(self, pixels: Tensor, patch_dropout: float = 0.0) -> list[Tensor]:
        """States (B, T, D) before the first block and after each; patches are dropped at random first if asked."""
        return self.states_of(self.norm_in(self.tokens(pixels, patch_dropout)))

    def states_of(self, x: Tensor) -> list[Tensor]:
        """x (B, T, D), what the first block takes -> the same states, x itself first."""
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1]))
        return states

    def forward(self, pixels: Tensor, patch_dropout: float = 0.0) -> Tensor:
        """pixels (B, 3, R, R) -> (B, D)."""
        x = self.norm_in(self.tokens(pixels, patch_dropout))
        for block in self.blocks[:-1]:
            x = block(x)
        return self.norm_out(self.blocks[-1](x, only_first=True))

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """What every block attends to: probabilities (B, H, T, T) each."""
        return [cast(Block, block).weights(x) for block, x in zip(self.blocks, self.states(pixels), strict=False)]

    def pool(self, states: Tensor) -> Tensor:
        """states (B, T, D) of the last block -> (B, D)."""
        return self.norm_out(states[:, 0])


def drop_patches(tokens: Tensor, ratio: float, noise: Tensor | None = None) -> Tensor:
    """Keep a random int(P * (1 - ratio)) of the P patches, a different set for each picture (FLIP, arXiv 2212.00794).

    tokens (B, 1 + P, D) -> (B, 1 + kept, D). noise (B, P), uniform, decides: the patches of lowest noise stay, in the
    order of their noise as in Chinese-CLIP's `random_masking`; the class token always stays first.
    """
    batch, length, width = tokens.shape
    if noise is None:
        noise = torch.rand(batch, length - 1, device=tokens.device)
    kept = noise.argsort(dim=1)[:, : int((length - 1) * (1 - ratio))]  # (B, kept)
    patches = tokens[:, 1:].gather(1, kept[:, :, None].expand(-1, -1, width))
    return torch.cat([tokens[:, :1], patches], dim=1)
