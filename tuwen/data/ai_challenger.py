"""AI Challenger's captions of pictures (AIC-ICC): a JSON list of each split beside the folder of its pictures."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.grouped import Counts, first_folder
from tuwen.data.json_items import items
from tuwen.data.options import DEFAULT, Options
from tuwen.data.picture_items import PictureItems
from tuwen.errors import InputError

NAME = "ai-challenger"
TITLE = "AI Challenger's caption_SPLIT_annotations_DATE.json beside caption_SPLIT_images_DATE"
KINDS = (PAIRS,)

FILE = re.compile(r"caption_(\w+)_annotations_\d+\.json")
FOLDER = "ai_challenger_caption_*"  # of a split, as its archive unpacks


def looks_like(path: Path) -> bool:
    """One of the files, or a folder with some, also in folders of their splits."""
    return bool(_files(path))


def splits(path: Path) -> list[str]:
    """Those whose file is there: train, validation."""
    return list(dict.fromkeys(_split(file) for file in _files(path)))


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """The captions of a split; the id of a picture is the name of its file, that of a caption "FILE#0".

    Pictures that are not there are failures.
    """
    return read(path, split, options)[0]


def read(path: Path, split: str = "", options: Options = DEFAULT) -> tuple[Dataset, Counts]:
    """The same, and how many pictures there are."""
    file = _file(path, split)
    dataset = Dataset(NAME, path, PAIRS, {}, [], split or _split(file))
    found = PictureItems(file, [picture_folder(file, options)], dataset.failures)
    for item in items(file):
        try:
            name, captions = _entry(item.value)
        except InputError as error:
            found.fail(item, str(error))
        else:
            found.add(item, name, name, captions)
    return dataset, found.into(dataset, partial(_captions, file.name))


def picture_folder(file: Path, options: Options = DEFAULT) -> Path:
    """Where the pictures of a file are: the folder of its name beside it, or that in options.pictures, or just there.

    InputError where there is none.
    """
    name = file.stem.replace("_annotations_", "_images_")
    places = [options.pictures / name, options.pictures] if options.pictures else [file.parent / name]
    return first_folder(places, f"the pictures of {file.name}")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if FILE.fullmatch(path.name) else []
    folders = [path, *sorted(path.glob(FOLDER))] if path.is_dir() else []
    return [file for folder in folders for file in sorted(folder.glob("caption_*.json")) if FILE.fullmatch(file.name)]


def _split(file: Path) -> str:
    found = FILE.fullmatch(file.name)
    assert found is not None
    return found[1]


def _file(path: Path, split: str) -> Path:
    """InputError unless there is one of that split, or just one."""
    there = [file for file in _files(path) if not split or _split(file) == split]
    if len(there) != 1:
        found = ", ".join(str(file.relative_to(path)) for file in there) or "none"
        wanted = f"caption_{split or 'SPLIT'}_annotations_DATE.json"
        raise InputError(f"{path} has not one {wanted} but {found}" + (": name one of them" if there else ""))
    return there[0]


def _entry(row: Any) -> tuple[str, int]:
    """(file, number of captions) of a picture."""
    if not isinstance(row, dict):
        raise InputError(f"it is a {type(row).__name__}, expected an object")
    name, captions = row.get("image_id"), row.get("caption")
    if not isinstance(name, str) or not name:
        raise InputError("it has no image_id")
    if not isinstance(captions, list) or not captions or not all(isinstance(caption, str) for caption in captions):
        raise InputError(f"{name} has no list of captions")
    return name, len(captions)


def _captions(file: str, row: Any) -> list[Text]:
    name = row["image_id"]
    return [
        Text(f"{name}#{number}", caption, (name,), f"{file}:{name}") for number, caption in enumerate(row["caption"])
    ]
