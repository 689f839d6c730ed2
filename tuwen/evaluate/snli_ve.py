"""SNLI-VE: does a picture entail a hypothesis, contradict it, or leave it open?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from tuwen.data.dataset import ENTAILMENT, Dataset
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.pictures import OnError, Pictures, chunks_by_picture, told
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.tasks.entail import LABELS, entail_rows

if TYPE_CHECKING:
    from tuwen.model import Model

AT_ONCE = 2048  # hypotheses whose states are kept at a time


@dataclass(frozen=True)
class Judged:
    """What a model says: number of a hypothesis -> probabilities (3,) of LABELS."""

    dataset: Dataset
    chances: dict[int, Tensor] = field(default_factory=dict)


def snli_ve(model: Model, dataset: Dataset, on_error: OnError | None = None) -> Scored:
    """How well a model judges hypotheses about pictures; arguments and errors as of `predict`."""
    return score(predict(model, dataset, on_error))


def predict(
    model: Model,
    dataset: Dataset,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Judged:
    """Judges every hypothesis from the picture alone, without its premise; on_error is told of pictures that cannot be
    read, None raises. UsageError for a dataset without hypotheses."""
    model.need("entail")
    if dataset.kind != ENTAILMENT:
        raise UsageError(f"judging needs hypotheses about pictures, {dataset.path} holds {dataset.kind}")
    judged = Judged(dataset)
    for chunk in chunks_by_picture(dataset, AT_ONCE, on_error):
        ids = list(chunk)
        place_of = {number: place for place, number in enumerate(n for of_one in chunk.values() for n in of_one)}
        texts = [dataset.texts[number].text.strip() for number in place_of]  # as the original does

        def wanted(picture: int) -> list[int]:
            return [place_of[number] for number in chunk[ids[picture]]]  # noqa: B023 - used within this round

        for picture, rows in entail_rows(model, Pictures(dataset.pictures, ids), texts, wanted):
            asked = chunk[ids[picture]]
            if isinstance(rows, InputError):
                told(on_error, ids[picture], rows)
            else:
                judged.chances.update((number, rows[place_of[number]]) for number in asked)
            if advance is not None:
                advance(len(asked))
    if not judged.chances:
        raise InputError(f"none of the {len(dataset.texts)} hypotheses of {dataset.path} could be judged")
    return judged


def score(judged: Judged) -> Scored:
    """accuracy: share of hypotheses judged rightly, and of those of each label; and a row for each hypothesis.

    hypotheses: id, image, hypothesis, premise, label, predicted, probability, accuracy.
    """
    rows = [
        (text, judged.chances[number])
        for number, text in enumerate(judged.dataset.texts)
        if number in judged.chances and text.columns.get("label") in LABELS
    ]
    silent = len(judged.chances) - len(rows)
    notes = [f"{silent} hypotheses have no label: they count in no figure"] if silent else []
    if not rows:
        return Scored("snli_ve", {}, {}, {}, notes)
    best = [int(chances.argmax()) for _, chances in rows]
    labels = [str(text.columns["label"]) for text, _ in rows]
    right = np.array([LABELS[number] == label for number, label in zip(best, labels, strict=True)], dtype=np.float64)
    hypotheses: Table = {
        "id": [text.id for text, _ in rows],
        "image": [text.image_ids[0] for text, _ in rows],
        "hypothesis": [text.text.strip() for text, _ in rows],
        "premise": [str(text.columns.get("premise") or "") for text, _ in rows],
        "label": labels,
        "predicted": [LABELS[number] for number in best],
        "probability": np.array([float(chances.amax()) for _, chances in rows]),
        "accuracy": right,
    }
    queries = {"hypotheses": hypotheses}
    made = {"accuracy": Made("hypotheses", "accuracy")}
    for label in LABELS:
        chosen = [place for place, one in enumerate(labels) if one == label]
        if chosen:
            queries[label] = {name: [hypotheses[name][place] for place in chosen] for name in ("id", "image")}
            queries[label]["accuracy"] = right[chosen]
            made[f"accuracy_{label}"] = Made(label, "accuracy")
    return Scored("snli_ve", figures_of(queries, made), queries, made, notes)
