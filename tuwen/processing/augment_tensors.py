"""Random changes of colour as BriVL trains with them: of float pictures, in the arithmetic of torchvision's tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tuwen.errors import UsageError
from tuwen.processing.augment import Draws

LIGHTNESS = (0.2989, 0.587, 0.114)


def grey(pixels: Tensor) -> Tensor:
    """(..., 3, H, W) -> (..., 1, H, W), the lightness."""
    red, green, blue = pixels.unbind(-3)
    return (LIGHTNESS[0] * red + LIGHTNESS[1] * green + LIGHTNESS[2] * blue).unsqueeze(-3)


def _blend(pixels: Tensor, other: Tensor | float, factor: float) -> Tensor:
    """From `other` (factor 0) through the picture (1) and beyond."""
    return (factor * pixels + (1.0 - factor) * other).clamp(0, 1)


def brightness(pixels: Tensor, factor: float) -> Tensor:
    """(..., 3, H, W) from 0 to 1, between black (factor 0) and the picture (1)."""
    return _blend(pixels, 0.0, factor)


def contrast(pixels: Tensor, factor: float) -> Tensor:
    """The same between its mean lightness and the picture."""
    return _blend(pixels, grey(pixels).mean(dim=(-3, -2, -1), keepdim=True), factor)


def saturation(pixels: Tensor, factor: float) -> Tensor:
    """The same between its lightness and the picture."""
    return _blend(pixels, grey(pixels), factor)


def hue(pixels: Tensor, shift: float) -> Tensor:
    """(..., 3, H, W) from 0 to 1, every hue moved by `shift` of the circle; lightness and saturation stay."""
    brightest, darkest = pixels.amax(-3), pixels.amin(-3)
    spread = brightest - darkest
    plain = spread == 0  # no colour at all
    whole = torch.where(plain, 1.0, spread)
    red, green, blue = ((brightest - channel) / whole for channel in pixels.unbind(-3))
    is_red, is_green = brightest == pixels.select(-3, 0), brightest == pixels.select(-3, 1)
    sixths = torch.where(is_red, blue - green, torch.where(is_green, 2.0 + red - blue, 4.0 + green - red))
    turned = (torch.fmod(sixths / 6.0 + 1.0, 1.0) + shift) % 1.0
    return _from_circle(turned, spread / torch.where(plain, 1.0, brightest), brightest)


def _from_circle(turn: Tensor, saturated: Tensor, value: Tensor) -> Tensor:
    """Hue as a part of the circle, saturation and brightest channel, (..., H, W) each -> (..., 3, H, W)."""
    sector = torch.floor(turn * 6.0)
    beyond = turn * 6.0 - sector
    low = (value * (1.0 - saturated)).clamp(0, 1)
    falling = (value * (1.0 - saturated * beyond)).clamp(0, 1)
    rising = (value * (1.0 - saturated * (1.0 - beyond))).clamp(0, 1)
    channels = [  # of each sixth of the circle
        torch.stack([value, falling, low, low, rising, value], dim=-3),
        torch.stack([rising, value, value, falling, low, low], dim=-3),
        torch.stack([low, low, rising, value, value, falling], dim=-3),
    ]
    place = (sector.long() % 6).unsqueeze(-3)  # (..., 1, H, W)
    return torch.cat([channel.gather(-3, place) for channel in channels], dim=-3)


CHANGES: dict[str, Callable[[Tensor, float], Tensor]] = {  # in the original's order, which decides what a draw means
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
}


@dataclass(frozen=True)
class ColourAugmentation:
    """All four changes in a random order with a chance of `jittered`, and then no colour with one of `greyed`.

    brightness, contrast, saturation: how far their factors may be from 1; hue: how far hues may move, as a part of the
    circle. The defaults are BriVL's; nothing is cut or mirrored, so boxes stay where they are.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jittered: float = 0.8
    greyed: float = 0.2

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.jittered, self.greyed)):
            raise UsageError(f"jittered is {self.jittered} and greyed {self.greyed}, expected chances from 0 to 1")
        if min(self.brightness, self.contrast, self.saturation, self.hue) < 0 or self.hue > 0.5:
            raise UsageError(f"{self}: expected strengths from 0, and a hue up to 0.5")

    def __call__(self, pixels: Tensor, draws: Draws) -> Tensor:
        """(..., 3, H, W) floats from 0 to 1, after the resize and before they are normalised; all changed alike.

        The draws are torchvision 0.9's, in their order.
        """
        if torch.rand(1, generator=draws.torch).item() <= self.jittered:
            order = torch.randperm(len(CHANGES), generator=draws.torch).tolist()
            factors = [
                *(draws.uniform(max(0, 1 - far), 1 + far) for far in (self.brightness, self.contrast, self.saturation)),
                draws.uniform(-self.hue, self.hue),
            ]
            names = list(CHANGES)
            for place in order:
                pixels = CHANGES[names[place]](pixels, factors[place])
        if torch.rand(1, generator=draws.torch).item() < self.greyed:
            pixels = grey(pixels).expand(pixels.shape)
        return pixels
