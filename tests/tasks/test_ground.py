"""Grounding: the grid, where it lies in the picture, and what is painted."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tasks import tiny_vle
from tuwen.errors import UnsupportedTask, UsageError
from tuwen.models.vle import VLE
from tuwen.processing.patches import Area
from tuwen.tasks.ground import Grid, Grounding, darkened, ground


def grounding(scores: list[list[float]], picture: Image.Image, area: Area | None = None) -> Grounding:
    grid = np.array(scores, dtype=np.float32)
    return Grounding(grid / grid.sum(), grid, area or Area(0, 0, *picture.size), picture)


def grey(mode: str = "RGB", size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.new("L", size, 200).convert(mode)


def test_scores_are_shares_of_the_patches_in_rows_as_the_picture_has_them() -> None:
    model, picture = tiny_vle.model(), tiny_vle.picture()
    found = ground(model, picture, "a cat")
    with torch.inference_mode():
        states = model.module(model.processor.images([picture]), model.processor.texts(["a cat"])).image
        logits = cast(VLE, model.module).heads["ground"](states)[0, 1:]
    assert found.scores.dtype == np.float32
    np.testing.assert_allclose(found.scores, logits[:, 1].softmax(0).view(4, 4), atol=1e-6)
    np.testing.assert_allclose(found.probabilities, logits.softmax(1)[:, 1].view(4, 4), atol=1e-6)


def test_another_text_gives_another_grid() -> None:
    model, picture = tiny_vle.model(), tiny_vle.picture()
    assert not np.allclose(ground(model, picture, "a cat").scores, ground(model, picture, "grass").scores)


def test_the_grid_lies_where_the_model_looks_unless_the_whole_picture_is_asked_for() -> None:
    model, picture = tiny_vle.model(), tiny_vle.picture(height=40, width=80)
    assert ground(model, picture, "a").area == Area(20, 0, 60, 40)
    assert ground(model, picture, "a", area="whole").area == Area(0, 0, 80, 40)
    assert ground(model, picture, "a").box(1, 2) == Area(40, 10, 50, 20)


def test_a_text_without_letters_is_refused() -> None:
    with pytest.raises(UsageError, match="text is empty"):
        ground(tiny_vle.model(), tiny_vle.picture(), "  ")


def test_a_model_without_the_head_says_which_it_has() -> None:
    with pytest.raises(UnsupportedTask, match="cannot ground: its tasks are choose; these can: vle/base, vle/large"):
        tiny_vle.model(heads=("choose",)).ground(tiny_vle.picture(), "a")


# -- the pictures -----------------------------------------------------------------------------------------------------


def test_the_best_patch_stays_clear_and_the_worst_are_covered_by_seventy_percent() -> None:
    shown = np.asarray(grounding([[1, 0], [0, 0.4]], grey()).overlay())
    assert (shown[5, 5] == 200).all()
    assert (shown[5, 35] == 60).all()  # 200 * (1 - 178 / 255)
    assert (shown[35, 35] == 60).all()  # 40 % of the way counts as nothing


def test_equal_scores_leave_the_picture_as_it_is() -> None:
    picture = grey()
    overlay = grounding([[0.25, 0.25], [0.25, 0.25]], picture).overlay()
    np.testing.assert_array_equal(np.asarray(overlay), np.asarray(picture))
    assert overlay is not picture


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_size_and_mode_of_the_overlay_are_those_of_the_picture(mode: str) -> None:
    picture = grey(mode, (53, 31))
    overlay = grounding([[1, 0], [0, 0]], picture).overlay()
    assert (overlay.mode, overlay.size) == (mode, (53, 31))


@pytest.mark.parametrize("mode", ["P", "1", "CMYK", "I;16", "F"])
def test_modes_that_cannot_be_blended_become_rgb(mode: str) -> None:
    picture = Image.new("L", (40, 40), 255)
    picture = picture.point(lambda value: value * 257, "I") if mode == "I;16" else picture
    overlay = grounding([[1, 0], [0, 0]], picture.convert(mode)).overlay()
    assert overlay.mode == "RGB"
    shown = np.asarray(overlay)
    assert shown[5, 5].min() > 250
    assert shown[35, 35].max() < 80


def test_a_transparent_palette_keeps_its_transparency() -> None:
    picture = Image.new("P", (40, 40), 0)
    picture.info["transparency"] = 0
    overlay = grounding([[1, 0], [0, 0]], picture).overlay()
    assert overlay.mode == "RGBA"
    assert np.asarray(overlay)[5, 5, 3] == 0


def test_what_the_model_did_not_see_is_dark() -> None:
    picture = grey(size=(80, 40))
    shown = np.asarray(grounding([[1, 1], [1, 0]], picture, Area(20, 0, 60, 40)).overlay())
    assert (shown[5, 5] == 60).all()
    assert (shown[5, 30] == 200).all()
    assert (shown[5, 75] == 60).all()


def test_a_grid_beyond_the_edges_is_cut_at_them() -> None:
    picture = grey(size=(20, 40))
    shown = np.asarray(grounding([[0, 1], [0, 0]], picture, Area(-10, 0, 30, 40)).overlay())
    assert (shown[5, 2] == 60).all()
    assert (shown[5, 18] == 200).all()


def test_heat_glows_only_where_a_patch_is_likely() -> None:
    scores: Grid = np.array([[0.9, 0.1], [0.1, 0.1]], dtype=np.float32)
    warm = np.asarray(Grounding(scores, scores, Area(0, 0, 40, 40), grey("RGBA")).heat()).astype(int)
    cold = np.asarray(Grounding(scores, scores * 0, Area(0, 0, 40, 40), grey("RGBA")).heat()).astype(int)
    assert warm.shape == (40, 40, 3)
    assert warm[5, 5, 0] - warm[5, 5, 2] > 60
    assert np.ptp(cold, axis=(0, 1)).max() == 0


def test_the_picture_itself_is_never_changed() -> None:
    picture = grey()
    before = picture.tobytes()
    darkened(picture, np.array([[1, 0], [0, 0]], dtype=np.float32), Area(0, 0, 40, 40))
    assert picture.tobytes() == before
