"""VQA v2 as it is downloaded: files of questions and of annotations beside the folders of COCO's pictures."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tuwen.data.dataset import QUESTIONS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.grouped import Counts, Folders, Grouped, PictureFiles, first_folder
from tuwen.data.json_items import items, items_at
from tuwen.data.options import DEFAULT, Options
from tuwen.errors import InputError

NAME = "vqav2"
TITLE = "VQA v2: v2_OpenEnded_mscoco_*_questions.json, v2_mscoco_*_annotations.json and COCO's folders of pictures"
KINDS = (QUESTIONS,)

YEARS = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test-dev2015"}
PICTURES = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test2015"}
# val in two, as METER's line of models divides it: the last pictures are for validation, the others are trained on.
HALVES = ("trainable_val", "rest_val")
REST = 1000
SPLITS = ("train", "val", "test-dev", "test", *HALVES)
ANSWERED = ("train", "val")


def looks_like(path: Path) -> bool:
    """A folder with one of the files of questions, or with vqav2/ that has one, or such a file."""
    if path.is_file():
        return any(path in (questions_file(path, split), annotations_file(path, split)) for split in YEARS)
    return any(questions_file(path, split).is_file() for split in YEARS)


def splits(path: Path) -> list[str]:
    """Those whose questions are there; val has two parts, trainable_val and rest_val, its last 1000 pictures."""
    return [split for split in SPLITS if questions_file(path, _whole(split)).is_file()]


def share_pictures(one: str, other: str) -> bool:
    """Whether a split is part of another."""
    both = {one, other}
    return both == {"test", "test-dev"} or ("val" in both and bool(both & set(HALVES)))


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """The questions of a split, in the order of its pictures' first questions.

    Columns: answers, those of the ten people; answer, the most frequent one; question_type, answer_type; none of them
    where a test split has no annotations. Pictures are found by the number at the end of their names; those that are
    not there are failures, each with its questions. Where train or val have no file of annotations, a note says so.
    """
    return read(path, split, options)[0]


def read(path: Path, split: str, options: Options = DEFAULT) -> tuple[Dataset, Counts]:
    """The same, and how many pictures there are."""
    found = _found(path, split, options)
    return found.dataset, found.counts


def without_pictures(path: Path, split: str, options: Options = DEFAULT) -> Sequence[Text]:
    """The questions of a split about pictures that are not there."""
    return _found(path, split, options).absent


def _found(path: Path, split: str, options: Options) -> _Questions:
    if split not in SPLITS:
        raise InputError(f"VQA v2 has no split {split!r}: it has {', '.join(SPLITS)}")
    whole = _whole(split)
    file = questions_file(path, whole)
    folder = picture_folder(path, whole, options)
    folders = Folders([folder])
    dataset = Dataset(NAME, path, QUESTIONS, PictureFiles(folders.folders), [], split)
    annotations = annotations_file(path, whole)
    found = _Questions(file, dataset)
    if annotations.is_file():
        found.annotate(annotations)
    elif whole in ANSWERED:
        dataset.notes.append(f"{annotations.name} is not there: the questions have no answers")
    found.place(folders, {"trainable_val": slice(None, -REST), "rest_val": slice(-REST, None)}.get(split, slice(None)))
    return found


def questions_file(path: Path, split: str) -> Path:
    """Where the questions of train, val, test or test-dev are, or should be."""
    return _beside(path, f"v2_OpenEnded_mscoco_{YEARS[split]}_questions.json")


def annotations_file(path: Path, split: str) -> Path:
    """The same of the annotations, which test and test-dev have only for those who hold them."""
    return _beside(path, f"v2_mscoco_{YEARS[split]}_annotations.json")


def picture_folder(path: Path, split: str, options: Options = DEFAULT) -> Path:
    """The folder of the pictures of a split; InputError where it is not there."""
    name = PICTURES[split]
    roots = [options.pictures] if options.pictures else [path, path.parent, path.parent.parent]
    candidates = [root / name for root in roots] + ([options.pictures] if options.pictures else [])
    return first_folder(candidates, f"the pictures of {split}")


def majority_answers(path: Path) -> Iterator[str]:
    """The most frequent answer of every question, of train and then of val, in the order of the annotations.

    Of these the numbers of the answers are made: see `answers.vocabulary`.
    """
    for split in ANSWERED:
        file = annotations_file(path, split)
        for item in items(file, "annotations"):
            try:
                answer = item.value["multiple_choice_answer"]
            except (KeyError, TypeError):
                raise InputError(f"{file.name}:annotations[{item.number}] has no multiple_choice_answer") from None
            yield str(answer)


def _whole(split: str) -> str:
    return "val" if split in HALVES else split


def _beside(path: Path, name: str) -> Path:
    if path.is_file():
        return path if path.name == name else path.with_name(name)
    return path / name if (path / name).exists() or not (path / "vqav2").is_dir() else path / "vqav2" / name


class _Questions:
    """Where the questions of a file and their annotations lie, on the way into a dataset."""

    def __init__(self, file: Path, dataset: Dataset) -> None:
        self.file, self.dataset = file, dataset
        self.annotations: Path | None = None
        self.counts = Counts(0, 0, 0)
        self.absent: Sequence[Text] = ()  # about pictures that are not there
        self.numbers: dict[int, int] = {}  # id of a question -> its number
        self.images = array("q")
        self.offsets, self.lengths = array("q"), array("q")
        for item in items(file, "questions"):
            try:
                id, image = _whole_number(item.value, "question_id"), _whole_number(item.value, "image_id")
                if not isinstance(item.value.get("question"), str):
                    raise InputError("it has no question")
                if id in self.numbers:
                    raise InputError(f"its question_id {id} came before")
            except InputError as error:
                dataset.failures.append(Failure(f"{file.name}:questions[{item.number}]", str(error)))
                continue
            self.numbers[id] = len(self.images)
            self.images.append(image)
            self.offsets.append(item.offset)
            self.lengths.append(item.length)
        self.places = array("q", [-1]) * len(self.images)  # of the annotation of each question
        self.sizes = array("q", [0]) * len(self.images)

    def annotate(self, file: Path) -> None:
        self.annotations = file
        for item in items(file, "annotations"):
            try:
                id = _whole_number(item.value, "question_id")
                if id not in self.numbers:
                    raise InputError(f"its question_id {id} is not in {self.file.name}")
                _answers(item.value)
                number = self.numbers[id]
                if self.places[number] >= 0:
                    raise InputError(f"its question_id {id} came before")
            except InputError as error:
                self.dataset.failures.append(Failure(f"{file.name}:annotations[{item.number}]", str(error)))
                continue
            self.places[number], self.sizes[number] = item.offset, item.length
        for question, place in self.numbers.items():
            if self.places[place] < 0:
                reason = f"{file.name} has no answers to it"
                self.dataset.failures.append(Failure(f"{self.file.name}:question {question}", reason))

    def place(self, folders: Folders, part: slice) -> None:
        """Group the questions by picture, and keep those of a part of the pictures that are there."""
        of: dict[int, array[int]] = {}
        for number, image in enumerate(self.images):
            if self.annotations is None or self.places[number] >= 0:
                of.setdefault(image, array("q")).append(number)
        names = {of_name: name for name in folders if (of_name := _number_of(name)) is not None}
        pictures = self.dataset.pictures
        assert isinstance(pictures, PictureFiles)
        groups: list[array[int]] = []
        absent: list[array[int]] = []
        wanted = list(of.items())[part]
        for image, questions in wanted:
            if image not in names:
                reason = f"it is not in {folders.said()}: {len(questions)} questions about it are left out"
                self.dataset.failures.append(Failure(f"{self.file.name}:image {image}", reason))
                absent.append(questions)
                continue
            pictures.add(str(image), names[image], 0)
            groups.append(questions)
        self.dataset.texts, self.absent = self._grouped(groups), self._grouped(absent)
        self.counts = Counts(len(names), len(wanted), len(groups))

    def _grouped(self, groups: Sequence[array[int]]) -> Grouped:
        places = [self.offsets, self.lengths, self.places, self.sizes]
        return Grouped([len(group) for group in groups], partial(_texts, self.file, self.annotations, places, groups))


def _texts(
    file: Path, annotations: Path | None, where: Sequence[array[int]], groups: Sequence[array[int]], group: int
) -> list[Text]:
    offsets, lengths, places, sizes = where
    rows = items_at(file, [(offsets[number], lengths[number]) for number in groups[group]])
    told: list[dict[str, Any]] = [{} for _ in rows]
    if annotations is not None:
        told = [
            {"answers": _answers(row), "answer": str(row["multiple_choice_answer"])}
            | {name: row[name] for name in ("question_type", "answer_type") if name in row}
            for row in items_at(annotations, [(places[number], sizes[number]) for number in groups[group]])
        ]
    return [
        Text(
            id := str(row["question_id"]),
            row["question"],
            (str(row["image_id"]),),
            f"{file.name}:question {id}",
            columns,
        )
        for row, columns in zip(rows, told, strict=True)
    ]


def _whole_number(row: Any, name: str) -> int:
    if not isinstance(row, dict):
        raise InputError(f"it is a {type(row).__name__}, expected an object")
    value = row.get(name)
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if type(value) is not int:
        raise InputError(f"its {name} is {value!r}, expected a whole number"[:200])
    return value


def _answers(row: Any) -> list[str]:
    try:
        answers = [answer["answer"] for answer in row["answers"]]
    except (KeyError, TypeError):
        answers = [None]
    if "multiple_choice_answer" not in row or not all(isinstance(answer, str) for answer in answers):
        raise InputError("it has no list of answers with a text each, or no multiple_choice_answer")
    return answers


def _number_of(name: str) -> int | None:
    """The number of a picture: what stands between the last underscore and the ending of its name."""
    stem, dot, ending = name.rpartition(".")
    number = stem.rpartition("_")[2]
    return int(number) if dot and ending == "jpg" and number.isdecimal() else None
