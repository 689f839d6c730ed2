"""Zero-shot classification: the classifier, probabilities, accuracy and ELEVATER's file with each set of templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.golden.case import Case, Expected
from tuwen.data.class_folders import open_dataset
from tuwen.data.dataset import Dataset
from tuwen.data.options import Options
from tuwen.evaluate.zeroshot import Predicted, chances_in_order, elevater, original_result, predict, score, submission
from tuwen.loading import load
from tuwen.model import Model


def check(case: Case, expected: Expected) -> None:
    model = opened(case)
    dataset = open_dataset(case.path / "dataset", "test", Options(original=True))
    for run in case.settings["runs"]:
        templates = templates_of(case, run)
        if templates is None:
            skip(expected, run["id"])
            continue
        of = dataset if run.get("index") else without_order(dataset)
        predicted = predict(model, of, templates, "zh", run["dataset"], original=True)
        check_run(expected, run["id"], predicted)
        check_file(expected, model, predicted, run, case.settings["vision_model_name"])


def opened(case: Case) -> Model:
    """Texts are cut to 52 tokens, as the original's script does unless told otherwise."""
    weights, vocabulary = case.path / case.settings["checkpoint"], case.path / "vocab.txt"
    return load(weights, tokenizer=vocabulary, config=case.path / "model_configs", device="cpu")


def templates_of(case: Case, run: dict[str, Any]) -> Path | None:
    """The file of a run's templates; None where the original's, which is not kept with the tests, is not there."""
    path = case.path / case.settings[f"{run['templates']}_templates"]
    return path if path.is_file() else None


def skip(expected: Expected, run: str) -> None:
    for name in ("classifier", "probs"):
        expected.tensor(f"{run}.{name}")
    for name in ("result", "file", "top1"):
        expected.value(f"{run}.{name}")


def without_order(dataset: Dataset) -> Dataset:
    return Dataset(dataset.format, dataset.path, dataset.kind, dataset.pictures, dataset.texts, dataset.split)


def check_run(expected: Expected, run: str, predicted: Predicted) -> None:
    expected.close(f"{run}.classifier", predicted.classes.T)
    expected.close(f"{run}.probs", torch.cat(list(chances_in_order(predicted))))
    scored = score(predicted)
    expected.equal(f"{run}.result", original_result(scored))
    expected.equal(f"{run}.top1", scored.figures["top1"])


def check_file(expected: Expected, model: Model, predicted: Predicted, run: dict[str, Any], tower: str) -> None:
    """Byte for byte from the recorded probabilities; from ours all but the last digits of the probabilities."""
    key = f"{run['id']}.file"
    text = "".join(submission(model, predicted, run["dataset"], tower))
    ours, theirs = json.loads(text), expected.value(key)
    counts = ours["num_params"], ours["num_visual_params"]
    recorded = elevater(tower, run["dataset"], *counts, [expected.tensor(f"{run['id']}.probs")])
    expected.same(key, "".join(recorded), theirs)
    wanted = json.loads(theirs)
    rows, their_rows = (torch.tensor(content.pop("predictions"), dtype=torch.float64) for content in (ours, wanted))
    expected.compare(f"{key} predictions", rows, their_rows, expected.atol + 1e-6, expected.rtol)
    expected.same(f"{key} without predictions", json.dumps(ours), json.dumps(wanted))
