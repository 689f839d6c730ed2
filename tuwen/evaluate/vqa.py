"""Visual question answering: answers to the questions of a dataset, and how many people would have given them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuwen.data.answers import normalize, soft_score
from tuwen.data.dataset import QUESTIONS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.files import whole_number, write_text
from tuwen.evaluate.pictures import OnError, Pictures, chunks_by_picture, told
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.tasks.answer import Answer, answer_rows, known_answers

if TYPE_CHECKING:
    from tuwen.model import Model

AT_ONCE = 2048  # questions whose states are kept at a time
TOP = 5  # answers of a question that are kept
TYPES = {"yes/no": "yes_no", "number": "number", "other": "other"}  # as the annotations call them -> our figures' names


@dataclass(frozen=True)
class Answered:
    """What a model says: number of a question -> its likeliest answers, best first; `known` are all it can give."""

    dataset: Dataset
    answers: dict[int, list[Answer]]
    known: frozenset[str]
    notes: list[str] = field(default_factory=list)

    def best(self) -> list[tuple[Text, Answer]]:
        """Every question that was answered, in the order of the dataset, with its likeliest answer."""
        return [
            (text, self.answers[number][0]) for number, text in enumerate(self.dataset.texts) if number in self.answers
        ]


def vqa(
    model: Model,
    dataset: Dataset,
    original: bool = False,
    on_error: OnError | None = None,
) -> Scored:
    """How well a model answers the questions of a dataset; arguments and errors as of `predict` and `score`."""
    return score(predict(model, dataset, on_error), original)


def predict(
    model: Model,
    dataset: Dataset,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Answered:
    """Answers to every question whose picture can be read; on_error is told of the others, None raises.

    advance: told how many more questions are done. UsageError for a dataset without questions, or a model whose answers
    are not named.
    """
    model.need("answer")
    if dataset.kind != QUESTIONS:
        raise UsageError(f"answering needs questions, {dataset.path} holds {dataset.kind}")
    known = frozenset(known_answers(model))
    answers: dict[int, list[Answer]] = {}
    for chunk in chunks_by_picture(dataset, AT_ONCE, on_error):
        ids = list(chunk)
        numbers = [number for of_one in chunk.values() for number in of_one]
        texts, places = _distinct([dataset.texts[number].text for number in numbers])
        place_of = dict(zip(numbers, places, strict=True))

        def wanted(picture: int) -> list[int]:
            return sorted({place_of[number] for number in chunk[ids[picture]]})  # noqa: B023 - used within this round

        rows = answer_rows(model, Pictures(dataset.pictures, ids), texts, TOP, wanted)
        for picture, found in rows:
            asked = chunk[ids[picture]]
            if isinstance(found, InputError):
                told(on_error, ids[picture], found)
            else:
                answers |= {number: found[place_of[number]] for number in asked}
            if advance is not None:
                advance(len(asked))
    without = sum(not text.image_ids for text in dataset.texts)
    notes = [f"{without} questions name no picture and are left out"] if without else []
    if not answers:
        raise InputError(f"none of the {len(dataset.texts)} questions of {dataset.path} could be answered")
    return Answered(dataset, answers, known, notes)


def _distinct(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    places: dict[str, int] = {}
    where = [places.setdefault(text, len(places)) for text in texts]
    return list(places), where


# -- scores of one answer ---------------------------------------------------------------------------------------------


def official_score(answer: str, people: Sequence[str]) -> float:
    """The accuracy of VQA's own evaluation: the mean over the people of min(1, n / 3), n of the others agreeing.

    As there, answers are brought into their normal form only where the people do not all say the same, letter by
    letter; line ends and tabs are spaces in any case.
    """
    said, given = _plain(answer), [_plain(one) for one in people]
    if not given:
        raise UsageError("nobody has answered the question: there is nothing to compare with")
    if len(set(given)) > 1:
        said, given = normalize(said), [normalize(one) for one in given]
    alike = [one == said for one in given]
    others = [sum(alike) - own for own in alike]  # of everybody else
    return sum(min(1.0, count / 3) for count in others) / len(others)


def _plain(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def target_score(answer: str, people: Sequence[str]) -> float:
    """The score that BridgeTower and VLE train towards and validate with: 0, .3, .6, .9, 1 for 0, 1, 2, 3, 4 or more
    people who say the same, compared in normal form."""
    said = normalize(answer)
    return soft_score(sum(normalize(one) == said for one in people))


def targets(columns: Mapping[str, Any], normalized: bool = True) -> dict[str, float] | None:
    """answer -> score of a question: as the table says, or by the people's answers; None where nobody has answered."""
    if columns.get("scores"):
        return {str(answer): float(score) for answer, score in columns["scores"].items()}
    people = columns.get("answers")
    if not people:
        return None
    counts = Counter(normalize(one) if normalized else one for one in people)
    return {answer: soft_score(count) for answer, count in counts.items()}


def type_of(columns: Mapping[str, Any]) -> str | None:
    """ "yes_no", "number" or "other": as the annotation says, else by the most frequent answer; None without either."""
    given = columns.get("answer_type")
    if given:
        return TYPES.get(str(given), str(given))
    people = columns.get("answers")
    usual = columns.get("answer") or (Counter(people).most_common(1)[0][0] if people else "")
    if not usual:
        return None
    normal = normalize(str(usual))
    return "yes_no" if normal in ("yes", "no") else "number" if normal.replace(".", "", 1).isdigit() else "other"


# -- figures ----------------------------------------------------------------------------------------------------------


def score(answered: Answered, original: bool = False) -> Scored:
    """Figures, and a row for each question that somebody has answered.

    accuracy: the official one, where each person's answer is known; accuracy_yes_no, accuracy_number, accuracy_other:
    the same by type of answer. target_score: the mean score of the originals' tables, which is all that can be said
    where only these are there. original: target_score alone, over the questions that have an answer known to the
    model: the originals drop the others.

    questions: id, image, question, predicted, probability, answers (people's, or with their scores), type, accuracy,
    target_score.
    """
    rows = list(_rows(answered, original))
    notes = list(answered.notes)
    silent = len(answered.answers) - len(rows)
    if silent:
        why = "have no answer that the model knows" if original else "have no answers to compare with"
        notes.append(f"{silent} questions {why}: they count in no figure")
    if not rows:
        return Scored("vqa", {}, {}, {}, notes)
    table: Table = {name: [row[name] for row in rows] for name in rows[0]}
    queries = {"questions": table}
    by_people = not original and all(row["accuracy"] is not None for row in rows)
    made = {}
    if by_people:
        made["accuracy"] = Made("questions", "accuracy")
    made["target_score"] = Made("questions", "target_score")
    main = "accuracy" if by_people else "target_score"
    for kind in TYPES.values():
        part = [row for row in rows if row["type"] == kind]
        if part:
            name = f"questions_{kind}"
            queries[name] = {
                "id": [row["id"] for row in part],
                "image": [row["image"] for row in part],
                main: np.array([row[main] for row in part], dtype=float),
            }
            made[f"{main}_{kind}"] = Made(name, main)
    for name in ("accuracy", "target_score"):
        if name == "accuracy" and not by_people:
            del table[name]
        else:
            table[name] = np.array(table[name], dtype=np.float64)
    table["probability"] = np.array(table["probability"])
    if not original and not any(text.columns.get("answer_type") for text, _ in answered.best()[:100]):
        notes.append("types of answers are told by the most frequent answer: the dataset names none")
    return Scored("vqa", figures_of(queries, made), queries, made, notes)


def _rows(answered: Answered, original: bool) -> Iterator[dict[str, Any]]:
    for text, answer in answered.best():
        people = [str(one) for one in text.columns.get("answers") or ()]
        wanted = targets(text.columns)
        if wanted is None or (original and not answered.known & wanted.keys()):
            continue
        yield {
            "id": text.id,
            "image": text.image_ids[0],
            "question": text.text,
            "predicted": answer.text,
            "probability": answer.probability,
            "answers": people or [f"{word} ({value})" for word, value in wanted.items()],
            "type": type_of(text.columns) or "",
            "accuracy": official_score(answer.text, people) if people else None,
            "target_score": wanted.get(answer.text, wanted.get(normalize(answer.text), 0.0)),
        }


# -- files ------------------------------------------------------------------------------------------------------------


def write_submission(path: Path, answered: Answered) -> None:
    """The answers as VQA's judges take them, and as BridgeTower and VLE write them: byte for byte.

    InputError where questions could not be answered: each needs its answer.
    """
    write_text(path, [submission(answered)])


def submission(answered: Answered) -> str:
    """The same as text: a list of {"question_id", "answer"}, indented by 4, in the order of the dataset."""
    missing = len(answered.dataset.texts) - len(answered.answers)
    if missing:
        raise InputError(
            f"{missing} questions of {answered.dataset.path} were not answered: the file needs all of them"
        )
    rows = [{"question_id": whole_number(text.id), "answer": answer.text} for text, answer in answered.best()]
    return json.dumps(rows, indent=4)
