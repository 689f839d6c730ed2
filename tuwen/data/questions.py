"""Questions about pictures, as people write them down: one per line, or a table that may say which picture is meant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tuwen.data.folder import Failure, PictureFile, read_lines
from tuwen.data.table import read_table
from tuwen.errors import InputError


@dataclass(frozen=True)
class Question:
    """A question about one picture (its path below the folder), or about all of them where image is empty."""

    text: str
    image: str = ""
    origin: str = ""  # "questions.csv:3"


def read_questions(path: Path) -> tuple[list[Question], list[Failure]]:
    """The questions of a .txt file, one per line, or of a .csv, .tsv or .jsonl file with a column question.

    A table may also have a column image; where that is empty, all pictures are meant. Bad rows are failures.
    InputError for a file that cannot be read or holds no question.
    """
    path = path.expanduser()
    if path.suffix.lower() == ".txt":
        questions = [Question(text, origin=f"{path.name}:{number}") for number, text in read_lines(path)]
        failures: list[Failure] = []
    else:
        table = read_table(path, ("question",), ("image",))
        failures = table.failures
        questions = [
            Question(line.values["question"], _plain(line.values.get("image", "")), f"{path.name}:{line.number}")
            for line in table.lines
        ]
    if not questions:
        raise InputError(
            f"{path} holds no questions" + (f": {failures[0].id}: {failures[0].reason}" if failures else "")
        )
    return questions, failures


def pair_up(
    pictures: Sequence[PictureFile], questions: Iterable[Question]
) -> tuple[list[tuple[PictureFile, list[str]]], list[Failure]]:
    """(picture, its questions, each once) in the order of both; a question about a picture that is not there fails."""
    names = {picture.id for picture in pictures}
    of_all: list[tuple[int, str]] = []
    of_one: dict[str, list[tuple[int, str]]] = defaultdict(list)
    failures = []
    for number, question in enumerate(questions):
        if not question.image:
            of_all.append((number, question.text))
        elif question.image in names:
            of_one[question.image].append((number, question.text))
        else:
            failures.append(Failure(question.origin, f"there is no picture {question.image} in the folder"))
    pairs = []
    for picture in pictures:
        asked = dict.fromkeys(text for _, text in sorted(of_all + of_one[picture.id]))
        if asked:
            pairs.append((picture, list(asked)))
    return pairs, failures


def _plain(name: str) -> str:
    """A path below the folder as the listing of a folder writes it."""
    return name.replace("\\", "/").removeprefix("./")
