"""Tags, boxes and patches agree with each other and with the scene."""

from __future__ import annotations

import numpy as np
import pytest

from tuwen.errors import UsageError
from tuwen.scenes.labels import boxes, patch_labels, tags
from tuwen.scenes.pack import glyphs
from tuwen.scenes.scene import make, portrait


def test_tags_name_each_thing_once_and_then_the_background() -> None:
    scene = make(1, 7, things=5)
    named = tags(scene, "zh")
    assert named[:-1] == [glyphs()[glyph].zh for glyph in scene.groups]
    assert len(named) == len(scene.groups) + 1


def test_boxes_are_scaled_to_the_picture() -> None:
    scene = make(1, 3, things=2)
    wide = boxes(scene, 200, 100)
    for (glyph, (x0, y0, x1, y1)), thing in zip(wide, scene.things, strict=True):
        assert glyph == thing.glyph
        assert (x0 / 200, y0 / 100, x1 / 200, y1 / 100) == pytest.approx(thing.box)
    assert boxes(scene, 100) == boxes(scene, 100, 100)


def test_a_labelled_patch_meets_a_box_of_its_thing_and_other_patches_are_background() -> None:
    for index in range(80):
        scene = make(2, index)
        labels = patch_labels(scene, 7, 9)
        assert labels.shape == (7, 9)
        assert labels.dtype == np.int64
        assert set(labels.flat) <= {-1, *scene.groups}
        for row, column in zip(*np.nonzero(labels >= 0), strict=True):
            assert any(
                x0 < (column + 1) / 9 and x1 > column / 9 and y0 < (row + 1) / 7 and y1 > row / 7
                for x0, y0, x1, y1 in (thing.box for thing in scene.groups[labels[row, column]])
            )


def test_fine_patches_fill_the_box_to_its_edges() -> None:
    for glyph in (5, 150, 354, 618):
        scene = portrait(glyph, 4)
        rows, columns = np.nonzero(patch_labels(scene, 64, 64) == glyph)
        found = (columns.min() / 64, rows.min() / 64, (columns.max() + 1) / 64, (rows.max() + 1) / 64)
        assert found == pytest.approx(scene.things[0].box, abs=0.035)


def test_patches_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1x1"):
        patch_labels(make(1, 1), 0, 4)
