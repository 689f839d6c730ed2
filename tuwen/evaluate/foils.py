"""Captions against copies of them with one mistake: does a model prefer the true one?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuwen.data.dataset import PAIRS, Dataset
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.features import image_features
from tuwen.evaluate.pictures import OnError, Pictures, told
from tuwen.evaluate.scored import Made, Scored, Table, figures_of

if TYPE_CHECKING:
    from tuwen.data.dataset import Text
    from tuwen.model import Model

AT_ONCE = 256  # captions of one round

Found = tuple["Text", np.ndarray[Any, Any]]  # a text with the scores of its caption and foils (1 + F,)
Advance = Callable[[int], object] | None


def match(
    model: Model,
    dataset: Dataset,
    cache: Path | None = None,
    on_error: OnError | None = None,
    advance: Advance = None,
) -> Scored:
    """How often a caption scores higher than its foil, by the probability of a match, or the cosine of two towers.

    Texts have a column foils, kind of mistake -> the wrong caption, and their first picture counts. A tie is no
    preference and counts as half. cache: as of `image_features`; on_error is told of what cannot be used, pictures by
    their ids or the rows of their texts, None raises; advance: how many more texts are done. UsageError for a dataset
    without captions, InputError for one without foils.

    accuracy: share of all foils; accuracy_KIND: of those of each kind. pairs: a row for each foil with id, image, kind,
    caption, foil, margin (how far the caption scores above it), certainty (the size of the margin), accuracy.
    """
    if "match" not in model.tasks:
        model.need("embed")
    if dataset.kind != PAIRS:
        raise UsageError(f"matching needs captions, {dataset.path} holds {dataset.kind}")
    found = (
        _probabilities(model, dataset, on_error, advance)
        if "match" in model.tasks
        else _cosines(model, dataset, on_error, cache, advance)
    )
    rows: list[tuple[Any, ...]] = []
    for text, scores in found:
        for (kind, foil), value in zip(text.columns["foils"].items(), scores[1:].tolist(), strict=True):
            margin = float(scores[0]) - value
            rows.append((text.id, text.image_ids[0], kind, text.text, foil, margin, abs(margin), _preferred(margin)))
    if not rows:
        raise InputError(f"no text of {dataset.path} has foils and a picture that can be read")
    return _scored(rows)


def _preferred(margin: float) -> float:
    return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0


def _scored(rows: list[tuple[Any, ...]]) -> Scored:
    names = ("id", "image", "kind", "caption", "foil", "margin", "certainty", "accuracy")
    pairs: Table = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    for name in names[5:]:
        pairs[name] = np.array(pairs[name], dtype=np.float64)
    queries = {"pairs": pairs}
    made = {"accuracy": Made("pairs", "accuracy")}
    right = np.asarray(pairs["accuracy"])
    for kind in dict.fromkeys(pairs["kind"]):
        chosen = [row for row, one in enumerate(pairs["kind"]) if one == kind]
        queries[kind] = {name: [pairs[name][row] for row in chosen] for name in ("id", "image")}
        queries[kind]["accuracy"] = right[chosen]
        made[f"accuracy_{kind}"] = Made(kind, "accuracy")
    return Scored("match", figures_of(queries, made), queries, made)


def _cosines(
    model: Model, dataset: Dataset, told_of: OnError | None, cache: Path | None, advance: Advance
) -> Iterator[Found]:
    image = image_features(model, dataset, cache, on_error="fail" if told_of is None else "skip")
    for failure in image.failures:
        told(told_of, failure.id, InputError(failure.reason))
    row_of = {image_id: row for row, image_id in enumerate(image.ids)}
    for texts in _rounds(dataset, advance):
        asked = [text for text in texts if text.image_ids[0] in row_of]
        words = [[text.text, *text.columns["foils"].values()] for text in asked]
        flat = list(dict.fromkeys(one for some in words for one in some))
        place = {one: number for number, one in enumerate(flat)}
        encoded = model.encode_text(flat).numpy() if flat else np.empty((0, model.embedding), dtype=np.float32)
        for text, some in zip(asked, words, strict=True):
            yield text, encoded[[place[one] for one in some]] @ image.vectors[row_of[text.image_ids[0]]]


def _probabilities(model: Model, dataset: Dataset, told_of: OnError | None, advance: Advance) -> Iterator[Found]:
    for texts in _rounds(dataset, advance):
        for text in texts:
            try:
                picture = Pictures(dataset.pictures, text.image_ids[:1])[0]
                scores = model.match(picture, [text.text, *text.columns["foils"].values()])[0]
            except InputError as error:
                told(told_of, text.place or text.id, error)
                continue
            yield text, scores.numpy()


def _rounds(dataset: Dataset, advance: Advance) -> Iterator[list[Text]]:
    """Texts with a picture and foils, some at a time."""
    for start in range(0, len(dataset.texts), AT_ONCE):
        texts = dataset.texts[start : start + AT_ONCE]
        yield [text for text in texts if text.image_ids and text.columns.get("foils")]
        if advance is not None:
            advance(len(texts))
