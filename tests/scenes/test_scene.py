"""Scenes: the same forever, inside the frame, and apart by split."""

from __future__ import annotations

import hashlib
import json
from itertools import combinations

import pytest

from tuwen.errors import UsageError
from tuwen.scenes.pack import COUNT, outline
from tuwen.scenes.scene import MARGIN, SPLITS, Scene, make, pair_split, portrait, turned_box


def pairs(scene: Scene) -> set[str]:
    return {pair_split(first, second) for first, second in combinations(scene.groups, 2)}


def test_a_seed_gives_the_scenes_it_gave_when_the_bundled_model_was_trained() -> None:
    scenes = [make(seed, index, split) for seed in (0, 1, 12345) for index in range(5) for split in SPLITS]
    scenes += [portrait(glyph, 7) for glyph in (0, 100, COUNT - 1)]
    text = json.dumps([scene.to_dict() for scene in scenes], sort_keys=True)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "21ec8de1bf338ce1d8f0cc6b4a457671fbae0bd159b1a15d38e278a42088f428"
    )


def test_each_index_each_seed_and_each_split_gives_another_scene() -> None:
    scenes = [make(seed, index, split) for seed in range(3) for index in range(40) for split in SPLITS]
    assert len({(scene.background, scene.variant, scene.things) for scene in scenes}) == len(scenes)


def test_training_scenes_hold_only_training_pairs() -> None:
    assert all(pairs(make(3, index)) <= {"train"} for index in range(1500))


@pytest.mark.parametrize(("split", "other"), [("validation", "test"), ("test", "validation")])
def test_held_out_scenes_hold_a_pair_of_their_own_split_and_none_of_the_other(split: str, other: str) -> None:
    for index in range(400):
        found = pairs(make(3, index, split))
        assert other not in found
        assert split in found or not found


def test_a_pair_belongs_to_one_split_in_either_order_and_nine_of_ten_train() -> None:
    splits = [pair_split(first, second) for first in range(80) for second in range(80, 160)]
    assert splits == [pair_split(second, first) for first in range(80) for second in range(80, 160)]
    assert 0.88 < splits.count("train") / len(splits) < 0.92
    assert splits.count("validation") > 200 < splits.count("test")


@pytest.mark.parametrize("things", [1, 2, 3, 4, 5])
def test_every_box_lies_within_the_frame_and_hardly_over_another(things: int) -> None:
    for index in range(120):
        scene = make(5, index, things=things)
        assert len(scene.things) == things
        for thing in scene.things:
            x0, y0, x1, y1 = thing.box
            assert MARGIN - 1e-3 <= x0 < x1 <= 1 - MARGIN + 1e-3
            assert MARGIN - 1e-3 <= y0 < y1 <= 1 - MARGIN + 1e-3
        for first, second in combinations([thing.box for thing in scene.things], 2):
            width = min(first[2], second[2]) - max(first[0], second[0])
            height = min(first[3], second[3]) - max(first[1], second[1])
            area = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
            assert max(width, 0) * max(height, 0) <= 0.25 * area


def test_every_thing_can_stand_alone_and_comes_up_in_scenes() -> None:
    assert all(portrait(glyph, 1).things[0].glyph == glyph for glyph in range(COUNT))
    seen = {thing.glyph for index in range(4000) for thing in make(9, index).things}
    assert len(seen) == COUNT


def test_a_portrait_fills_about_half_to_all_of_the_frame() -> None:
    sizes = [portrait(glyph, seed).things[0].size for glyph in range(0, COUNT, 40) for seed in range(20)]
    assert min(sizes) >= 0.44
    assert max(sizes) <= 0.96
    assert max(sizes) - min(sizes) > 0.4


def test_the_outline_touches_the_sides_of_what_is_drawn() -> None:
    assert turned_box(0, 0.5, 0.5, 1.0, 0) == (
        round(min(x for x, _ in outline(0)), 4),
        round(min(y for _, y in outline(0)), 4),
        round(max(x for x, _ in outline(0)), 4),
        round(max(y for _, y in outline(0)), 4),
    )


def test_an_unknown_split_and_a_wrong_number_are_refused() -> None:
    with pytest.raises(UsageError, match="splits are train, validation, test"):
        make(0, 0, "training")
    with pytest.raises(UsageError, match="1 to 5 things"):
        make(0, 0, things=6)
    with pytest.raises(UsageError, match="numbers 0 to 793"):
        portrait(COUNT, 0)
