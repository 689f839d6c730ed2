"""What the language model is told, from plain template files, and how its short reply is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuwen.errors import InputError

TEMPLATES = Path(__file__).parent / "templates"
FORMS = ("short", "long")  # a letter; a sentence
PLACEHOLDERS = ("caption", "question", "candidates")
LETTERS = "ABCD"  # the published scheme shows the four best answers
MARK = re.compile(r"\{(\w+)\}")


class Candidate(Protocol):
    """An answer with the probability that a model gives it."""

    @property
    def text(self) -> str: ...

    @property
    def probability(self) -> float: ...


@dataclass(frozen=True)
class Template:
    """A text with {caption}, {question} and {candidates}. form: "short" gives the candidates letters, "long" none."""

    form: str
    text: str

    @property
    def fingerprint(self) -> str:
        """12 hex digits, equal for equal texts."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    def fill(self, caption: str, question: str, candidates: Sequence[Candidate]) -> str:
        """The prompt; of the candidates, best first, the first four."""
        values = {"caption": caption, "question": question, "candidates": listed(candidates, self.form)}
        return MARK.sub(lambda found: values[found[1]], self.text)


def template(form: str, path: Path | None = None) -> Template:
    """The bundled template of that form, or a user's own from a text file.

    InputError unless it has each of the three placeholders and no other; braces around anything else are plain text.
    """
    file = TEMPLATES / f"{form}.txt" if path is None else path.expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the template {file} is not UTF-8 text (byte {error.start}): convert it") from None
    except OSError as error:
        raise InputError(f"the template {file} cannot be read: {error.strerror or error}") from None
    expected = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    found = MARK.findall(text)
    for name in PLACEHOLDERS:
        if name not in found:
            raise InputError(f"the template {file} has no {{{name}}}: it needs {expected}")
    for name in found:
        if name not in PLACEHOLDERS:
            raise InputError(f"the template {file} has {{{name}}}, which nothing fills: it may have {expected}")
    return Template(form, text.strip())


def listed(candidates: Sequence[Candidate], form: str) -> str:
    """A line for each of the first four: "A. yes (0.93)" in the short form, "- yes (0.93)" in the long one."""
    heads = [f"{letter}." for letter in LETTERS] if form == "short" else ["-"] * len(LETTERS)
    return "\n".join(
        f"{head} {candidate.text} ({candidate.probability:.2f})"
        for head, candidate in zip(heads, candidates, strict=False)
    )


def read_letter(reply: str, count: int) -> int | None:
    """Which of `count` candidates a short reply names; None where it names none of them.

    The published reading: newline, colon, full stop and comma separate words, and the first word that is A, B, C or D
    counts. Whoever gets None takes the first candidate, as published, and should say so.
    """
    for word in re.sub(r"[\n:.,]", " ", reply).split(" "):
        if len(word) == 1 and word in LETTERS:
            place = LETTERS.index(word)
            return place if place < count else None
    return None
