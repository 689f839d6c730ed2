"""Changes of colour against their definitions, and the draws of the original."""

from __future__ import annotations

import colorsys

import pytest
import torch

from tests.processing.pictures import noise
from tuwen.errors import UsageError
from tuwen.processing.augment import Draws
from tuwen.processing.augment_tensors import CHANGES, ColourAugmentation, grey, hue

PIXELS = torch.from_numpy(noise(9, 7)).permute(2, 0, 1).float() / 255  # (3, 7, 9)
PLAIN = torch.cat([PIXELS[:, :2], torch.full((3, 2, 9), 0.3), torch.zeros(3, 1, 9), torch.ones(3, 1, 9)], dim=1)


@pytest.mark.parametrize("name", CHANGES)
def test_the_factor_that_changes_nothing_changes_nothing(name: str) -> None:
    changed = CHANGES[name](PLAIN, 0.0 if name == "hue" else 1.0)
    assert torch.allclose(changed, PLAIN, atol=1e-6)


@pytest.mark.parametrize("name", CHANGES)
def test_a_batch_is_changed_as_its_pictures_alone(name: str) -> None:
    together = CHANGES[name](torch.stack([PLAIN, PLAIN.flip(-1)]), 0.4)
    assert together.shape == (2, *PLAIN.shape) and together.min() >= 0 and together.max() <= 1
    assert torch.allclose(together[1], CHANGES[name](PLAIN.flip(-1), 0.4), atol=1e-6)


def test_hues_move_around_the_circle_as_colorsys_has_them() -> None:
    for shift in (-0.5, -0.1, 0.05, 0.5):
        moved = hue(PLAIN, shift)
        for row in range(PLAIN.shape[1]):
            for column in range(PLAIN.shape[2]):
                turn, saturated, value = colorsys.rgb_to_hsv(*PLAIN[:, row, column].tolist())
                expected = colorsys.hsv_to_rgb((turn + shift) % 1, saturated, value)
                assert moved[:, row, column].tolist() == pytest.approx(expected, abs=1e-5)


def test_factor_zero_is_black_or_grey() -> None:
    assert CHANGES["brightness"](PIXELS, 0.0).max() == 0
    assert torch.allclose(CHANGES["saturation"](PIXELS, 0.0), grey(PIXELS).expand_as(PIXELS))
    flat = CHANGES["contrast"](PIXELS, 0.0)
    assert flat.unique().numel() == 1 and flat[0, 0, 0] == pytest.approx(grey(PIXELS).mean().item(), abs=1e-6)


def test_equal_seeds_give_equal_pictures_and_global_chance_is_left_alone() -> None:
    augmentation, before = ColourAugmentation(), torch.get_rng_state()
    one, same = (augmentation(PIXELS, Draws.of(3)) for _ in range(2))
    assert torch.equal(one, same) and torch.equal(torch.get_rng_state(), before)


def test_chances_are_those_of_the_published_recipe() -> None:
    augmentation = ColourAugmentation()
    changed = [augmentation(PIXELS, Draws.of(seed)) for seed in range(300)]
    as_it_was = sum(torch.equal(one, PIXELS) for one in changed)
    without_colour = sum(torch.equal(one[0], one[1]) for one in changed)
    assert 0.1 < as_it_was / 300 < 0.22  # 0.2 x 0.8
    assert 0.14 < without_colour / 300 < 0.27  # 0.2


def test_factors_are_drawn_after_the_order_in_the_originals_way() -> None:
    seed = 1
    draw = torch.Generator().manual_seed(seed)
    assert torch.rand(1, generator=draw) <= 0.8
    order = torch.randperm(4, generator=draw).tolist()
    limits = [(0.6, 1.4)] * 3 + [(-0.1, 0.1)]
    factors = [torch.empty(1).uniform_(*limit, generator=draw).item() for limit in limits]
    expected = PIXELS
    for place in order:
        expected = list(CHANGES.values())[place](expected, factors[place])
    assert torch.equal(ColourAugmentation(greyed=0)(PIXELS, Draws.of(seed)), expected)


@pytest.mark.parametrize("settings", [{"jittered": 1.5}, {"greyed": -0.1}, {"hue": 0.6}, {"contrast": -1}], ids=str)
def test_wrong_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        ColourAugmentation(**settings)
