"""Drawing scenes: repeatable, at any size, where the boxes say, without fringes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tuwen.errors import UsageError
from tuwen.scenes.backgrounds import BACKGROUNDS, VARIANTS, painted
from tuwen.scenes.pack import COUNT
from tuwen.scenes.render import pixels, render
from tuwen.scenes.scene import make, portrait


def test_a_scene_is_drawn_the_same_twice() -> None:
    for index in range(5):
        assert np.array_equal(pixels(make(1, index), 96), pixels(make(1, index), 96))


@pytest.mark.parametrize("size", [8, 31, 96, 250])
def test_a_picture_is_rgb_and_of_the_size_asked_for(size: int) -> None:
    picture = render(make(1, 1), size)
    assert (picture.mode, picture.size) == ("RGB", (size, size))


def test_sizes_beyond_reason_are_refused() -> None:
    for size in (7, 5000):
        with pytest.raises(UsageError, match="8 to 4096"):
            pixels(make(1, 1), size)


def test_drawing_large_and_shrinking_looks_like_drawing_small() -> None:
    for index in range(12):
        scene = make(2, index)
        small = pixels(scene, 96).astype(float)
        large = np.asarray(render(scene, 384).resize((96, 96), Image.Resampling.BOX), float)
        assert np.abs(small - large).mean() < 2.5


def test_outside_the_boxes_and_their_shadows_there_is_only_background() -> None:
    for index in range(8):
        scene = make(4, index)
        changed = pixels(scene, 128) != painted(scene.background, scene.variant, 128)
        for thing in scene.things:
            x0, y0, x1, y1 = (round(128 * edge) for edge in thing.box)
            reach = int(0.12 * thing.size * 128) + 2
            changed[max(0, y0 - reach) : y1 + reach, max(0, x0 - reach) : x1 + reach] = False
        assert not changed.any()


def test_every_thing_can_be_seen_on_its_background() -> None:
    for glyph in range(0, COUNT, 7):
        scene = portrait(glyph, 2)
        there = pixels(scene, 64).astype(int) - painted(scene.background, scene.variant, 64)
        assert (np.abs(there).max(axis=2) > 24).mean() > 0.01


def test_every_background_has_its_own_names_and_paintings() -> None:
    for name in ("key", "zh", "en", "zh_place", "en_place"):
        assert len({getattr(background, name) for background in BACKGROUNDS}) == len(BACKGROUNDS)
    for number in range(len(BACKGROUNDS)):
        first, second = painted(number, 0, 48), painted(number, VARIANTS - 1, 48)
        assert not np.array_equal(first, second)
