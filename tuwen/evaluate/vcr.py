"""Visual commonsense reasoning: which answer, and which reason for the right answer, do models choose?"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from tuwen.data.dataset import CHOICES, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.files import write_text
from tuwen.evaluate.pictures import OnError, Pictures, chunks_by_picture, told
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.processing.decode import decode
from tuwen.processing.vcr import Names
from tuwen.tasks.choose import TASKS, choose, project

if TYPE_CHECKING:
    from tuwen.model import Model

ANSWERS, REASONS = TASKS  # what a model's head chooses
AT_ONCE = 1024  # questions of one round
CHOICES_EACH = 4  # answers of a question, and reasons for each, in the file for the judges


@dataclass(frozen=True)
class Chosen:
    """Probabilities over the choices: number of a question -> (C,) of its answers; (number of a question, number of an
    answer) -> (R,) of the reasons, given that answer. Empty where no model chooses that."""

    dataset: Dataset
    answers: dict[int, Tensor] = field(default_factory=dict)
    reasons: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)


def vcr(
    models: Sequence[Model],
    dataset: Dataset,
    mapping: str = "whole",
    original: bool = False,
    on_error: OnError | None = None,
) -> Scored:
    """How well models choose; arguments and errors as of `predict`, figures as of `score`."""
    return score(predict(models, dataset, mapping, original, on_error=on_error))


def predict(
    models: Sequence[Model],
    dataset: Dataset,
    mapping: str = "whole",
    original: bool = False,
    every: bool = False,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Chosen:
    """Choices of one model for answers, or one for reasons, or of one for each, for every question.

    mapping: which patches a box means, see `tasks.choose.choose`. original: names of people go on from question to
    question, as in VLE's own pipeline, so that results depend on the order. every: reasons for each of the answers, as
    the judges want them, and not for the right one alone. on_error is told of questions that cannot be used.
    UsageError for a dataset without choices, and for two models that choose the same.
    """
    if dataset.kind != CHOICES:
        raise UsageError(f"choosing needs choices, {dataset.path} holds {dataset.kind}")
    chosen_by = by_task(models)
    names = dict.fromkeys(chosen_by)
    shared: dict[str, Any] = {task: Names() for task in chosen_by} if original else names
    chosen = Chosen(dataset)
    for image_id, numbers in _rounds(dataset, original, on_error):
        _of_one_picture(chosen_by, chosen, image_id, numbers, mapping, shared, every, on_error)
        if advance is not None:
            advance(len(numbers))
    if not chosen.answers and not chosen.reasons:
        raise InputError(f"nothing could be chosen for the {len(dataset.texts)} questions of {dataset.path}")
    return chosen


def by_task(models: Sequence[Model]) -> dict[str, Model]:
    """Models by what they choose. UnsupportedTask for one that chooses nothing, UsageError for two of the same."""
    found: dict[str, Model] = {}
    for model in models:
        model.need("choose")
        task: str = model.module.config.choose  # type: ignore[union-attr, assignment]
        if task in found:
            raise UsageError(f"two models choose {task}: pass one for {ANSWERS}, or one for {REASONS}, or one for each")
        found[task] = model
    return found


def _rounds(dataset: Dataset, in_order: bool, on_error: OnError | None) -> Iterator[tuple[str, list[int]]]:
    """Pictures with their questions: each picture once, or question by question in the order of the file."""
    if in_order:
        yield from ((text.image_ids[0], [number]) for number, text in enumerate(dataset.texts) if text.image_ids)
        return
    for chunk in chunks_by_picture(dataset, AT_ONCE, on_error):
        yield from chunk.items()


def _of_one_picture(
    by_task: dict[str, Model],
    chosen: Chosen,
    image_id: str,
    numbers: Sequence[int],
    mapping: str,
    names: dict[str, Any],
    every: bool,
    on_error: OnError | None,
) -> None:
    dataset = chosen.dataset
    try:
        picture = Pictures(dataset.pictures, [image_id])[0]
        opened = decode(picture)
        seen = {task: project(model, opened) for task, model in by_task.items()}
    except InputError as error:
        chosen.failed.update(numbers)
        told(on_error, image_id, error)
        return
    for number in numbers:
        text = dataset.texts[number]
        try:
            for task, model in by_task.items():
                for answer in _given(text, task, every):
                    chances = _choose(model, opened, dataset, text, answer, mapping, names[task], seen[task])
                    if answer is None:
                        chosen.answers[number] = chances
                    else:
                        chosen.reasons[number, answer] = chances
        except InputError as error:
            chosen.failed.add(number)
            chosen.answers.pop(number, None)
            told(on_error, text.place or text.id, error)


def _given(text: Text, task: str, every: bool) -> list[int | None]:
    """The answers that reasons are chosen for; [None] where answers are chosen."""
    if task == ANSWERS:
        return [None]
    if every:
        return list(range(len(text.columns["answers"])))
    label = text.columns.get("label")
    if label is None:
        raise InputError("it does not say which answer is right: reasons are chosen for the right answer")
    return [int(label)]


def _choose(
    model: Model,
    picture: Any,
    dataset: Dataset,
    text: Text,
    answer: int | None,
    mapping: str,
    names: Names | None,
    projected: Tensor,
) -> Tensor:
    columns = text.columns
    if "problem" in columns:
        raise InputError(str(columns["problem"]))
    choices = columns.get("answers" if answer is None else "reasons") or []
    if not choices:
        raise InputError(f"it has no {'answers' if answer is None else 'reasons'} to choose from")
    boxes = columns.get("boxes", dataset.picture_columns.get(text.image_ids[0], {}).get("boxes"))
    return choose(
        model,
        picture,
        columns.get("question", text.text),
        choices,
        None if boxes is None else [list(box[:4]) for box in boxes],
        columns.get("objects"),
        None if answer is None else columns["answers"][answer],
        mapping,
        names,
        projected,
    )


# -- figures ----------------------------------------------------------------------------------------------------------


def score(chosen: Chosen) -> Scored:
    """q_a: share of right answers; qa_r: of right reasons, given the right answer; q_ar: of both right, where two
    models were asked; and a row for each question whose right choices are known.

    questions: id, image, question, and where they were chosen answer, answer_label, answer_probability, q_a, reason,
    reason_label, reason_probability, qa_r, q_ar.
    """
    rows = []
    for number, text in enumerate(chosen.dataset.texts):
        row: dict[str, Any] = {
            "id": text.id,
            "image": text.image_ids[0] if text.image_ids else "",
            "question": text.text,
        }
        label, reason_label = text.columns.get("label"), text.columns.get("reason_label")
        if chosen.answers:
            if number not in chosen.answers or label is None:
                continue
            row |= _row("answer", "q_a", chosen.answers[number], label)
        if chosen.reasons:
            if label is None or (number, label) not in chosen.reasons or reason_label is None:
                continue
            row |= _row("reason", "qa_r", chosen.reasons[number, label], reason_label)
        if chosen.answers and chosen.reasons:
            row["q_ar"] = row["q_a"] * row["qa_r"]
        rows.append(row)
    silent = len(chosen.dataset.texts) - len(rows) - len(chosen.failed)
    notes = [f"{silent} questions do not say what is right: they count in no figure"] if silent > 0 else []
    if not rows:
        return Scored("vcr", {}, {}, {}, notes)
    table: Table = {name: [row[name] for row in rows] for name in rows[0]}
    made: dict[str, Made] = {name: Made("questions", name) for name in ("q_a", "qa_r", "q_ar") if name in table}
    for name in made:
        table[name] = np.array(table[name], dtype=np.float64)
    queries = {"questions": table}
    return Scored("vcr", figures_of(queries, made), queries, made, notes)


def _row(what: str, figure: str, chances: Tensor, label: int) -> dict[str, Any]:
    best = int(chances.argmax())
    return {
        what: best,
        f"{what}_label": int(label),
        f"{what}_probability": float(chances[best]),
        figure: float(best == label),
    }


# -- the judges' file -------------------------------------------------------------------------------------------------


def write_submission(path: Path, chosen: Chosen) -> None:
    """The table that VCR's leaderboard takes: a line per question, probabilities of the four answers and, for each of
    them, of the four reasons. InputError unless both were chosen for every question, reasons for every answer."""
    write_text(path, [submission(chosen)])


def check_choices(dataset: Dataset) -> None:
    """InputError for a question that has not as many choices as the judges want."""
    for text in dataset.texts:
        counts = {len(text.columns.get(what) or ()) for what in ("answers", "reasons")}
        if counts != {CHOICES_EACH}:
            raise _lacking(text)


def _lacking(text: Text) -> InputError:
    return InputError(
        f"the question {text.id} lacks choices: the file needs {CHOICES_EACH} answers and as many reasons for each, "
        "from one model that chooses answers and one that chooses reasons"
    )


def submission(chosen: Chosen) -> str:
    """The same as text (CSV)."""
    groups = ["answer", *(f"rationale_conditioned_on_a{number}" for number in range(CHOICES_EACH))]
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["annot_id", *(f"{group}_{number}" for group in groups for number in range(CHOICES_EACH))])
    for number, text in enumerate(chosen.dataset.texts):
        parts = [chosen.answers.get(number), *(chosen.reasons.get((number, answer)) for answer in range(CHOICES_EACH))]
        lengths = [0 if part is None else len(part) for part in parts]
        if lengths != [CHOICES_EACH] * len(groups):
            raise _lacking(text)
        table.writerow([text.id, *(chance for part in parts if part is not None for chance in part.tolist())])
    return file.getvalue()
