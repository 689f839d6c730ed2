"""Items of visual commonsense reasoning as their authors publish them: JSON lines beside a folder of pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuwen.data.folder import Failure
from tuwen.errors import InputError

Words = list["str | list[int]"]


@dataclass(frozen=True)
class Item:
    """One question with its choices of answers and of reasons; an object is named by its number in `objects`.

    label, rationale_label: the right ones, None where the split does not say. metadata: the file of its boxes.
    """

    id: str
    line: int
    image: Path
    metadata: Path
    objects: list[str]
    question: Words
    answers: list[Words]
    rationales: list[Words]
    label: int | None
    rationale_label: int | None
    digest: str

    def boxes(self) -> list[list[float]]:
        """left, top, right, bottom of each object in pixels of the picture. InputError that names the file."""
        try:
            content = json.loads(self.metadata.read_text(encoding="utf-8"))
            boxes = [[float(edge) for edge in box[:4]] for box in content["boxes"]]
        except OSError as error:
            raise InputError(f"{self.metadata} cannot be read: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.metadata} is not a JSON object with boxes: {error}") from None
        if len(boxes) != len(self.objects):
            raise InputError(f"{self.metadata} has {len(boxes)} boxes, the annotation has {len(self.objects)} objects")
        return boxes

    def stamp(self) -> str:
        """Another one when the line, the picture or the boxes have changed; InputError for a file that is missing."""
        parts = [self.digest]
        for path in (self.image, self.metadata):
            try:
                status = path.stat()
            except OSError as error:
                raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
            parts.append(f"{status.st_size} {status.st_mtime_ns}")
        return " ".join(parts)

    def said(self, words: Words) -> str:
        """Words as a line of text, objects as their class and number: "Does person0 live here ?"."""
        return " ".join(word if isinstance(word, str) else self._named(word) for word in words)

    def _named(self, numbers: Sequence[int]) -> str:
        return " and ".join(f"{self.objects[number]}{number}" for number in numbers)


@dataclass
class Items:
    """What an annotation file holds; failures are lines that cannot be used."""

    items: list[Item] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def read_vcr(path: Path, root: Path) -> Items:
    """Every line of an annotation file; `root` is the folder that the names of pictures and of metadata begin at.

    A line that cannot be used becomes a failure "FILE:LINE". InputError for a file that is missing or not UTF-8, or a
    root that is no folder. Pictures and metadata are not opened here.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder: name the one that holds the pictures")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    found = Items()
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = _item(line, number, path, root)
            if item.id in lines:
                raise InputError(f"its annot_id {item.id!r} is that of line {lines[item.id]}, too")
        except InputError as error:
            found.failures.append(Failure(f"{path.name}:{number}", str(error)))
            continue
        lines[item.id] = number
        found.items.append(item)
    return found


def _item(line: str, number: int, path: Path, root: Path) -> Item:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"it is not JSON ({error})") from None
    if not isinstance(row, dict):
        raise InputError(f"it is a {type(row).__name__}, expected a JSON object")
    objects = _get(row, "objects", list)
    if not all(isinstance(name, str) for name in objects):
        raise InputError(f"objects is {objects}, expected a list of class names")
    answers, rationales = (
        [_words(words, name, len(objects)) for words in _get(row, name, list, missing=[])]
        for name in ("answer_choices", "rationale_choices")
    )
    return Item(
        id=str(row.get("annot_id", f"{path.name}:{number}")),
        line=number,
        image=root / _get(row, "img_fn", str),
        metadata=root / _get(row, "metadata_fn", str),
        objects=objects,
        question=_words(_get(row, "question", list), "question", len(objects)),
        answers=answers,
        rationales=rationales,
        label=_label(row, "answer_label", len(answers)),
        rationale_label=_label(row, "rationale_label", len(rationales)),
        digest=hashlib.sha256(line.encode()).hexdigest()[:16],
    )


def _get(row: dict[str, Any], name: str, kind: type, missing: Any = None) -> Any:
    value = row.get(name, missing)
    if not isinstance(value, kind):
        what = "it has none" if value is None else f"it is {json.dumps(value)[:40]}"
        raise InputError(f"{name} must be a {'text' if kind is str else 'list'}, {what}")
    return value


def _words(words: Any, name: str, objects: int) -> Words:
    """Checked; an object outside the list is an error here and not in the middle of a run."""
    if not isinstance(words, list):
        raise InputError(f"{name} has {json.dumps(words)[:40]}, expected a list of words")
    for word in words:
        if isinstance(word, str):
            continue
        numbers = word if isinstance(word, list) else [None]
        for number in numbers:
            if type(number) is not int or not 0 <= number < objects:
                raise InputError(
                    f"{name} has {json.dumps(word)[:40]}, expected a word or numbers of the {objects} objects"
                )
    return words


def _label(row: dict[str, Any], name: str, count: int) -> int | None:
    label = row.get(name)
    if label is None:
        return None
    if type(label) is not int or not 0 <= label < count:  # true is an int, too
        raise InputError(f"{name} is {json.dumps(label)}, expected the number of one of {count} choices")
    return label
