"""Datasets into the Arrow tables of BridgeTower and VLE: their columns, and what stands in a row."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from tuwen.data.answers import ANSWER_TO_LABEL, read_labels, soft_targets
from tuwen.data.arrow_table import GrowingTable, without_types
from tuwen.data.dataset import ENTAILMENT, PAIRS, QUESTIONS, STATEMENTS, Dataset, Text
from tuwen.data.ids import Ids
from tuwen.data.numbered import Numbers
from tuwen.data.numbered import rows as number_rows
from tuwen.data.options import Options, Writing, about
from tuwen.errors import InputError

ENDING = ".arrow"
LABELS = {"contradiction": 0, "neutral": 1, "entailment": 2}
REGION = ("width", "height", "x", "y")

_BYTES, _TEXT, _NUMBER, _SCORE = pyarrow.binary(), pyarrow.string(), pyarrow.int64(), pyarrow.float64()
_list = pyarrow.list_
_QUESTIONS = [("image", _BYTES), ("questions", _list(_TEXT))]
_QUESTIONS_END = [("image_id", _NUMBER), ("question_id", _list(_NUMBER)), ("split", _TEXT)]
_TARGETS = ("answers", "answer_labels", "answer_scores")
SCHEMAS = {
    "captions": pyarrow.schema(
        [("image", _BYTES), ("caption", _list(_TEXT)), ("image_id", _TEXT), ("split", _TEXT)],
    ),
    "regions": pyarrow.schema(
        [
            ("image", _BYTES),
            ("caption", _list(_TEXT)),
            *((name, _list(_NUMBER)) for name in REGION),
            ("image_id", _TEXT),
        ]
    ),
    "questions": pyarrow.schema(
        [
            *_QUESTIONS,
            *((name, _list(_list(kind))) for name, kind in zip(_TARGETS, (_TEXT, _NUMBER, _SCORE), strict=True)),
            *_QUESTIONS_END,
        ]
    ),
    # Questions without answers: the lists are empty everywhere, and pandas finds no type for what they would hold.
    "questions only": pyarrow.schema(
        [*_QUESTIONS, *((name, _list(pyarrow.null())) for name in _TARGETS), *_QUESTIONS_END]
    ),
    "statements": pyarrow.schema(
        [
            ("image_0", _BYTES),
            ("image_1", _BYTES),
            ("questions", _list(_TEXT)),
            ("answers", _list(_TEXT)),
            ("identifier", _TEXT),
        ]
    ),
    "entailment": pyarrow.schema(
        [("image", _BYTES), ("sentences", _list(_list(_TEXT))), ("labels", _list(_NUMBER))],
    ),
}

Target = tuple[list[str], list[int], list[float]]  # known answers of a question, their labels and scores


@dataclass(frozen=True)
class Plan:
    """What a table is to hold beside the dataset's own texts.

    split: the word in its column split; targets: the questions about a picture -> the target of each, of no label where
    the question is to be left out; about: plain data that another run must share to go on with this one.
    """

    split: str = ""
    targets: Callable[[list[Text]], list[Target]] | None = None
    about: dict[str, Any] = field(default_factory=dict)


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """One table: the file `target`, or SPLIT.arrow in the folder `target`.

    Rows keep the order of the pictures; a picture without texts has none. Questions with people's answers need the
    labels of the answers: options.label_file, or an answer2label.json in the folder; those without a known answer are
    left out, as the published tables do. Ids of questions and their pictures that are no whole numbers are numbered,
    and a tsv beside the table says which is which.
    """
    file = target if target.suffix == ENDING else target / f"{split or dataset.split or 'data'}{ENDING}"
    plan = Plan(split or dataset.split)
    if dataset.kind == QUESTIONS:
        plan = Plan(plan.split, _targets(dataset, options.label_file or file.parent / ANSWER_TO_LABEL))
    write_table(dataset, Groups(dataset), file, plan, options, writing)


def write_table(dataset: Dataset, groups: Groups, file: Path, plan: Plan, options: Options, writing: Writing) -> int:
    """The table of some groups of a dataset as a plan has it; gives the number of its rows."""
    form = _form(dataset)
    cells = _Cells(dataset, plan, options, writing, form)
    numbered = {f"{file.stem}_{what}.tsv": ids for what, ids in cells.renamed()}
    told = about(dataset, options) | {"columns": SCHEMAS[form].names, "split": plan.split} | plan.about
    with writing.growing(file.parent, [file.name, *numbered], told) as files:
        writing.expect(len(groups), files.done)
        table = GrowingTable(files, file.name, SCHEMAS[form])
        for number in range(files.done, len(groups)):
            row = cells.of(*groups[number])
            if row is not None and table.add(row):
                files.step(number + 1)
            writing.advance(1)
        table.flush()
        files.step(len(groups))
        count = table.finish(without_types(SCHEMAS[form]))
        for name, ids in numbered.items():
            if not files.size(name):
                files.write(name, b"".join(number_rows(ids)))
    table.clean()
    writing.notes += [
        f"ids that were no whole numbers are numbered from 0: see {file.parent / name}" for name in numbered
    ]
    return count


def _targets(dataset: Dataset, labels: Path) -> Callable[[list[Text]], list[Target]] | None:
    first = next(iter(dataset.texts), None)
    if first is None or not ({"answers", "scores"} & first.columns.keys()):
        return None
    if "scores" in first.columns:
        return own_targets
    if not labels.is_file():
        raise InputError(
            f"writing answers needs their labels, but {labels} is not there: make it of train and val with tuwen data "
            "build --to vqa, or name it with --label-file"
        )
    return targets_by(read_labels(labels))


def targets_by(labels: Mapping[str, int], normalized: bool = True) -> Callable[[list[Text]], list[Target]]:
    """Targets of people's answers, see `answers.soft_targets`."""
    return lambda texts: [soft_targets(text.columns["answers"], labels, normalized) for text in texts]


def own_targets(texts: list[Text]) -> list[Target]:
    """What a table that was read says of its questions."""
    return [
        (list(text.columns["scores"]), list(text.columns["labels"]), list(text.columns["scores"].values()))
        for text in texts
    ]


def _form(dataset: Dataset) -> str:
    first = next(iter(dataset.texts), None)
    columns = first.columns.keys() if first is not None else set()
    if dataset.kind == QUESTIONS:
        return "questions" if {"answers", "scores"} & columns else "questions only"
    if dataset.kind == PAIRS:
        return "regions" if columns >= set(REGION) else "captions"
    return {STATEMENTS: "statements", ENTAILMENT: "entailment"}[dataset.kind]


class Groups:
    """What becomes of each row: its pictures and the numbers of its texts; in the order of the pictures.

    Statements belong together when they are about the same pictures, in the order of the statements.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._pairs: dict[tuple[str, ...], int] | None = {} if dataset.kind == STATEMENTS else None
        ids = Ids(dataset.pictures) if self._pairs is None else Ids()
        owners, numbers = array("q"), array("q")
        for number, text in enumerate(dataset.texts):
            if self._pairs is not None:
                of = [self._pairs.setdefault(text.image_ids, len(self._pairs))]
            else:
                of = [place for place in map(ids.place, text.image_ids) if place is not None]
            owners.extend(of)
            numbers.extend([number] * len(of))
        groups = np.asarray(owners, dtype=np.int64)
        order = np.argsort(groups, kind="stable")
        self._texts = np.asarray(numbers, dtype=np.int64)[order]
        self._owners, starts = np.unique(groups[order], return_index=True)
        self._ends = np.append(starts[1:], len(groups))
        self._names: Sequence[tuple[str, ...]] | Ids = ids if self._pairs is None else list(self._pairs)
        self._order: list[int] | range = range(len(self._owners))

    def shuffled(self, seed: int) -> Groups:
        """The same in another order, equal for equal seeds."""
        order = list(self._order)
        random.Random(seed).shuffle(order)
        return self._with(order)

    def part(self, start: int, stop: int) -> Groups:
        """Some of them, by place."""
        return self._with(self._order[start:stop])

    def of(self, pictures: Callable[[str], bool]) -> Groups:
        """Those whose first picture is wanted."""
        return self._with([group for group in self._order if pictures(self._pictures(group)[0])])

    def _with(self, order: list[int] | range) -> Groups:
        other = copy(self)
        other._order = order
        return other

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, row: int) -> tuple[tuple[str, ...], list[int]]:
        group = self._order[row]
        start = int(self._ends[group - 1]) if group else 0
        return self._pictures(group), self._texts[start : int(self._ends[group])].tolist()

    def _pictures(self, group: int) -> tuple[str, ...]:
        name = self._names[int(self._owners[group])]
        return (name,) if isinstance(name, str) else name


class _Cells:
    """The cells of a row, in the order of the columns."""

    def __init__(self, dataset: Dataset, plan: Plan, options: Options, writing: Writing, form: str) -> None:
        self.dataset, self.plan, self.form = dataset, plan, form
        self.picture = lambda id: writing.picture(dataset, id, options.jpeg)
        if dataset.kind == QUESTIONS:
            self.image_ids = Ids(dataset.pictures)
            self.question_ids = Ids(text.id for text in dataset.texts)
            self.image_number, self.question_number = Numbers(self.image_ids), Numbers(self.question_ids)

    def renamed(self) -> list[tuple[str, Ids]]:
        """(what, its ids) where numbers took their place."""
        if self.dataset.kind != QUESTIONS:
            return []
        both = (("image_ids", self.image_number, self.image_ids), ("text_ids", self.question_number, self.question_ids))
        return [(what, ids) for what, number, ids in both if number.given]

    def of(self, pictures: tuple[str, ...], numbers: list[int]) -> list[Any] | None:
        """None where a picture cannot be read, which is a failure, or where no question has a known answer."""
        texts = [self.dataset.texts[number] for number in numbers]
        if self.form == "questions":
            targets = (self.plan.targets or own_targets)(texts)
            kept = [(text, target) for text, target in zip(texts, targets, strict=True) if target[1]]
            if not kept:
                return None
            texts = [text for text, _ in kept]
            middle = [list(column) for column in zip(*(target for _, target in kept), strict=True)]
        else:
            middle = [[], [], []]
        contents = [self.picture(id) for id in pictures]
        if any(content is None for content in contents):
            return None
        said = [text.text for text in texts]
        if self.form == "captions":
            return [*contents, said, pictures[0], self.plan.split]
        if self.form == "regions":
            return [*contents, said, *([text.columns[name] for text in texts] for name in REGION), pictures[0]]
        if self.form == "statements":
            answers = [None if text.columns["label"] is None else str(text.columns["label"]) for text in texts]
            return [*contents, said, answers, str(texts[0].columns.get("identifier", texts[0].id))]
        if self.form == "entailment":
            sentences = [[text.columns["premise"], text.text] for text in texts]
            return [*contents, sentences, [LABELS.get(text.columns["label"]) for text in texts]]
        ids = [self.question_number(text.id) for text in texts]
        return [*contents, said, *middle, self.image_number(pictures[0]), ids, self.plan.split]
