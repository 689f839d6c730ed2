"""NLVR2: statements about two pictures, true or false."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuwen.data.dataset import STATEMENTS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.files import write_text
from tuwen.evaluate.pictures import OnError, Pictures, is_empty, told
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.tasks.pair import pair

if TYPE_CHECKING:
    from tuwen.model import Model

AT_ONCE = 256  # statements of one round
IDENTIFIER = re.compile(r"(?P<split>\D+)-(?P<set>\d+)-(?P<pair>\d+)-(?P<sentence>\d+)")  # "dev-850-0-1"


@dataclass(frozen=True)
class Judged:
    """What a model says: number of a statement -> probability that it is true."""

    dataset: Dataset
    chances: dict[int, float] = field(default_factory=dict)


def nlvr2(model: Model, dataset: Dataset, on_error: OnError | None = None) -> Scored:
    """How well a model judges statements about two pictures; arguments and errors as of `predict`."""
    return score(predict(model, dataset, on_error))


def predict(
    model: Model,
    dataset: Dataset,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Judged:
    """Judges every statement; on_error is told of those with a picture that cannot be read, None raises.

    UsageError for a dataset without statements.
    """
    model.need("pair")
    if dataset.kind != STATEMENTS:
        raise UsageError(f"judging needs statements about two pictures, {dataset.path} holds {dataset.kind}")
    judged = Judged(dataset)
    for start in range(0, len(dataset.texts), AT_ONCE):
        round = dataset.texts[start : start + AT_ONCE]
        numbers = [start + n for n, text in enumerate(round) if not is_empty(text, on_error)]
        texts = [round[number - start] for number in numbers]
        for text in texts:
            if len(text.image_ids) != 2:
                raise InputError(f"{text.place or text.id} has {len(text.image_ids)} pictures, expected two")
        first, second = ([text.image_ids[side] for text in texts] for side in (0, 1))

        def skip(number: int, error: InputError) -> None:
            told(on_error, texts[number].place or texts[number].id, error)  # noqa: B023 - used within this round

        if not texts:
            continue
        chances = pair(
            model,
            Pictures(dataset.pictures, first),
            Pictures(dataset.pictures, second),
            [text.text for text in texts],
            on_error=skip,
        )
        judged.chances.update(
            (n, chance) for n, chance in zip(numbers, chances.tolist(), strict=True) if chance == chance
        )
        if advance is not None:
            advance(len(round))
    if not judged.chances:
        raise InputError(f"none of the {len(dataset.texts)} statements of {dataset.path} could be judged")
    return judged


def score(judged: Judged) -> Scored:
    """accuracy: share of statements judged rightly; consistency: share of sentences whose statements, the same sentence
    about several pairs of pictures, are all judged rightly; and a row for each.

    statements: id, first, second (pictures), sentence, label, predicted, probability, accuracy; sentences: id,
    sentence, statements, consistency.
    """
    rows = [
        (text, judged.chances[number])
        for number, text in enumerate(judged.dataset.texts)
        if number in judged.chances and text.columns.get("label") is not None
    ]
    silent = len(judged.chances) - len(rows)
    notes = [f"{silent} statements do not say whether they are true: they count in no figure"] if silent else []
    if not rows:
        return Scored("nlvr2", {}, {}, {}, notes)
    labels = [bool(text.columns["label"]) for text, _ in rows]
    predicted = [is_true(chance) for _, chance in rows]
    statements: Table = {
        "id": [text.id for text, _ in rows],
        "first": [text.image_ids[0] for text, _ in rows],
        "second": [text.image_ids[1] for text, _ in rows],
        "sentence": [text.text for text, _ in rows],
        "label": labels,
        "predicted": predicted,
        "probability": np.array([chance for _, chance in rows]),
        "accuracy": np.array([one == other for one, other in zip(labels, predicted, strict=True)], dtype=np.float64),
    }
    queries = {"statements": statements, "sentences": _by_sentence([text for text, _ in rows], statements["accuracy"])}
    made = {"accuracy": Made("statements", "accuracy"), "consistency": Made("sentences", "consistency")}
    return Scored("nlvr2", figures_of(queries, made), queries, made, notes)


def is_true(chance: float) -> bool:
    """Whether a statement of this probability counts as true: of two equal scores the first, "False", is taken."""
    return chance > 0.5


def _by_sentence(texts: list[Text], right: object) -> Table:
    groups: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        groups.setdefault(sentence_of(text), []).append(number)
    values = np.asarray(right, dtype=np.float64)
    return {
        "id": list(groups),
        "sentence": [texts[numbers[0]].text for numbers in groups.values()],
        "statements": np.array([len(numbers) for numbers in groups.values()]),
        "consistency": np.array([values[numbers].min() for numbers in groups.values()]),
    }


def sentence_of(text: Text) -> str:
    """What statements with the same sentence have in common: as of NLVR2's own evaluation their identifier without the
    number of the pair, or the sentence itself where ids are of another form."""
    found = IDENTIFIER.fullmatch(text.id)
    return "{split}-{set}--{sentence}".format(**found.groupdict()) if found else text.text


def write_submission(path: Path, judged: Judged) -> None:
    """The table that NLVR2's own evaluation reads; InputError where statements could not be judged."""
    write_text(path, [submission(judged)])


def submission(judged: Judged) -> str:
    """The same as text: "dev-850-0-1,True" for each statement."""
    missing = len(judged.dataset.texts) - len(judged.chances)
    if missing:
        raise InputError(f"{missing} statements of {judged.dataset.path} were not judged: the file needs all of them")
    return "".join(f"{text.id},{is_true(judged.chances[n])}\n" for n, text in enumerate(judged.dataset.texts))
