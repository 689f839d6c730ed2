"""Visual Genome as it is downloaded: its described regions, or its questions, beside the two folders of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tuwen.data.dataset import PAIRS, QUESTIONS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.grouped import Counts, first_folder
from tuwen.data.json_items import Item, items
from tuwen.data.options import DEFAULT, Options
from tuwen.data.picture_items import PictureItems
from tuwen.errors import InputError

NAME = "visual-genome"
TITLE = "Visual Genome: region_descriptions.json, question_answers.json, images/VG_100K and VG_100K_2"
KINDS = (PAIRS, QUESTIONS)

REGIONS, ASKED = "regions", "questions"  # our names of what is usually one split
FILES = {REGIONS: "region_descriptions.json", ASKED: "question_answers.json"}
LISTS = {REGIONS: "regions", ASKED: "qas"}
NEEDED = {REGIONS: ("phrase", "width", "height", "x", "y"), ASKED: ("qa_id", "question", "answer")}
TEXTS = {"phrase", "question", "answer"}
FOLDERS = ("VG_100K", "VG_100K_2")


def looks_like(path: Path) -> bool:
    """A folder with one of the files, or with annotations/ that has one."""
    return bool(splits(path))


def splits(path: Path) -> list[str]:
    """regions, questions: those whose file is there."""
    return [name for name in FILES if path.is_dir() and file_of(path, name).is_file()]


def share_pictures(one: str, other: str) -> bool:
    """Regions and questions are of the same pictures."""
    return {one, other} <= FILES.keys()


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """All regions with their phrases, or all questions; the id of a picture is its number.

    Columns of a region: width, height, x, y; of a question: answers, with the one answer there is, and answer. A
    picture that is not there, or of which a region lacks something, is a failure.
    """
    return read(path, split, options)[0]


def read(path: Path, split: str, options: Options = DEFAULT) -> tuple[Dataset, Counts]:
    """The same, and how many pictures there are."""
    if split not in FILES:
        raise InputError(f"Visual Genome has no {split!r} here: name {' or '.join(FILES)}")
    file = file_of(path, split)
    dataset = Dataset(NAME, path, PAIRS if split == REGIONS else QUESTIONS, {}, [], split)
    listed = PictureItems(file, picture_folders(path, options), dataset.failures)
    for item, found in rows(file, split, dataset.failures):
        image = str(found[0]["image_id"])
        listed.add(item, image, f"{image}.jpg", len(found))
    return dataset, listed.into(dataset, partial(_texts, file.name, split))


def rows(file: Path, split: str, failures: list[Failure]) -> Iterator[tuple[Item, list[dict[str, Any]]]]:
    """What is said of each picture of which anything is said; failures name the rest."""
    for item in items(file):
        try:
            found = item.value[LISTS[split]]
            for row in found:
                _check(row, split, found[0])
        except (KeyError, TypeError):
            failures.append(Failure(f"{file.name}[{item.number}]", f"it has no list of {LISTS[split]}"))
        except InputError as error:
            failures.append(Failure(f"{file.name}[{item.number}]", str(error)))
        else:
            if found:
                yield item, found


def file_of(path: Path, split: str) -> Path:
    """Where the regions or questions are, or should be."""
    name = FILES[split]
    return path / name if (path / name).exists() else path / "annotations" / name


def picture_folders(path: Path, options: Options = DEFAULT) -> list[Path]:
    """VG_100K and VG_100K_2, where they are; InputError where there is neither."""
    roots = [options.pictures] if options.pictures else [path / "images", path]
    for root in roots:
        there = [root / name for name in FOLDERS if (root / name).is_dir()]
        if there:
            return there
    return [first_folder([options.pictures or path / "images" / FOLDERS[0]], "the pictures of Visual Genome")]


def _check(row: Any, split: str, first: Any) -> None:
    for name in ("image_id", *NEEDED[split]):
        value = row.get(name)
        if not isinstance(value, str if name in TEXTS else int) or isinstance(value, bool):
            raise InputError(f"one of its {LISTS[split]} has no {name}")
    if row["image_id"] != first["image_id"]:
        raise InputError(f"its {LISTS[split]} are of several pictures, {first['image_id']} and {row['image_id']}")


def _texts(file: str, split: str, item: Any) -> list[Text]:
    texts = []
    for number, row in enumerate(item[LISTS[split]]):
        image = str(row["image_id"])
        place = f"{file}:image {image}"
        if split == ASKED:
            columns = {"answers": [row["answer"]], "answer": row["answer"]}
            texts.append(Text(str(row["qa_id"]), row["question"], (image,), place, columns))
        else:
            columns = {name: row[name] for name in NEEDED[REGIONS][1:]}
            texts.append(Text(str(row.get("region_id", f"{image}#{number}")), row["phrase"], (image,), place, columns))
    return texts
