"""Prepared pictures, of one size or of several, to one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tuwen.errors import UsageError
from tuwen.processing.image import ImagePipeline
from tuwen.processing.resize import Floats, Pixels
from tuwen.types import Images


def batch(pictures: Sequence[Pixels | Floats], pipeline: ImagePipeline) -> Images:
    """What `pipeline.pixels` made, (H, W, 3) each, normalised and put together.

    Pictures of one size have no mask. Of several sizes, where the pipeline pads, each begins at the top left; right and
    below is 0 after normalising, as BridgeTower's processor has it, and False in the mask. UsageError where it does not
    pad.
    """
    shapes = sorted({(picture.shape[0], picture.shape[1]) for picture in pictures})
    if len(shapes) == 1:
        return Images(pipeline.normalise(torch.from_numpy(np.stack(pictures))))
    if not shapes:
        raise UsageError("a batch of no pictures, expected at least one")
    if not pipeline.pad:
        raise UsageError(f"pictures come out in sizes {shapes}, which make no batch: set size (height, width) or crop")
    height, width = (max(edges) for edges in zip(*shapes, strict=True))
    pixels = torch.zeros(len(pictures), 3, height, width)
    mask = torch.zeros(len(pictures), height, width, dtype=torch.bool)
    for row, picture in enumerate(pictures):
        rows, columns = picture.shape[:2]
        pixels[row, :, :rows, :columns] = pipeline.normalise(torch.from_numpy(picture)[None])[0]
        mask[row, :rows, :columns] = True
    return Images(pixels, mask)
