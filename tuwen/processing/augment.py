"""Random changes of pictures for training, by the names that BridgeTower's repository gives its transforms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from PIL import Image, ImageOps

from tuwen.errors import UsageError
from tuwen.processing.augment_arrays import RandomAugment
from tuwen.processing.augment_pillow import RandAugment
from tuwen.processing.image import ImagePipeline
from tuwen.processing.resize import resize_exact

RATIOS = (3 / 4, 4 / 3)  # width to height of what is cut out
TRIES = 10


@dataclass
class Draws:
    """The three sources of chance that the original draws from, of its own here; equal seeds give equal pictures.

    A picture comes out as the original's after `random.seed`, `numpy.random.seed` and `torch.manual_seed` of that seed.
    """

    python: Random
    numpy: np.random.RandomState
    torch: torch.Generator

    @classmethod
    def of(cls, seed: int) -> Draws:
        """All three from one seed, 0 to 2**32 - 1."""
        return cls(Random(seed), np.random.RandomState(seed), torch.Generator().manual_seed(seed))

    def uniform(self, low: float, high: float) -> float:
        return torch.empty(1).uniform_(low, high, generator=self.torch).item()

    def below(self, count: int) -> int:
        return int(torch.randint(0, count, (1,), generator=self.torch).item())


@dataclass(frozen=True)
class Augmentation:
    """What happens to a picture before the pipeline of the transform `then`.

    smallest: a part of the picture with at least this share of its area is cut out and brought to the pipeline's size;
    None takes the whole. flip: one picture in two is mirrored. policy: which random operations follow.
    """

    then: str
    policy: RandAugment | RandomAugment
    smallest: float | None = None
    flip: bool = False

    def __call__(self, image: Image.Image, size: int, draws: Draws) -> Image.Image:
        """A picture in any mode -> an RGB picture, (size, size) where a part is cut out."""
        image = image.convert("RGB")
        if self.smallest is not None:
            image = random_crop(image, size, self.smallest, draws)
        if self.flip and torch.rand(1, generator=draws.torch).item() < 0.5:
            image = ImageOps.mirror(image)
        if isinstance(self.policy, RandAugment):
            return self.policy(image, draws.python)
        return Image.fromarray(self.policy(np.array(image), draws.numpy))

    def pipeline(self, size: int) -> ImagePipeline:
        """The pipeline that the changed picture goes on with."""
        return ImagePipeline.transform(self.then, size)


AUGMENTATIONS: dict[str, Augmentation] = {
    "clip_randaug": Augmentation("clip", RandAugment(2, 9)),
    "imagenet_randaug": Augmentation("imagenet", RandAugment(2, 9)),
    "vit_randaug": Augmentation("vit", RandAugment(2, 9)),
    "pixelbert_randaug": Augmentation("pixelbert", RandAugment(2, 9)),
    "blip_randaug": Augmentation("blip", RandomAugment(2, 5), smallest=0.5, flip=True),
    "blip_randaug_pretrain": Augmentation("blip", RandomAugment(2, 5), smallest=0.2, flip=True),
    "blip_randaug_wohf": Augmentation("blip", RandomAugment(2, 5), smallest=0.5),  # questions tell left from right
    "blip_randaug_wc": Augmentation("blip", RandAugment(2, 7), smallest=0.5, flip=True),
}


def augmentation(key: str) -> Augmentation:
    """By its key in the original's configs. UsageError names those that exist."""
    if key not in AUGMENTATIONS:
        raise UsageError(f"the augmentation {key!r} does not exist, expected one of {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[key]


def random_crop(image: Image.Image, size: int, smallest: float, draws: Draws) -> Image.Image:
    """A part of `smallest` to all of the area, brought to (size, size), as torchvision's `RandomResizedCrop`."""
    top, left, height, width = random_box(image.height, image.width, smallest, draws)
    part = image.crop((left, top, left + width, top + height))
    return resize_exact(part, (size, size), Image.Resampling.BICUBIC, width_first=True)


def random_box(height: int, width: int, smallest: float, draws: Draws) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a part of a picture, its ratio from 3:4 to 4:3.

    Where ten tries do not fit, the middle, as much of it as these ratios allow.
    """
    low, high = torch.log(torch.tensor(RATIOS)).tolist()
    for _ in range(TRIES):
        area = height * width * draws.uniform(smallest, 1.0)
        ratio = torch.exp(torch.tensor(draws.uniform(low, high))).item()
        columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < columns <= width and 0 < rows <= height:
            return draws.below(height - rows + 1), draws.below(width - columns + 1), rows, columns
    rows, columns = height, width
    if width / height < RATIOS[0]:
        rows = round(width / RATIOS[0])
    elif width / height > RATIOS[1]:
        columns = round(height * RATIOS[1])
    return (height - rows) // 2, (width - columns) // 2, rows, columns
