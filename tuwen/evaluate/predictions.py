"""Recall of a file of predictions: the best of each query, best first, as anybody's tool has found them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.errors import InputError
from tuwen.evaluate.scored import Made, Scored, Table, figures_of

Answers = dict[str, list[str]]

CUTS = (1, 5, 10)
SIDES = {"text": ("text_id", "image_ids"), "image": ("image_id", "text_ids")}
NAMES = {"text": "text_to_image", "image": "image_to_text"}


def score(gold: Path, predictions: Path) -> Scored:
    """Share of the queries with any right answer among the first 1, 5 and 10 predictions.

    gold: Chinese-CLIP's file of texts, or the same turned round; predictions: lines {"text_id", "image_ids"} or
    {"image_id", "text_ids"}, any number of different ids each, best first. Ids are compared as texts. Queries without
    a right answer are left out, and counted in the notes. InputError for a line that is none of these, and where a
    query has no prediction.
    """
    query, found = _read(predictions)
    side, right = _read(gold, is_gold=True)
    if side != query:
        right = _turned(right)
    asked = [id_ for id_, answers in right.items() if answers]
    missing = [id_ for id_ in asked if id_ not in found]
    if missing:
        shown = ", ".join(missing[:5])
        raise InputError(f"{predictions} lacks {len(missing)} of {len(asked)} {SIDES[query][0]}s, e.g. {shown}")
    if not asked:
        raise InputError(f"{gold} says of no query what is right: there is nothing to score")
    ranks = np.array([_rank(found[id_], right[id_]) for id_ in asked])
    table: Table = {"id": asked, "found": [found[id_] for id_ in asked], "right": [right[id_] for id_ in asked]}
    table |= {f"r{k}": ((ranks > 0) & (ranks <= k)).astype(np.float64) for k in CUTS}
    name = NAMES[query]
    made = {f"{name}_r{k}": Made(name, f"r{k}") for k in CUTS}
    made[f"{name}_mean_recall"] = Made(of=tuple(made))
    notes = [f"{len(right) - len(asked)} queries have no right answer: left out"] if len(asked) < len(right) else []
    shortest = min(len(found[id_]) for id_ in asked)
    if shortest < CUTS[-1]:
        notes.append(f"the shortest list has {shortest} predictions: recall at more counts what is there")
    return Scored("retrieval", figures_of({name: table}, made), {name: table}, made, notes)


def as_json(scored: Scored) -> dict[str, Any]:
    """The same in the form of the originals' score file, in percent."""
    values = {name.rpartition("_")[2]: 100 * value for name, value in scored.figures.items()}
    mean = values.pop("recall")
    return {"success": True, "score": mean, "scoreJson": {"score": mean, "mean_recall": mean, **values}}


def _rank(answers: list[str], right: list[str]) -> int:
    """The place, from 1, of the first right answer; 0 where there is none."""
    wanted = set(right)
    return next((place for place, answer in enumerate(answers, 1) if answer in wanted), 0)


def _turned(right: Answers) -> Answers:
    turned: Answers = {}
    for id_, answers in right.items():
        for answer in answers:
            turned.setdefault(answer, []).append(id_)
    return turned


def _read(path: Path, is_gold: bool = False) -> tuple[str, Answers]:
    """("text" or "image", answers of each query); is_gold: lists may be empty, and ids come twice in them."""
    side, found = "", Answers()
    for number, row in _rows(path):
        here = next((name for name, keys in SIDES.items() if set(keys) <= row.keys()), "")
        if not here or (side and here != side):
            expected = " and ".join(SIDES[side or "text"])
            raise InputError(f"{path.name}, line {number}: expected an object with {expected}")
        side = here
        one, many = SIDES[side]
        if not isinstance(row[many], list):
            raise InputError(f"{path.name}, line {number}: its {many} must be a list")
        answers = [str(id_) for id_ in row[many]]
        if not is_gold and (not answers or len(set(answers)) < len(answers)):
            what = "no prediction" if not answers else "the same prediction twice"
            raise InputError(f"{path.name}, line {number}: {row[one]} has {what}")
        if str(row[one]) in found:
            raise InputError(f"{path.name}, line {number}: {row[one]} comes again")
        found[str(row[one])] = answers
    if not found:
        raise InputError(f"{path} is empty: expected lines with {' and '.join(SIDES['text'])}")
    return side, found


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        raise InputError(f"there is nothing at {path}")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except ValueError as error:
                raise InputError(f"{path.name}, line {number} is not JSON ({error})") from None
            if not isinstance(row, dict):
                raise InputError(f"{path.name}, line {number}: expected an object")
            yield number, row
