"""The training loop on a tiny model: it learns, stops, goes on, and repeats itself bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tuwen import checkpoint
from tuwen.errors import InputError, UsageError
from tuwen.loading import load
from tuwen.train.loop import new_model, train
from tuwen.train.pictures import SceneBatches
from tuwen.train.recipe import Recipe, SceneRecipe

RECIPE = Recipe(
    family="chinese-clip",
    config={
        "embedding": 16,
        "image": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "heads": 2},
        "text": {"width": 32, "layers": 1, "heads": 2, "hidden": 32, "positions": 64},  # with BERT's own dropout
    },
    scenes=SceneRecipe(seed=3, sizes=(32, 48), partial=0.5, workers=0),
    steps=6,
    batch_size=4,
    lr=1e-2,
    warmup=2,
    patch_dropout=0.5,
    patch_dropout_until=0.5,
    log_every=1,
    save_every=3,
    evaluate_every=100,
)


class Stopped(Exception):
    """What ends a run before its time."""


@pytest.fixture(autouse=True)
def quick_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's own evaluation draws hundreds of pictures: here its result stands for it."""
    monkeypatch.setattr("tuwen.train.loop.on_scenes", lambda model, split, count: {"thing_zh": 0.5})


def stop_at(last: int) -> Any:
    def report(step: int, row: dict[str, float]) -> None:
        if step == last:
            raise Stopped

    return report


def rows(folder: Path) -> list[dict[str, float]]:
    """metrics.jsonl without what depends on the clock."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "pairs_per_second"} for row in found]


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "never_stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuwen.train.loop.on_scenes", lambda model, split, count: {"thing_zh": 0.5})
        train(RECIPE, folder, "cpu")
    return folder


def test_stopped_and_resumed_equals_never_stopped(never_stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(RECIPE, tmp_path, "cpu", stop_at(5))  # after the state of step 3 was saved
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5]
    torch.rand(17)  # whatever happens in between
    train(RECIPE, tmp_path, "cpu")
    assert rows(tmp_path) == rows(never_stopped)
    ours, theirs = (torch.load(folder / "state.pt", weights_only=True) for folder in (tmp_path, never_stopped))
    assert checkpoint.digest(ours["model"]) == checkpoint.digest(theirs["model"])
    moments = [state["optimizer"]["state"][0]["exp_avg_sq"] for state in (ours, theirs)]
    assert torch.equal(*moments)


def test_the_saved_model_is_the_last_step_in_half_precision(never_stopped: Path) -> None:
    state = torch.load(never_stopped / "state.pt", weights_only=True)
    assert state["step"] == 6
    saved = checkpoint.read(never_stopped / "model" / "model.safetensors").tensors
    assert saved.keys() == state["model"].keys()
    assert all(torch.equal(saved[name], tensor.half()) for name, tensor in state["model"].items())
    model = load(never_stopped / "model", device="cpu")
    assert model.languages == ("zh", "en")
    assert model.encode_text("一只猫").shape == (1, 16)


def test_the_log_has_loss_rate_and_evaluation(never_stopped: Path) -> None:
    *steps, last = rows(never_stopped)
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[0]["lr"] == pytest.approx(5e-3)
    assert all(0 < row["loss"] < 10 for row in steps)
    assert last == {"step": 6, "thing_zh": 0.5}


def test_a_finished_run_is_left_as_it_is(never_stopped: Path) -> None:
    before = rows(never_stopped)
    train(RECIPE, never_stopped, "cpu", stop_at(6))
    assert rows(never_stopped) == before


def test_another_recipe_does_not_go_on_in_the_same_folder(never_stopped: Path) -> None:
    with pytest.raises(InputError, match=r"other settings \(lr, batch_size\)|other settings \(batch_size, lr\)"):
        train(replace(RECIPE, lr=1e-3, batch_size=2), never_stopped, "cpu")


def test_how_often_is_saved_and_reported_may_change(never_stopped: Path) -> None:
    scenes = replace(RECIPE.scenes, workers=1)
    other = replace(RECIPE, log_every=3, save_every=2, evaluate_scenes=5, scenes=scenes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuwen.train.pictures.batches", lambda *_: iter(()))  # no step is left, none is drawn
        train(other, never_stopped, "cpu")


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="batch_size 4 cannot be divided among 3 processes"):
        train(RECIPE, tmp_path, "cpu")


def test_the_first_weights_depend_on_the_seed_alone() -> None:
    digests = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        digests.append(checkpoint.digest(new_model(RECIPE, "cpu").module.state_dict()))
    assert digests[0] == digests[1] != digests[2]


def test_training_lowers_the_loss_on_what_it_has_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    things = list(range(0, 800, 100))  # one picture of each, the same ones at every step
    monkeypatch.setattr(SceneBatches, "__getitem__", lambda self, step: self._batch(0, things, list(range(8))))
    text = {**RECIPE.config["text"], "dropout": 0.0, "attention_dropout": 0.0}
    train(replace(RECIPE, config={**RECIPE.config, "text": text}, steps=40, patch_dropout=0.0), tmp_path, "cpu")
    losses = [row["loss"] for row in rows(tmp_path) if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]
