"""Recall of a file of predictions, as evaluation.py and evaluation_tr.py of Chinese-CLIP and PaddleNLP compute it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuwen.checkpoint import replacing

K = 10  # predictions of each query, neither more nor fewer
CUTS = (1, 5, 10)


class Refused(Exception):
    """A prediction file that the scripts do not take; the message is theirs."""


@dataclass(frozen=True)
class Rules:
    """What a script asks of a line, and how it says so.

    query, answers: keys of a line; query_number, answer_number: whether ids must be whole numbers; distinct: what is
    said when an answer comes twice, "" where nobody looks; absent: when there is no file; stranger: what is said of an
    id that is no number, {} for the id; previous: that id is the one of the line before.
    """

    query: str
    answers: str
    distinct: str
    query_number: bool = True
    answer_number: bool = True
    absent: str = "The submission file is not found!"
    stranger: str = "Found an invalid {query} {id}, it should be an integer (not string), please check your schema"
    previous: bool = False

    @property
    def name(self) -> str:
        """Of a query, at the start of a sentence."""
        return self.query.capitalize()

    @property
    def answer(self) -> str:
        return self.answers.removesuffix("s")


# PaddleNLP's refuses lists of pictures in its newest form, by a mistake; here they work as in the one before.
RULES = {
    ("chinese-clip", "text"): Rules("text_id", "image_ids", "has duplicate topk images", previous=True),
    ("chinese-clip", "image"): Rules("image_id", "text_ids", "has duplicate topk texts"),
    ("paddlenlp", "text"): Rules(
        "text_id",
        "image_ids",
        "has duplicate products",
        answer_number=False,
        absent="The file is not found!",
        stranger="Found an invalid text_id , it should be an integer (not string), please check your schema",
    ),
    ("paddlenlp", "image"): Rules("image_id", "text_ids", "", query_number=False),
}


def evaluate(gold: Path, predictions: Path, output: Path, rules: Rules) -> list[str]:
    """Write the score, or what is wrong, as JSON; gives the lines that the script prints. Nothing raises.

    Share of the queries, those without an answer included, with any right one among the first 1, 5 and 10.
    """
    printed = [f"Read standard from {gold}", f"Read user submit file from {predictions}"]
    try:
        right = read_gold(gold, rules)
        found = score(right, read_predictions(predictions, right, rules))
    except Exception as error:  # the scripts report whatever goes wrong, by the first argument of its exception
        message = error.args[0]
        failed = {"errorDetail": message, "errorMsg": message, "score": 0, "scoreJson": {}, "success": False}
        write_json(output, failed)
        return [*printed, f"The evaluation failed: {message}"]
    write_json(output, found)
    return [*printed, "The evaluation finished successfully."]


def asks_with_text(gold: Path) -> bool:
    """Whether the first line is of a text: then it is evaluation.py's, else evaluation_tr.py's."""
    try:
        with gold.open(encoding="utf-8") as file:
            row = json.loads(file.readline())
    except (OSError, ValueError):
        return True  # evaluation.py reports it
    return not isinstance(row, dict) or "text_id" in row or "image_id" not in row


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """One line, no end of line."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def read_gold(path: Path, rules: Rules) -> dict[Any, list[Any]]:
    """Right answers of each query."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line.strip()) for line in file]
    return {row[rules.query]: row[rules.answers] for row in rows}


def read_predictions(path: Path, gold: Mapping[Any, Any], rules: Rules) -> dict[Any, list[Any]]:
    """Answers to each query, best first; `Refused` for the first thing that the script does not take."""
    if not path.exists():
        raise Refused(rules.absent)
    found: dict[Any, list[Any]] = {}
    before: Any = None
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = _parsed(line.strip())
            before = _query(row, line.strip(), rules, before)
            found[before] = _answers(row, line.strip(), rules, before)
    missing = set(gold) - set(found)
    if missing:
        absent = ", ".join(str(query) for query in missing)
        raise Refused(
            f"The following {rules.query}s have no prediction in your submission, please check again: {absent}"
        )
    return found


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise Refused(f"Cannot parse this line into json object: {line}") from None


def _query(row: Any, line: str, rules: Rules, before: Any) -> Any:
    if rules.query not in row:
        raise Refused(f"There exists one line not containing {rules.query}: {line}")
    query = row[rules.query]
    if rules.query_number and not isinstance(query, int):
        if rules.previous and before is None:
            # The message would name the line before, and there is none: this is Python's own complaint about that.
            raise Refused("cannot access local variable 'qid' where it is not associated with a value")
        raise Refused(rules.stranger.format(query=rules.query, id=before if rules.previous else query))
    return query


def _answers(row: Any, line: str, rules: Rules, query: Any) -> list[Any]:
    if rules.answers not in row:
        raise Refused(f"There exists one line not containing the predicted {rules.answers}: {line}")
    answers = row[rules.answers]
    if not isinstance(answers, list):
        raise Refused(f"The {rules.answers} field of {rules.query} {query} is not a list, please check your schema")
    if len(answers) != K:
        number = f"Require {K}, but {len(answers)} founded."
        raise Refused(f"{rules.name} {query} has wrong number of predicted {rules.answers}! {number}")
    for rank, answer in enumerate(answers, 1):
        if rules.answer_number and not isinstance(answer, int):
            raise Refused(
                f"{rules.name} {query} has an invalid predicted {rules.answer} {answer} at rank {rank}, "
                "it should be an integer (not string), please check your schema"
            )
    if rules.distinct and len(set(answers)) != K:
        raise Refused(f"{rules.name} {query} {rules.distinct} in your prediction. Pleace check again!")
    return answers


def score(gold: Mapping[Any, Sequence[Any]], predictions: Mapping[Any, Sequence[Any]]) -> dict[str, Any]:
    """What the scripts write: recall at 1, 5 and 10 and their mean, in percent, by their own order of operations."""
    hits = [0, 0, 0]
    for query, right in gold.items():
        wanted, answers = set(right), predictions[query]
        for place, cut in enumerate(CUTS):
            hits[place] += not wanted.isdisjoint(answers[:cut])
    r1, r5, r10 = (float(hit) / len(gold) for hit in hits)
    mean = (r1 + r5 + r10) / 3.0
    parts = {"score": mean * 100, "mean_recall": mean * 100, "r1": r1 * 100, "r5": r5 * 100, "r10": r10 * 100}
    return {"success": True, "score": mean * 100, "scoreJson": parts}
