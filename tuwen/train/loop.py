"""The training loop: from a recipe to a saved model, stoppable anywhere."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tuwen import distributed, models
from tuwen.errors import UsageError
from tuwen.evaluate import on_scenes
from tuwen.loading import new
from tuwen.model import Model
from tuwen.processing import vocabulary
from tuwen.processing.wordpiece import WordPiece
from tuwen.scenes.words import vocabulary_texts
from tuwen.tasks.contrast import Contrast
from tuwen.train import pictures, state
from tuwen.train import recipe as recipes
from tuwen.train.optim import groups, learning_rate, set_learning_rate
from tuwen.train.recipe import Recipe

Report = Callable[[int, dict[str, float]], None]


def train(recipe: Recipe, output: Path, device: str | None = None, report: Report = lambda step, row: None) -> Model:
    """Train from scratch, or go on from `output`/state.pt if it is there; stopped and resumed equals never stopped.

    output gets recipe.yaml (resolved), metrics.jsonl, state.pt and at the end the folder `model`, in half precision.
    report(step, row) is called with every row of metrics.jsonl. InputError if `output` belongs to a run of other
    settings.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if recipe.batch_size % max(int(os.environ.get("WORLD_SIZE", "1")), 1):
        raise UsageError(f"batch_size {recipe.batch_size} cannot be divided among {os.environ['WORLD_SIZE']} processes")
    with distributed.together(device):
        return _train(recipe, output, device, report)


def _train(recipe: Recipe, output: Path, device: str, report: Report) -> Model:
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = new_model(recipe, device)
    task = Contrast(model.module, model.processor, recipe.precision).train()
    named = models.family(recipe.family).published_parameters(model.module)
    fused = {"fused": True}  # one kernel for all parameters
    optimizer = torch.optim.AdamW(
        groups(named, recipe.weight_decay), lr=recipe.lr, betas=recipe.betas, eps=recipe.eps, **fused
    )
    settings = comparable(recipe)
    saved = output / "state.pt"
    start = state.restore(saved, model.module, optimizer, settings) if saved.exists() else 0
    leads = distributed.rank() == 0
    if start == 0 and leads:
        recipes.save(recipe, output / "recipe.yaml")
    log = Log(output / "metrics.jsonl", start, report) if leads else None
    with attention_for_training(model.device.type):
        fit(task, optimizer, recipe, model, pictures.batches(recipe, model.processor.image, start), start, saved, log)
    model.module.eval()
    if leads:
        model.save(output / "model", dtype="float16")
    distributed.wait()
    return model


def fit(
    task: Contrast,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    model: Model,
    batches: Iterator[pictures.Batch],
    start: int,
    saved: Path,
    log: Log | None,
) -> None:
    """Steps `start` to the last; each draws from a seed of its own, so no generator has to be saved."""
    clock, done = time.perf_counter(), start
    for step in range(start, recipe.steps):
        batch = next(batches)
        torch.manual_seed((recipe.seed * 1_000_003 + step) * distributed.processes() + distributed.rank())
        rate = learning_rate(step, recipe.lr, recipe.warmup, recipe.steps)
        set_learning_rate(optimizer, rate)
        dropped = recipe.patch_dropout if step < recipe.patch_dropout_until * recipe.steps else 0.0
        loss, logs = task(batch.pixels, batch.captions, batch.said, batch.shown, dropped)
        loss.backward()
        distributed.average_gradients(task.parameters())
        optimizer.step()
        optimizer.zero_grad()
        task.after_step()
        now = step + 1
        if log is None:  # one process reports, saves and evaluates for all
            continue
        if now % recipe.log_every == 0:
            speed = (now - done) * recipe.batch_size / (time.perf_counter() - clock)
            log.write(now, {"loss": loss.item(), "lr": rate, **logs, "pairs_per_second": round(speed, 1)})
            clock, done = time.perf_counter(), now
        if now % recipe.save_every == 0 or now == recipe.steps:
            state.save(saved, now, model.module, optimizer, comparable(recipe))
        if now % recipe.evaluate_every == 0 or now == recipe.steps:
            task.eval()
            log.write(now, on_scenes(model, "validation", recipe.evaluate_scenes))
            task.train()
            clock, done = time.perf_counter(), now


def new_model(recipe: Recipe, device: str | None) -> Model:
    """A fresh model of the recipe's sizes whose tokenizer knows every word that a scene's caption can hold."""
    module_of = models.family(recipe.family)
    tokenizer = WordPiece(vocabulary.build(vocabulary_texts()))
    config = {**recipe.config, "text": {**recipe.config["text"], "vocabulary": tokenizer.vocabulary_size}}
    sizes = module_of.config_from(config)
    return new(recipe.family, sizes, module_of.processor("original", sizes, tokenizer, None), ("zh", "en"), device)


def comparable(recipe: Recipe) -> dict[str, Any]:
    """What decides the numbers of a run, as plain data: everything but how often it is reported and saved."""
    plain = json.loads(json.dumps(dataclasses.asdict(recipe)))
    for key in ("log_every", "save_every", "evaluate_every", "evaluate_scenes"):
        plain.pop(key)
    plain["scenes"].pop("workers")
    return dict(plain)


@contextlib.contextmanager
def attention_for_training(device: str) -> Iterator[None]:
    """On a CPU the plain attention trains faster than the fused one at short lengths (measured 1.3x at 65 tokens)."""
    if device == "cpu":
        with sdpa_kernel(SDPBackend.MATH):
            yield
    else:
        yield


class Log:
    """metrics.jsonl, one row a line; rows beyond the step that a run resumes from are dropped first."""

    def __init__(self, path: Path, start: int, report: Report) -> None:
        self.path = path
        self.report = report
        rows = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [row for row in rows if json.loads(row)["step"] <= start]
        path.write_text("".join(row + "\n" for row in kept), encoding="utf-8")

    def write(self, step: int, row: dict[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **row}) + "\n")
        self.report(step, row)
