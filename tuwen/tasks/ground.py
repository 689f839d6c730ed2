"""Where in a picture is what a text says? Answered patch by patch."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tuwen.errors import UsageError
from tuwen.processing.decode import decode
from tuwen.processing.patches import Area, area_of
from tuwen.processing.processor import Processor
from tuwen.types import Images

if TYPE_CHECKING:
    from tuwen.types import Picture

Grid = np.ndarray[Any, np.dtype[np.float32]]

COVERED = 178  # of 255: how black the least likely patches become, 70 %
CANVAS = 369  # pixels of the square that the original draws its grid on before it is stretched over the picture
RAMP = ((60, 20, 120), (200, 50, 90), (250, 160, 30), (255, 250, 150))  # from 0 to 1: violet, red, orange, yellow
BLENDABLE = ("RGB", "RGBA", "L", "LA")


class Grounder(Protocol):
    """What grounding needs of a fusion model."""

    module: Any  # a FusionModel with the head "ground"
    processor: Processor
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Grounding:
    """What a model finds for a text in a picture.

    scores (rows, columns), float32: how the text's attention is shared among the patches, sum 1.
    probabilities (rows, columns), float32: for each patch on its own, whether it shows what the text says.
    area: the part of the picture that the grid covers, in its pixels. picture: the picture as it was opened.
    """

    scores: Grid
    probabilities: Grid
    area: Area
    picture: Image.Image

    def box(self, row: int, column: int) -> Area:
        """The part of the picture that a patch stands for, in its pixels."""
        left, top, right, bottom = self.area
        rows, columns = self.scores.shape
        wide, high = (right - left) / columns, (bottom - top) / rows
        return Area(left + column * wide, top + row * high, left + (column + 1) * wide, top + (row + 1) * high)

    def overlay(self) -> Image.Image:
        """The picture with its less likely patches darkened, the best left clear; what the model did not see is dark.

        Size and mode are the picture's; palettes and rarer modes cannot be blended and become RGB. If all scores are
        equal there is nothing to tell apart, and the picture stays as it is.
        """
        return darkened(blendable(self.picture), self.scores, self.area)

    def heat(self) -> Image.Image:
        """The picture in grey, coloured from violet to yellow by the probability of each patch, RGB.

        Unlike `overlay`, which always shows the best patches as they compare with the others, the colours mean the same
        in every picture: where nothing is found nothing glows.
        """
        return heated(self.picture.convert("RGB"), self.probabilities, self.area)


def ground(model: Grounder, image: Picture, text: str, area: str = "crop") -> Grounding:
    """Find what a text says in a picture.

    area: "crop" lays the grid over that part of the picture that the model sees, "whole" over all of it, as the
    original of VLE does although its model sees the centre crop. For square pictures they are the same.
    UsageError for an empty text.
    """
    if not text.strip():
        raise UsageError("the text is empty: say what to look for")
    picture = decode(image, model.processor.image.max_pixels)
    where = area_of(model.processor.image, picture.width, picture.height, area)
    logits = patch_logits(model, picture, text)
    side = isqrt(len(logits))
    scores, probabilities = logits[:, 1].softmax(0), logits.softmax(1)[:, 1]
    return Grounding(scores.view(side, side).numpy(), probabilities.view(side, side).numpy(), where, picture)


@torch.inference_mode()
def patch_logits(model: Grounder, image: Picture, text: str) -> Tensor:
    """(P, 2) float32 on the CPU, row by row of the picture: index 1 says that the patch shows what the text says."""
    pixels = model.processor.images([image]).pixels.to(model.device, model.dtype)
    texts = model.processor.texts([text]).to(model.device)
    states = model.module(Images(pixels), texts, last="image").image  # (1, 1 + P, D)
    logits: Tensor = model.module.heads["ground"](states[:, 1:])
    return logits[0].float().cpu()


# -- the picture ------------------------------------------------------------------------------------------------------


def blendable(picture: Image.Image) -> Image.Image:
    """The picture in a mode whose colours can be mixed: its own, or RGB, or RGBA where it has transparency."""
    if picture.mode in BLENDABLE:
        return picture
    return picture.convert("RGBA" if "transparency" in picture.info else "RGB")


def darkened(picture: Image.Image, scores: Grid, area: Area) -> Image.Image:
    """A copy of the picture under black that is the thinner the higher the score, as the original of VLE paints it.

    scores (rows, columns) are laid over `area`; the rest of the picture gets the thickest black.
    """
    result = picture.copy()
    levels = grey_levels(scores)
    if levels is None:
        return result
    alpha = (COVERED * (1 - levels / 255)).astype(np.uint8)
    grey = levels.astype(np.uint8)
    drawn = Image.fromarray(np.stack([grey, grey, grey, alpha], axis=2)).resize(
        (CANVAS, CANVAS), Image.Resampling.NEAREST
    )
    cover = Image.new("RGBA", picture.size, (0, 0, 0, COVERED))
    lay(drawn, cover, area)
    result.paste(cover, (0, 0), cover)
    return result


def lay(grid: Image.Image, over: Image.Image, area: Area) -> None:
    """Stretch a small picture over an area of another one, in place."""
    left, top, right, bottom = map(round, area)
    size = max(1, right - left), max(1, bottom - top)
    over.paste(grid.resize(size, Image.Resampling.BICUBIC), (left, top))


def grey_levels(scores: Grid) -> np.ndarray[Any, Any] | None:
    """0 ... 255 for each score: 0 up to 40 % of the way from the lowest to the highest; None if all are equal."""
    lowest, highest = float(scores.min()), float(scores.max())
    if lowest == highest:
        return None
    start = lowest + 0.4 * (highest - lowest)
    shares = ((scores.astype(np.float64) - start) / (highest - start)).clip(0, 1)
    return np.minimum((256 * shares).astype(np.int64), 255)


def heated(picture: Image.Image, probabilities: Grid, area: Area) -> Image.Image:
    """An RGB picture in grey with colours of RAMP where probabilities (rows, columns), laid over `area`, are high."""
    shares = Image.new("L", picture.size, 0)
    lay(Image.fromarray((probabilities * 255).astype(np.uint8)), shares, area)
    share = np.asarray(shares, dtype=np.float64)[..., None] / 255  # (H, W, 1)
    grey = np.asarray(picture.convert("L"), dtype=np.float64)[..., None]
    stops = np.linspace(0, 1, len(RAMP))
    colour = np.stack([np.interp(share[..., 0], stops, [stop[band] for stop in RAMP]) for band in range(3)], axis=-1)
    strength = 0.15 + 0.6 * share
    return Image.fromarray((grey * (1 - strength) + colour * strength).round().astype(np.uint8))
