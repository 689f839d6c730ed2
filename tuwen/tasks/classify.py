"""Zero-shot classification: which of these labels says best what a picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from tuwen.errors import UsageError
from tuwen.nn.heads import unit

# A label is the mean of its filled templates: what a single wording adds by chance averages out.
TEMPLATES = {
    "zh": (
        "{}",
        "一张{}的照片",
        "一张{}的图片",
        "一张{}的特写",
        "一张清晰的{}的照片",
        "一张模糊的{}的照片",
        "一幅{}的插图",
        "图中有{}",
    ),
    "en": (
        "{}",
        "a photo of a {}",
        "a picture of a {}",
        "a close-up of a {}",
        "a clear photo of a {}",
        "a blurry photo of a {}",
        "an illustration of a {}",
        "there is a {} in the picture",
    ),
}


class Classifier(Protocol):
    """What classification needs of a two-tower model."""

    @property
    def logit_scale(self) -> float: ...

    def encode_image(self, images: Any) -> Tensor: ...

    def encode_text(self, texts: Sequence[str], *, quotes: str | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Label:
    """One label for one picture: cosine of their features, and the probability among the labels that were asked for."""

    name: str
    probability: float
    cosine: float


def classify(
    model: Classifier,
    images: Any,
    labels: Sequence[str],
    templates: str | Sequence[str] = "zh",
    top_k: int | None = None,
) -> list[list[Label]]:
    """For each picture its labels, best first; equally good ones in the order given.

    images: pictures, or their features (N, E) of unit length. templates: see `wordings`. top_k: how many labels to
    return, all if None; the probabilities are always over all of them. UsageError for labels that are empty or come
    twice.
    """
    check_labels(labels)
    if top_k is not None and top_k < 1:
        raise UsageError(f"top_k is {top_k}: it must be at least 1")
    features = class_features(model, labels, wordings(templates))  # (C, E)
    image = images if isinstance(images, Tensor) else model.encode_image(images)  # (N, E)
    cosines = image @ features.T  # (N, C)
    chances = (model.logit_scale * cosines).softmax(dim=1)
    best = cosines.sort(dim=1, descending=True, stable=True).indices[:, :top_k]
    return [
        [Label(labels[c], chances[row, c].item(), cosines[row, c].item()) for c in columns]
        for row, columns in enumerate(best.tolist())
    ]


def class_features(model: Classifier, labels: Sequence[str], templates: Sequence[str]) -> Tensor:
    """(C, E), unit length: for each label the mean over its filled templates, each normalised first."""
    texts = [template.replace("{}", label) for label in labels for template in templates]
    # The original's zero-shot code lower-cases and straightens quotes, unlike its `tokenize`.
    features = model.encode_text(texts, quotes="straight").view(len(labels), len(templates), -1)
    return unit(features.mean(dim=1))


def wordings(templates: str | Sequence[str]) -> tuple[str, ...]:
    """The templates named "zh" or "en", or own ones, each with {} where the label goes; UsageError otherwise."""
    if isinstance(templates, str):
        if templates in TEMPLATES:
            return TEMPLATES[templates]
        if "{}" not in templates:
            known = " or ".join(map(repr, TEMPLATES))
            raise UsageError(f"templates is {templates!r}: it must be {known}, or texts with {{}} where the label goes")
        return (templates,)
    if not templates:
        raise UsageError("templates is empty: pass 'zh', 'en' or texts with {} where the label goes")
    for template in templates:
        if "{}" not in template:
            raise UsageError(f"the template {template!r} has no {{}}, which marks where the label goes")
    return tuple(templates)


def check_labels(labels: Sequence[str]) -> None:
    """UsageError unless there are labels, none of them is empty and none comes twice."""
    if isinstance(labels, str):
        raise UsageError(f"labels is the text {labels!r}: pass a list of texts")
    if not labels:
        raise UsageError("labels is empty: pass at least one")
    first: dict[str, int] = {}
    for number, label in enumerate(labels, 1):
        if not isinstance(label, str) or not label.strip():
            raise UsageError(f"label {number} is {label!r}: it must be a text that is not empty")
        if label in first:
            raise UsageError(
                f"the label {label!r} comes twice, as number {first[label]} and {number}: keep one of them"
            )
        first[label] = number
