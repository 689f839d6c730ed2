"""The Arrow tables of BridgeTower and VLE: a row for each picture, or pair of pictures, with all that is said of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from tuwen.data import nlvr2, vqav2
from tuwen.data.arrow_rows import ENDING, LABELS, REGION, SCHEMAS, write
from tuwen.data.arrow_table import Table, opened
from tuwen.data.dataset import ENTAILMENT, PAIRS, QUESTIONS, STATEMENTS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.grouped import Grouped
from tuwen.data.ids import Ids
from tuwen.data.lookup import ById
from tuwen.data.options import DEFAULT, Options
from tuwen.errors import InputError

NAME = "arrow"
TITLE = "Arrow tables of BridgeTower and VLE: .arrow files, each a split"
KINDS = (PAIRS, QUESTIONS, STATEMENTS, ENTAILMENT)
__all__ = ["KINDS", "NAME", "TITLE", "looks_like", "open_dataset", "share_pictures", "splits", "write"]

_ENTAILS = {number: name for name, number in LABELS.items()}
_KIND_OF = {
    frozenset(SCHEMAS["captions"].names): PAIRS,
    frozenset(SCHEMAS["regions"].names): PAIRS,
    frozenset(SCHEMAS["questions"].names): QUESTIONS,
    frozenset(SCHEMAS["statements"].names): STATEMENTS,
    frozenset(SCHEMAS["entailment"].names): ENTAILMENT,
}


def looks_like(path: Path) -> bool:
    """A file, or a folder of files, whose columns are those of one of the tables."""
    return any(_kind(file) for file in _files(path)[:20])


def splits(path: Path) -> list[str]:
    """The names of the tables of a folder without their endings; numbered ones, such as sbu_0, sbu_1, count as one."""
    return list(_tables(path)) if path.is_dir() else []


def share_pictures(one: str, other: str) -> bool:
    """Whether two tables are of the same pictures by their making: with and without _fix, val and its parts."""
    plain = [name.removesuffix("_fix").replace("vgqa_coco_", "vgqa_").partition("_") for name in (one, other)]
    (kind, _, first), (same, _, second) = plain
    if kind != same:
        return False
    rules = {"vqav2": vqav2.share_pictures, "nlvr2": nlvr2.share_pictures}
    return first == second or (kind in rules and rules[kind](first, second))


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """One table. What has no id in it gets one: captions "PICTURE#0", pairs of pictures "IDENTIFIER-0", the pictures
    of the entailment table the number of their row.

    Columns of the texts: of questions `scores`, answer -> score, `labels`, their numbers, and `answer`, the one with
    the highest score; of regions width, height, x and y; of statements and entailments as dataset.KINDS say.
    """
    del options
    if path.is_dir():
        tables = _tables(path)
        if split not in tables:
            raise InputError(f"{path} has no table {split + ENDING!r}: it has {', '.join(tables) or 'none'}")
        files = tables[split]
    else:
        files = [path]
    table = Table(files)
    kind = _KIND_OF.get(frozenset(table.names), "")
    if not kind:
        raise InputError(
            f"{files[0]} has the columns {', '.join(table.names)}: expected those of captions, questions, statements "
            "or entailments"
        )
    return _OPEN[kind](Dataset(NAME, path, kind, {}, [], split or files[0].stem), table)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.glob("*" + ENDING) if not file.name.startswith("."))
    return [path] if path.suffix == ENDING and path.is_file() else []


def _kind(file: Path) -> str:
    try:
        schema = opened(file).schema
    except InputError:
        return ""
    if PAIRS in (kind := _KIND_OF.get(frozenset(schema.names), "")) and pyarrow.types.is_string(
        schema.field("caption").type
    ):
        return ""
    return kind


def _tables(path: Path) -> dict[str, list[Path]]:
    numbered: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for file in _files(path):
        if _kind(file):
            name, _, number = file.stem.rpartition("_")
            if name and number.isdecimal():
                numbered[name].append((int(number), file))
            else:
                numbered[file.stem].append((-1, file))
    return {name: [file for _, file in sorted(files)] for name, files in numbered.items()}


class _Pictures(ById[bytes]):
    """The pictures of good rows by id; row: place of an id -> row and column."""

    def __init__(self, table: Table, ids: Ids, rows: np.ndarray[Any, Any], columns: Sequence[str] = ("image",)) -> None:
        super().__init__(ids)
        self._table, self._rows, self._columns = table, rows, columns

    def at(self, place: int) -> bytes:
        """The picture's file."""
        row, column = divmod(place, len(self._columns))
        content: bytes = self._table.value(int(self._rows[row]), self._columns[column])
        return content


def _good(dataset: Dataset, table: Table, images: Sequence[str], lists: Sequence[str]) -> np.ndarray[Any, Any]:
    """The rows (N,) that have their pictures, and lists of equal lengths, not empty; failures name the others."""
    counts = {name: table.lengths(name) for name in lists}
    count = counts[lists[0]]
    bad = {f"its {name} is missing": table.absent(name) for name in images}
    bad |= {f"it has no {lists[0]}": count < 1}
    bad |= {f"it has not as many {name} as {lists[0]}": counts[name] != count for name in lists[1:]}
    wrong = np.zeros(len(table), dtype=bool)
    for reason, where in bad.items():
        for row in np.flatnonzero(where & ~wrong).tolist():
            dataset.failures.append(Failure(table.place(row), reason))
        wrong |= where
    return np.flatnonzero(~wrong)


def _named(dataset: Dataset, table: Table, rows: np.ndarray[Any, Any], column: str) -> tuple[Ids, np.ndarray[Any, Any]]:
    """(ids, their rows) of the rows whose id did not come before."""
    wanted = set(rows.tolist())
    ids, kept = Ids(), []
    first: dict[str, int] = {}
    for row, id in enumerate(table.column(column)):
        if row not in wanted:
            continue
        name = "" if id is None else str(id)
        if not name:
            dataset.failures.append(Failure(table.place(row), f"its {column} is empty"))
        elif name in first:
            dataset.failures.append(
                Failure(table.place(row), f"its {column} {name} is that of {table.place(first[name])}, too")
            )
        else:
            first[name] = row
            ids.add(name.encode())
            kept.append(row)
    return ids, np.asarray(kept, dtype=np.int64)


def _open_pairs(dataset: Dataset, table: Table) -> Dataset:
    regions = [name for name in REGION if name in table.names]
    rows = _good(dataset, table, ["image"], ["caption", *regions])
    ids, rows = _named(dataset, table, rows, "image_id")
    dataset.pictures = _Pictures(table, ids, rows)
    dataset.texts = Grouped(table.lengths("caption")[rows], partial(_captions, table, rows, regions))
    return dataset


def _captions(table: Table, rows: np.ndarray[Any, Any], regions: list[str], group: int) -> list[Text]:
    row = int(rows[group])
    found = table.values(row, ["caption", "image_id", *regions])
    id = str(found["image_id"])
    place = table.place(row)
    return [
        Text(f"{id}#{number}", text or "", (id,), place, {name: found[name][number] for name in regions})
        for number, text in enumerate(found["caption"])
    ]


def _open_questions(dataset: Dataset, table: Table) -> Dataset:
    answered = [name for name in ("answers", "answer_labels", "answer_scores") if table.lengths(name).any()]
    rows = _good(dataset, table, ["image", "image_id"], ["questions", "question_id", *answered])
    ids, rows = _named(dataset, table, rows, "image_id")
    dataset.pictures = _Pictures(table, ids, rows)
    dataset.texts = Grouped(table.lengths("questions")[rows], partial(_questions, table, rows, bool(answered)))
    return dataset


def _questions(table: Table, rows: np.ndarray[Any, Any], answered: bool, group: int) -> list[Text]:
    row = int(rows[group])
    answers = ["answers", "answer_labels", "answer_scores"] if answered else []
    found = table.values(row, ["image_id", "question_id", "questions", *answers])
    texts = []
    for number, (id, question) in enumerate(zip(found["question_id"], found["questions"], strict=True)):
        columns: dict[str, Any] = {}
        if answered:
            scores = dict(zip(found["answers"][number], found["answer_scores"][number], strict=True))
            columns = {"scores": scores, "labels": found["answer_labels"][number]}
            columns["answer"] = max(scores, key=lambda word: scores[word], default="")
        texts.append(Text(str(id), question or "", (str(found["image_id"]),), table.place(row), columns))
    return texts


def _open_statements(dataset: Dataset, table: Table) -> Dataset:
    rows = _good(dataset, table, ["image_0", "image_1"], ["questions", "answers"])
    names, rows = _named(dataset, table, rows, "identifier")
    ids = Ids(f"{name}-img{side}" for name in names for side in (0, 1))
    dataset.pictures = _Pictures(table, ids, rows, ("image_0", "image_1"))
    dataset.texts = Grouped(table.lengths("questions")[rows], partial(_statements, table, rows))
    return dataset


def _statements(table: Table, rows: np.ndarray[Any, Any], group: int) -> list[Text]:
    row = int(rows[group])
    found = table.values(row, ["questions", "answers", "identifier"])
    name = found["identifier"]
    pictures = (f"{name}-img0", f"{name}-img1")
    return [
        Text(f"{name}-{number}", text or "", pictures, table.place(row), {"label": label == "True", "identifier": name})
        for number, (text, label) in enumerate(zip(found["questions"], found["answers"], strict=True))
    ]


def _open_entailment(dataset: Dataset, table: Table) -> Dataset:
    rows = _good(dataset, table, ["image"], ["sentences", "labels"])
    ids = Ids(str(row) for row in rows.tolist())
    dataset.pictures = _Pictures(table, ids, rows)
    dataset.texts = Grouped(table.lengths("sentences")[rows], partial(_entailments, table, rows))
    return dataset


def _entailments(table: Table, rows: np.ndarray[Any, Any], group: int) -> list[Text]:
    row = int(rows[group])
    found = table.values(row, ["sentences", "labels"])
    return [
        Text(f"{row}#{number}", text, (str(row),), table.place(row), {"label": _ENTAILS[label], "premise": premise})
        for number, ((premise, text), label) in enumerate(zip(found["sentences"], found["labels"], strict=True))
    ]


_OPEN: dict[str, Callable[[Dataset, Table], Dataset]] = {
    PAIRS: _open_pairs,
    QUESTIONS: _open_questions,
    STATEMENTS: _open_statements,
    ENTAILMENT: _open_entailment,
}
