"""Zero-shot classification: pictures of a set of classes sorted by the names of the classes alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tuwen.data.dataset import CLASSES, Dataset
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.features import image_features
from tuwen.evaluate.files import write_text
from tuwen.evaluate.pictures import OnError, told
from tuwen.evaluate.prompts import LANGUAGES, prompts
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.tasks.classify import class_features, wordings

if TYPE_CHECKING:
    from tuwen.model import Model

Numbers = np.ndarray[Any, Any]

ORIGINAL_SCALE = 100.0  # the original's script takes this, whatever the model's own scale is
AT_ONCE = 1024  # pictures whose scores are held at a time
# The original's names of the towers of its models, which it writes into its files.
TOWERS = {"rn50": "RN50", "vit-b-16": "ViT-B-16", "vit-l-14": "ViT-L-14", "vit-l-14-336": "ViT-L-14-336"}
TOWERS["vit-h-14"] = "ViT-H-14"


@dataclass(frozen=True)
class Predicted:
    """What a model says of the pictures of a dataset.

    ids: of the pictures that could be read, N of them; image (N, E), classes (C, E): features of unit length;
    names: of the classes; right: for each picture the numbers of its classes, none where the split does not tell.
    scale: what multiplies cosines.
    """

    dataset: Dataset
    ids: list[str]
    image: Tensor
    classes: Tensor
    names: list[str]
    right: list[tuple[int, ...]]
    scale: float
    notes: list[str]

    def cosines(self) -> Iterator[Tensor]:
        """(n, C), block by block."""
        for block in self.image.split(AT_ONCE):
            yield block @ self.classes.T


def zeroshot(
    model: Model,
    dataset: Dataset,
    templates: str | Path | Sequence[str] = "auto",
    language: str | None = None,
    name: str = "",
    original: bool = False,
    batch_size: int = 32,
    cache: Path | None = None,
    on_error: OnError | None = None,
) -> Scored:
    """How well a two-tower model sorts pictures by names of classes; arguments and errors as of `predict`.

    top1, top5 (where there are more than five classes): shares of the pictures whose class is the best, or among the
    five best; mean_per_class: the mean of the classes' own top1. Equal scores stand in the order of the classes.
    """
    return score(predict(model, dataset, templates, language, name, original, batch_size, cache, on_error))


def predict(
    model: Model,
    dataset: Dataset,
    templates: str | Path | Sequence[str] = "auto",
    language: str | None = None,
    name: str = "",
    original: bool = False,
    batch_size: int = 32,
    cache: Path | None = None,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Predicted:
    """Features of every picture and every class.

    templates: texts with {}, or what `prompts` takes; name: of the set, by which "auto" and files of several lists
    choose; language: of prompts and names of classes, by default Chinese where the model knows it. original: as
    Chinese-CLIP's script does it, probabilities at scale 100. cache: see `image_features`. on_error is told of pictures
    that cannot be read, which are left out; None raises; advance: how many more pictures are done. UsageError for a
    dataset that has no classes.
    """
    model.need("classify")
    if dataset.kind != CLASSES:
        raise UsageError(f"zero-shot classification needs classes, {dataset.path} holds {dataset.kind}")
    language = language or ("zh" if "zh" in model.languages else next(iter(model.languages), "en"))
    names, notes = _names(dataset, language)
    texts = _templates(templates, language, name)
    classes = class_features(model, names, texts)
    found = image_features(model, dataset, cache, batch_size, "fail" if on_error is None else "skip", advance)
    for failure in found.failures:
        told(on_error, failure.id, InputError(failure.reason))
    of = _classes_of(dataset)
    right = [of.get(image_id, ()) for image_id in found.ids]
    scale = ORIGINAL_SCALE if original else model.logit_scale
    return Predicted(dataset, found.ids, torch.from_numpy(np.array(found.vectors)), classes, names, right, scale, notes)


def _templates(templates: str | Path | Sequence[str], language: str, name: str) -> Sequence[str]:
    if isinstance(templates, Path) or (isinstance(templates, str) and "{}" not in templates):
        return prompts(templates, language, name)
    return wordings(templates)


def _names(dataset: Dataset, language: str) -> tuple[list[str], list[str]]:
    """Names of the classes, and what there is to say about them."""
    if not len(dataset.texts):
        raise InputError(f"{dataset.path} names no classes")
    names = [str(text.columns.get(language, text.text)) for text in dataset.texts]
    twice = [name for name, count in Counter(names).items() if count > 1]
    notes = []
    if twice:
        several = ", ".join(twice[:5]) + (" ..." if len(twice) > 5 else "")
        notes.append(
            f"{len(twice)} names stand for more than one class, whose pictures cannot be told apart: {several}"
        )
    if any(other in text.columns for text in dataset.texts[:1] for other in LANGUAGES) and language not in (
        dataset.texts[0].columns
    ):
        notes.append(f"there are no names of the classes in {language!r}: the ones there are were used")
    return names, notes


def _classes_of(dataset: Dataset) -> dict[str, tuple[int, ...]]:
    of: dict[str, tuple[int, ...]] = {}
    for number, text in enumerate(dataset.texts):
        for image_id in text.image_ids:
            of[image_id] = (*of.get(image_id, ()), number)
    return of


# -- figures ----------------------------------------------------------------------------------------------------------


def score(predicted: Predicted) -> Scored:
    """Figures, a row for each picture whose class is known, and a row for each class that has pictures.

    pictures: id, class, predicted (names), probability of the predicted one, rank of the right one from 1, top1, top5;
    classes: id, name, pictures, top1, top5.
    """
    ranks, best, chances = _ranked(predicted)
    known = [row for row, right in enumerate(predicted.right) if right]
    names, notes = predicted.names, list(predicted.notes)
    without = len(predicted.ids) - len(known)
    if without:
        notes.append(f"{without} pictures are of no known class: they count in no figure")
    if not known:
        return Scored("zeroshot", {}, {}, {}, notes)
    rank = ranks[known]
    pictures: Table = {
        "id": [predicted.ids[row] for row in known],
        "class": [" / ".join(names[number] for number in predicted.right[row]) for row in known],
        "predicted": [names[number] for number in best[known].tolist()],
        "probability": chances[known],
        "rank": rank,
        "top1": (rank <= 1).astype(np.float64),
        "top5": (rank <= 5).astype(np.float64),
    }
    queries = {"pictures": pictures, "classes": _by_class(predicted, known, pictures)}
    made = {"top1": Made("pictures", "top1"), "top5": Made("pictures", "top5")}
    made["mean_per_class"] = Made("classes", "top1")
    if len(names) <= 5:
        del made["top5"]  # it would be 1 for any model
    return Scored("zeroshot", figures_of(queries, made), queries, made, notes)


def _ranked(predicted: Predicted) -> tuple[Numbers, Numbers, Numbers]:
    """For each picture the place of its best right class from 1 (0 without one), the best class and its probability.

    Equal scores stand in the order of the classes.
    """
    ranks, best, chances = [], [], []
    start = 0
    numbers = torch.arange(len(predicted.names))
    for cosines in predicted.cosines():
        for row, right in enumerate(predicted.right[start : start + len(cosines)]):
            line = cosines[row]
            places = [
                int((line > line[one]).sum() + ((line == line[one]) & (numbers < one)).sum()) + 1 for one in right
            ]
            ranks.append(min(places, default=0))
        best.append(cosines.argmax(1))
        chances.append((predicted.scale * cosines).softmax(1).amax(1))
        start += len(cosines)
    return np.array(ranks), torch.cat(best).numpy(), torch.cat(chances).numpy()


def _by_class(predicted: Predicted, known: Sequence[int], pictures: Table) -> Table:
    """One row for each class with pictures; a picture of several classes counts in each."""
    rows: dict[int, list[int]] = {}
    for place, row in enumerate(known):
        for number in predicted.right[row]:
            rows.setdefault(number, []).append(place)
    order = sorted(rows)
    top1, top5 = np.asarray(pictures["top1"]), np.asarray(pictures["top5"])
    return {
        "id": [predicted.dataset.texts[number].id for number in order],
        "name": [predicted.names[number] for number in order],
        "pictures": np.array([len(rows[number]) for number in order]),
        "top1": np.array([top1[rows[number]].mean() for number in order]),
        "top5": np.array([top5[rows[number]].mean() for number in order]),
    }


# -- ELEVATER's file --------------------------------------------------------------------------------------------------


def original_result(scored: Scored) -> str:
    """The line that Chinese-CLIP's script ends with."""
    return f"zeroshot-top1: {scored.figures['top1']}"


def write_submission(path: Path, model: Model, predicted: Predicted, dataset_name: str, model_name: str = "") -> None:
    """ELEVATER's predictions as Chinese-CLIP writes them, byte for byte, in the order of the dataset's index.json.

    dataset_name: as ELEVATER calls the set; model_name: of the picture tower ("ViT-B-16"), by default that of the
    published model. Every probability has 6 decimals. InputError where pictures are missing: each needs its row.
    """
    write_text(path, submission(model, predicted, dataset_name, model_name))


def submission(model: Model, predicted: Predicted, dataset_name: str, model_name: str = "") -> Iterator[str]:
    """The same file, piece by piece."""
    parameters = dict(model.module.named_parameters())
    count = sum(parameter.numel() for parameter in parameters.values())
    image = sum(parameter.numel() for name, parameter in parameters.items() if name.startswith("image"))
    name = model_name or TOWERS.get(model.variant or "", model.name)
    return elevater(name, dataset_name, count, image, chances_in_order(predicted))


def elevater(
    model_name: str, dataset_name: str, parameters: int, image_parameters: int, chances: Iterable[Tensor]
) -> Iterator[str]:
    """ELEVATER's form: chances (n, C), block by block in the order of the file."""
    head = {
        "model_name": f"CN-CLIP-{model_name}",
        "dataset_name": dataset_name,
        "num_trainable_params": 0,
        "num_params": parameters,
        "num_visual_params": image_parameters,
        "num_backbone_params": parameters,
        "n_shot": 0,
        "rnd_seeds": [123],
        "predictions": [],
    }
    yield json.dumps(head).removesuffix("]}") + "["
    between = ""
    for block in chances:
        for row in block.tolist():
            yield between + json.dumps([round(chance, 6) for chance in row])
            between = ", "
    yield "]]}"


def chances_in_order(predicted: Predicted) -> Iterator[Tensor]:
    """Probabilities (n, C), block by block in the order of the dataset's index.json, or of its pictures without one.

    InputError where pictures could not be read.
    """
    dataset, columns = predicted.dataset, predicted.dataset.picture_columns
    missing = len(dataset.pictures) - len(predicted.ids)
    if missing:
        raise InputError(f"{missing} pictures of {dataset.path} could not be read: the file needs a row for each")
    order = list(range(len(predicted.ids)))
    if columns:
        order.sort(key=lambda number: columns[predicted.ids[number]]["row"])
    for start in range(0, len(order), AT_ONCE):
        # The features are scaled, not the cosines, as in the original: the last digits hang on it.
        yield (predicted.scale * predicted.image[order[start : start + AT_ONCE]] @ predicted.classes.T).softmax(1)
