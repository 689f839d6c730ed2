"""Statements about two pictures, and sentences that a picture entails: every one as if it were alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.fusing import CASES, VLE_ANSWERING, counting, pair_by_pair, pictures
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.loading import load
from tuwen.model import Model

PAIRED = CASES / "bridgetower" / "orig_nlvr2" / "checkpoint" / "BridgeTower_ftfpt_tiny_nlvr2.ckpt"
ENTAILING = CASES / "bridgetower" / "orig_snli" / "checkpoint" / "BridgeTower_ftfpt_tiny_snlive.ckpt"
TEXTS = ["a cat", "there are two dogs in the left image .", "a red bus near people", "a cat"]


@cache
def opened(path: Path) -> Model:
    return load(path, tokenizer=path.parent / "roberta", device="cpu")


def one_pair(model: Model, first: Any, second: Any, text: str) -> float:
    """The statement through the whole model on its own."""
    module: Any = model.module
    with torch.no_grad():
        images = [model.processor.images([picture]) for picture in (first, second)]
        logits = module.pair_logits(model.processor.texts([text]), *images)
    return float(logits.softmax(-1)[0, 1])


def test_every_statement_is_judged_as_if_it_were_alone() -> None:
    model, shown = opened(PAIRED), pictures(3)
    first, second = [shown[0], shown[1], shown[2], shown[0]], [shown[1], shown[1], shown[0], shown[2]]
    found = model.pair(first, second, TEXTS)
    alone = [one_pair(model, *row) for row in zip(first, second, TEXTS, strict=True)]
    np.testing.assert_allclose(found.numpy(), alone, atol=2e-6)
    assert found[0] != found[3]  # the second picture counts


def test_the_order_of_the_two_pictures_counts() -> None:
    model, shown = opened(PAIRED), pictures(2)
    assert model.pair(shown[0], shown[1], "a cat")[0] != model.pair(shown[1], shown[0], "a cat")[0]


def test_a_picture_of_several_statements_goes_through_its_tower_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shown = opened(PAIRED), pictures(2)
    seen: list[int] = []
    tower: Any = model.module.image
    states = tower.states

    def counted(pixels: torch.Tensor) -> Any:
        seen.append(len(pixels))
        return states(pixels)

    monkeypatch.setattr(tower, "states", counted)
    model.pair([shown[0]] * 4, [shown[1]] * 4, TEXTS)
    assert sum(seen) == 2


def test_a_statement_with_a_broken_picture_is_told_and_the_others_stay() -> None:
    from tuwen.tasks.pair import pair

    model, shown = opened(PAIRED), pictures(2)
    told: list[int] = []
    found = pair(model, [shown[0], b"no picture"], [shown[1]] * 2, TEXTS[:2], on_error=lambda n, _: told.append(n))
    assert told == [1]
    assert found.isnan().tolist() == [False, True]
    with pytest.raises(InputError):
        model.pair([shown[0], b"no picture"], [shown[1]] * 2, TEXTS[:2])


def test_a_statement_needs_two_pictures() -> None:
    with pytest.raises(UsageError, match="1 first and 2 second pictures for 1 texts"):
        opened(PAIRED).pair(pictures(1), pictures(2), "a")


def test_every_hypothesis_is_judged_as_if_it_were_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shown = opened(ENTAILING), pictures(2)
    seen = counting(monkeypatch)
    found = model.entail([shown[0], shown[1], shown[0], shown[0]], TEXTS)
    assert seen["pictures"] == 2
    assert seen["texts"] == 3
    for row, picture, text in zip(found, [shown[0], shown[1], shown[0], shown[0]], TEXTS, strict=True):
        torch.testing.assert_close(row, pair_by_pair(model, "entail", picture, text).softmax(-1), atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(model.entail(shown[0], TEXTS)[0], found[0])


@pytest.mark.parametrize("task", ["pair", "entail"])
def test_a_model_without_the_head_says_what_it_can(task: str) -> None:
    model = load(VLE_ANSWERING, device="cpu")
    words = {"pair": ("a", "b", "c"), "entail": ("a", "c")}[task]
    with pytest.raises(UnsupportedTask, match=f"cannot {task}: its tasks are answer; models that were trained for it"):
        getattr(model, task)(*words)
