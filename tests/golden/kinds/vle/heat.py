"""The grid and the picture of grounding, made from the scores of every patch."""

from __future__ import annotations

from math import isqrt

import numpy as np
from PIL import Image
from torch import Tensor

from tests.golden.case import Case, Expected
from tuwen.processing.decode import decode
from tuwen.processing.patches import Area
from tuwen.tasks.ground import darkened


def check_heat(case: Case, expected: Expected, logits: Tensor) -> None:
    """logits (N, P, 2), one pair for each patch of each picture of the case."""
    allowed = case.settings["heat_tolerance"]["mean_abs_pixel_difference"]
    for number, (path, scores) in enumerate(zip(case.images, logits.detach(), strict=True)):
        side = isqrt(len(scores))
        grid = scores[:, 1].softmax(0).view(side, side)
        expected.close(f"heat_grid.{number}", grid)
        picture = decode(path)
        ours = darkened(picture, grid.numpy(), Area(0, 0, picture.width, picture.height))
        with Image.open(case.path / f"expected_heat_{number}.png") as theirs:
            expected.same(f"heat picture {number}", (ours.mode, ours.size), (theirs.mode, theirs.size))
            apart = float(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)).mean())
        expected.same(f"heat picture {number} is {apart:.2f} of 255 away, within {allowed}", apart <= allowed, True)
