"""Scores of all pictures with all texts: the whole model's own, however they are computed and stored."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests import fusing
from tests.fusing import TEXTS, counting, pictures
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.models.bridgetower import BridgeTower
from tuwen.states import State
from tuwen.tasks.match import match_rows
from tuwen.types import Images

every_model = pytest.mark.parametrize("name", fusing.MATCHING)


def close(one: torch.Tensor, other: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(one, other, atol=atol, rtol=1e-4)


@every_model
def test_the_matrix_is_that_of_the_model_pair_by_pair(name: str) -> None:
    model, images = fusing.model(name), pictures()
    scores = model.match(images, TEXTS)
    assert (scores.shape, scores.dtype) == ((3, 5), torch.float32)
    for row, image in enumerate(images):
        for column, text in enumerate(TEXTS):
            logits = fusing.pair_by_pair(model, "match", image, text)
            close(scores[row, column], logits.softmax(0)[1])


@every_model
def test_scores_do_not_depend_on_what_else_is_asked_and_in_which_order(name: str) -> None:
    model, images = fusing.model(name), pictures(4)
    scores = model.match(images, TEXTS)
    close(model.match(images[::-1], TEXTS[::-1]), scores.flip(0, 1))
    close(model.match(images[1], TEXTS[2]), scores[1:2, 2:3])
    close(model.match([images[2], images[2]], TEXTS), scores[[2, 2]])


@every_model
@pytest.mark.parametrize("batch_tokens", [1, 60, 100_000])
def test_the_size_of_passes_changes_nothing(name: str, batch_tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = fusing.model(name), pictures()
    scores = model.match(images, TEXTS)
    monkeypatch.setattr("tuwen.tasks.passes.TOKENS_AT_ONCE", 9)
    monkeypatch.setattr("tuwen.tasks.passes.PIXELS_AT_ONCE", 1)
    close(model.match(images, TEXTS, batch_tokens=batch_tokens), scores)


@every_model
def test_without_memory_the_states_lie_in_a_file_and_the_numbers_stay(name: str, tmp_path: Path) -> None:
    model, images = fusing.model(name), pictures()
    assert torch.equal(model.match(images, TEXTS, memory_gb=0), model.match(images, TEXTS))


@every_model
@pytest.mark.parametrize("workers", [0, 3])
def test_threads_that_decode_ahead_change_nothing(name: str, workers: int) -> None:
    model, images = fusing.model(name), pictures(5)
    assert torch.equal(model.match(images, TEXTS, workers=workers), model.match(images, TEXTS))


@every_model
def test_states_may_stand_for_pictures_and_texts(name: str) -> None:
    model, images = fusing.model(name), pictures()
    scores = model.match(images, TEXTS)
    image, text = model.image_state(images), model.text_state(TEXTS)
    for one in (images, image):
        for other in (TEXTS, text):
            close(model.match(one, other), scores)
    close(model.match(image[1:], text[[4, 0]]), scores[1:][:, [4, 0]])


@every_model
def test_half_precision_states_move_scores_by_little(name: str) -> None:
    model, images = fusing.model(name), pictures()
    moved = (model.match(images, TEXTS, state_dtype="float16") - model.match(images, TEXTS)).abs()
    assert 0 < moved.max() < 2e-3


@every_model
@pytest.mark.parametrize(("dtype", "bound"), [("float16", 5e-3), ("bfloat16", 5e-2)])
def test_a_model_in_half_precision_scores_nearly_the_same(name: str, dtype: str, bound: float) -> None:
    exact, images = fusing.model(name), pictures()
    half = fusing.opened(name, dtype=dtype)
    scores = half.match(images, TEXTS)
    assert scores.dtype == torch.float32
    assert (scores - exact.match(images, TEXTS)).abs().max() < bound


# -- how much is done -------------------------------------------------------------------------------------------------


@every_model
def test_every_picture_and_every_text_is_encoded_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = counting(monkeypatch)
    fusing.model(name).match(pictures(4), TEXTS, batch_tokens=90)
    assert counted == {"pictures": 4, "texts": 5, "pairs": 20}


def test_only_wanted_pairs_are_fused_and_the_others_have_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = fusing.model("bridgetower"), pictures()
    scores = model.match(images, TEXTS)
    counted = counting(monkeypatch)
    wanted = [[0, 3], [], [4]]
    rows = [row for _, row in match_rows(model, images, TEXTS, wanted.__getitem__, batch_tokens=200)]
    assert counted == {"pictures": 3, "texts": 5, "pairs": 3}
    for number, row in enumerate(rows):
        assert isinstance(row, torch.Tensor)
        assert row.isfinite().nonzero()[:, 0].tolist() == wanted[number]
        close(row[wanted[number]], scores[number, wanted[number]])


def test_only_the_pictures_of_one_pass_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fusing.model("bridgetower")
    monkeypatch.setattr("tuwen.tasks.passes.PIXELS_AT_ONCE", 48 * 48)
    held: list[weakref.ref[Any]] = []
    encode = BridgeTower.image_levels

    def watched(self: BridgeTower, images: Images, kind: int = 1) -> torch.Tensor:
        levels = encode(self, images, kind).numpy().copy()  # an array lives as long as any tensor over its memory
        held.append(weakref.ref(levels))
        return torch.from_numpy(levels)

    monkeypatch.setattr(BridgeTower, "image_levels", watched)
    most = 0
    for _ in match_rows(model, pictures(1) * 12, TEXTS, workers=0):
        most = max(most, sum(levels() is not None for levels in held))
    assert len(held) == 12
    assert most <= 2


def test_log_odds_order_what_probabilities_no_longer_tell_apart() -> None:
    model, images = fusing.model("bridgetower"), pictures()
    odds = [row for _, row in match_rows(model, images, TEXTS, logits=True)]
    close(torch.stack(odds).sigmoid(), model.match(images, TEXTS))  # type: ignore[arg-type]


# -- what is wrong is named -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "texts", "said"),
    [
        ([], TEXTS, "there is no picture: expected at least one"),
        (pictures(1), [], "there is no text: expected at least one"),
        (pictures(1), ["a cat", " "], "text 2 of 2 is empty"),
        (pictures(1), "", "the text is empty"),
        (pictures(1), ["a cat", 3], "text 2 of 2 is int, expected str"),
        (pictures(1), ["a cat", "two dogs " * 40], r"text 2 of 2 \('two dogs .* tokens, the model takes 38"),
        ([np.zeros((0, 8, 3), dtype=np.uint8)], TEXTS, r"uint8 \(0, 8, 3\), .*at least one pixel high and wide"),
        ([Image.new("RGB", (5, 0))], TEXTS, "has 5 x 0 pixels: a picture is at least one high and wide"),
        ([pictures(1)[0], "none.png"], TEXTS, r"none\.png does not exist"),
        (State, TEXTS, "a picture is"),
    ],
)
def test_what_cannot_be_matched_is_one_sentence(images: Any, texts: Any, said: str) -> None:
    with pytest.raises((InputError, UsageError), match=said) as caught:
        fusing.model("bridgetower").match(images, texts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"state_dtype": "int8"}, "dtype is 'int8': it must be one of float32, bfloat16, float16"),
        ({"batch_tokens": 0}, "batch_tokens is 0: it must be at least 1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fusing.model("bridgetower").match(pictures(1), TEXTS, **settings)


def test_one_broken_picture_costs_the_others_nothing(tmp_path: Path) -> None:
    model, images = fusing.model("bridgetower"), pictures()
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    rows = dict(match_rows(model, [images[0], tmp_path / "broken.jpg", images[1]], TEXTS))
    assert isinstance(rows[1], InputError)
    close(torch.stack([rows[0], rows[2]]), model.match(images[:2], TEXTS))  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"broken\.jpg"):
        model.match([images[0], tmp_path / "broken.jpg"], TEXTS)


def test_a_model_without_the_head_names_those_it_has_and_models_that_can() -> None:
    with pytest.raises(
        UnsupportedTask, match="vle cannot match: its tasks are answer; these can: bridgetower/base-"
    ) as e:
        fusing.model("vqa").match(pictures(1), TEXTS)
    assert str(e.value).endswith("(the heads that it has: vqa_classifier)")
