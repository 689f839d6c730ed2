"""Pointing: the middle of the best patch, in pixels of the picture, and boxes around it or elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tasks import tiny_vle
from tuwen.data.dataset import CHOICES, PAIRS, Dataset, Text
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.evaluate.ground import boxes_of, ground, pointed
from tuwen.processing.patches import Area
from tuwen.tasks.ground import Grounding


def found(best: tuple[int, int], area: Area, side: int = 4) -> Grounding:
    scores = np.full((side, side), 0.5 / (side * side - 1), dtype=np.float32)
    scores[best] = 0.5
    return Grounding(scores, scores, area, Image.new("RGB", (80, 40)))


def test_the_point_is_the_middle_of_the_best_patch() -> None:
    area = Area(20, 0, 60, 40)  # the centre crop of 80 x 40
    x, y, hit, share, chance = pointed(found((1, 2), area), [[40, 10, 50, 20]])
    assert (x, y, hit) == (45, 15, 1)
    assert share == pytest.approx(0.5)
    assert chance == pytest.approx(1 / 16)


@pytest.mark.parametrize(
    ("boxes", "hit", "chance"),
    [
        ([[0, 0, 80, 40]], 1, 1),
        ([[0, 0, 19, 40]], 0, 0),  # left of what the model sees
        ([[20, 0, 40, 40], [40, 0, 60, 20]], 1, 0.75),
        ([[20, 0, 40, 40], [20, 0, 40, 40]], 0, 0.5),  # twice the same counts once
        ([[44, 14, 46, 16]], 1, 4 / 1600),
    ],
)
def test_boxes_are_hit_where_the_point_lies_in_any_of_them(boxes: list[list[float]], hit: int, chance: float) -> None:
    _, _, inside, _, covered = pointed(found((1, 2), Area(20, 0, 60, 40)), boxes)
    assert inside == hit
    assert covered == pytest.approx(chance, abs=2e-4)


def dataset(*boxes: Any) -> Dataset:
    texts = [Text(str(n), "a cat", ("a",), f"t:{n}", {"boxes": each} if each else {}) for n, each in enumerate(boxes)]
    return Dataset("test", Path("set"), PAIRS, {"a": tiny_vle.picture(40, 80)}, texts)


def test_figures_are_means_over_the_texts_with_boxes() -> None:
    model = tiny_vle.model()
    data = dataset([[0, 0, 80, 40]], [[0, 0, 1, 1]], None)
    scored = ground(model, data)
    grounding = model.ground(data.pictures["a"], "a cat")
    assert scored.figures["pointing"] == 0.5
    assert scored.figures["chance"] == pytest.approx(0.5, abs=1e-3)
    place = np.unravel_index(grounding.scores.argmax(), grounding.scores.shape)
    box = grounding.box(int(place[0]), int(place[1]))
    assert scored.queries["texts"]["x"][0] == (box.left + box.right) / 2
    assert scored.notes == ["1 texts have no boxes: they count in no figure"]


def test_regions_of_visual_genome_are_boxes() -> None:
    region = {"x": 3, "y": 5, "width": 10, "height": 20}
    assert boxes_of(Text("1", "a cat", ("a",), "", region)) == [[3, 5, 13, 25]]
    assert boxes_of(Text("1", "a cat", ("a",), "", {**region, "boxes": [[1, 2, 3, 4]]})) == [[1, 2, 3, 4]]
    assert boxes_of(Text("1", "a cat", ("a",), "", {"x": 3})) is None


def test_in_the_originals_way_patches_divide_the_whole_picture() -> None:
    data = dataset([[0, 0, 80, 40]])
    ours, theirs = (ground(tiny_vle.model(), data, original).queries["texts"]["x"][0] for original in (False, True))
    assert (theirs - 40) == pytest.approx(2 * (ours - 40))  # 40 pixels of 80 are seen


@pytest.mark.parametrize("boxes", [[[1, 2, 3]], [[5, 0, 1, 1]], "no", [["a", 1, 2, 3]]])
def test_bad_boxes_are_told_with_their_rows(boxes: Any) -> None:
    told: list[str] = []
    data = dataset(boxes, [[0, 0, 80, 40]])
    assert len(ground(tiny_vle.model(), data, on_error=lambda name, _: told.append(name)).queries["texts"]["id"]) == 1
    assert told == ["t:0"]
    with pytest.raises(InputError, match=r"t:0: its? .*box"):
        ground(tiny_vle.model(), data)


def test_wrong_models_and_datasets_are_refused() -> None:
    with pytest.raises(UnsupportedTask, match="cannot ground"):
        ground(tiny_vle.model(heads=("choose",)), dataset([[0, 0, 1, 1]]))
    with pytest.raises(UsageError, match="set holds choices"):
        ground(tiny_vle.model(), Dataset("x", Path("set"), CHOICES, {}, []))
    with pytest.raises(InputError, match="no text of set could be used"):
        ground(tiny_vle.model(), dataset(None))
