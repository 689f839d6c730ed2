"""Random changes of pictures: reproducible, in the published order of draws, within the published ranges."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from tests.processing.pictures import noise
from tuwen.errors import UsageError
from tuwen.processing.augment import AUGMENTATIONS, RATIOS, Draws, augmentation, random_box, random_crop
from tuwen.processing.augment_pillow import RandAugment
from tuwen.processing.image import ImagePipeline

PICTURE = Image.fromarray(noise(60, 40))


@pytest.mark.parametrize("key", AUGMENTATIONS)
def test_equal_seeds_give_equal_pictures_of_the_size_that_the_pipeline_takes(key: str) -> None:
    chosen = augmentation(key)
    one, same = (chosen(PICTURE, 24, Draws.of(5)) for _ in range(2))
    others = [chosen(PICTURE, 24, Draws.of(seed)).tobytes() for seed in range(8)]
    assert one.mode == "RGB" and one.tobytes() == same.tobytes()
    assert len(set(others)) > 1
    assert one.size == (PICTURE.size if chosen.smallest is None else (24, 24))
    pixels = chosen.pipeline(24).pixels(one)
    assert pixels.shape == ((32, 32, 3) if key == "pixelbert_randaug" else (24, 24, 3))


def test_global_sources_of_chance_are_left_alone() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].tolist()
    for chosen in AUGMENTATIONS.values():
        chosen(PICTURE, 24, Draws.of(0))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before[1]


def test_other_modes_become_rgb_first() -> None:
    clear = Image.fromarray(noise(30, 20, 4))
    for chosen in (augmentation("clip_randaug"), augmentation("blip_randaug")):
        changed = chosen(clear, 16, Draws.of(2)).tobytes()
        assert changed == chosen(clear.convert("RGB"), 16, Draws.of(2)).tobytes()


def test_boxes_lie_in_the_picture_with_area_and_ratio_in_bounds() -> None:
    draws = Draws.of(0)
    for _ in range(200):
        top, left, height, width = random_box(90, 120, 0.5, draws)
        assert 0 <= top <= 90 - height and 0 <= left <= 120 - width
        assert 0.49 < height * width / (90 * 120) <= 1
        assert RATIOS[0] - 0.02 < width / height < RATIOS[1] + 0.02


def test_a_picture_in_which_no_box_fits_gives_its_middle() -> None:
    assert random_box(9, 300, 0.5, Draws.of(0)) == (0, 144, 9, 12)
    assert random_box(300, 9, 0.5, Draws.of(0)) == (144, 0, 12, 9)


def test_boxes_are_drawn_from_torch_as_area_ratio_top_left() -> None:
    torch.manual_seed(3)
    area = 90 * 120 * torch.empty(1).uniform_(0.5, 1.0).item()
    low, high = torch.log(torch.tensor([3 / 4, 4 / 3]))
    ratio = torch.exp(torch.empty(1).uniform_(low.item(), high.item())).item()
    width, height = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
    top, left = torch.randint(0, 90 - height + 1, (1,)).item(), torch.randint(0, 120 - width + 1, (1,)).item()
    assert random_box(90, 120, 0.5, Draws.of(3)) == (top, left, height, width)


def test_a_part_is_brought_to_the_size() -> None:
    box = random_box(40, 60, 0.5, Draws.of(7))
    top, left, height, width = box
    part = PICTURE.crop((left, top, left + width, top + height))
    expected = ImagePipeline((24, 24), width_first=True).pixels(part)
    assert np.array_equal(np.asarray(random_crop(PICTURE, 24, 0.5, Draws.of(7))), expected)


def test_half_of_the_pictures_are_mirrored_where_the_name_says_so() -> None:
    still = RandAugment(0, 0)
    flipping = {key: chosen.flip for key, chosen in AUGMENTATIONS.items()}
    assert [key for key, flip in flipping.items() if flip] == [
        "blip_randaug",
        "blip_randaug_pretrain",
        "blip_randaug_wc",
    ]
    flips = type(augmentation("blip_randaug"))("blip", still, flip=True)
    mirrored = PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()
    seen = [flips(PICTURE, 24, Draws.of(seed)).tobytes() for seed in range(60)]
    assert 15 < seen.count(mirrored) < 45
    assert seen.count(mirrored) + seen.count(PICTURE.tobytes()) == 60


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="'blip' does not exist, expected one of clip_randaug"):
        augmentation("blip")


@pytest.mark.parametrize(("count", "magnitude"), [(-1, 9), (2, 31), (2, -1)])
def test_magnitudes_beyond_the_range_are_refused(count: int, magnitude: float) -> None:
    with pytest.raises(UsageError, match="magnitude from 0 to 30"):
        RandAugment(count, magnitude)


def test_nothing_happens_without_operations() -> None:
    assert RandAugment(0, 9)(PICTURE, Random(0)).tobytes() == PICTURE.tobytes()
