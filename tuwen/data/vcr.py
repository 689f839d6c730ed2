"""Items of visual commonsense reasoning as their authors publish them: JSON lines beside a folder of pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tuwen.data.dataset import CHOICES, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.grouped import PictureFiles, Tree, first_folder
from tuwen.data.lines import first_object, open_lines
from tuwen.data.options import DEFAULT, Options
from tuwen.errors import InputError

NAME = "vcr"
TITLE = "VCR: {train,val,test}.jsonl beside vcr1images"
KINDS = (CHOICES,)

SPLITS = ("train", "val", "test")
IMAGES = "vcr1images"

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


def looks_like(path: Path) -> bool:
    """A folder with train.jsonl, val.jsonl or test.jsonl of such lines, or such a file."""
    files = [path] if path.is_file() else [path / f"{split}.jsonl" for split in splits(path)]
    return any({"answer_choices", "img_fn", "metadata_fn"} <= first_object(file).keys() for file in files[:1])


def splits(path: Path) -> list[str]:
    """Those of a folder."""
    return [split for split in SPLITS if (path / f"{split}.jsonl").is_file()] if path.is_dir() else []


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """The questions as texts, objects in them as their class and number; columns: question, answers, reasons as words,
    label and reason_label, None where the split has none, objects, and boxes, those of the picture's metadata file.

    The id of a picture is its img_fn. Pictures begin at vcr1images beside the file, or at options.pictures; lines whose
    picture or metadata file is not there are failures. Boxes are read with their text; where that fails the column
    `problem` says why.
    """
    file = path / f"{split}.jsonl" if path.is_dir() else path
    candidates = [options.pictures] if options.pictures else [file.parent / IMAGES, file.parent.parent / IMAGES]
    tree = Tree(first_folder(candidates, "the pictures of VCR"))
    pictures = PictureFiles([tree.root])
    dataset = Dataset(NAME, path, CHOICES, pictures, [], split or file.stem)
    ids: set[str] = set()

    def accept(text: Text) -> None:
        if text.id in ids:
            raise InputError(f"its annot_id {text.id!r} came before")
        (image,) = text.image_ids
        for name in (image, text.columns["metadata"]):
            if name not in tree:
                raise InputError(f"its file {name} is not in {tree.root}")
        ids.add(text.id)
        pictures.add(image, image, 0)

    first, later = (partial(_text, file, tree.root, with_boxes) for with_boxes in (False, True))
    dataset.texts = open_lines(file, first, dataset.failures, accept, later)
    return dataset


def _text(file: Path, root: Path, with_boxes: bool, number: int, line: bytes) -> Text:
    item = _item(line.decode("utf-8-sig", "replace"), number, file, root)
    columns: dict[str, Any] = {
        "question": item.question,
        "answers": item.answers,
        "reasons": item.rationales,
        "label": item.label,
        "reason_label": item.rationale_label,
        "objects": item.objects,
        "metadata": _below(item.metadata, root),
    }
    if with_boxes:
        try:
            columns["boxes"] = item.boxes()
        except InputError as error:  # the other texts can be read all the same
            columns["problem"] = str(error)
    return Text(item.id, item.said(item.question), (_below(item.image, root),), f"{file.name}:{number}", columns)


def _below(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        raise InputError(f"its file {path} is not below {root}") from None


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
