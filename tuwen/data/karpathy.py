"""Karpathy's splits of COCO and Flickr30K: a JSON file of all captions beside the folders of pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.grouped import Counts, first_folder
from tuwen.data.json_items import items
from tuwen.data.options import DEFAULT, Options
from tuwen.data.picture_items import PictureItems
from tuwen.errors import InputError

NAME = "karpathy"
TITLE = "Karpathy's dataset_coco.json or dataset_flickr30k.json beside the folders of pictures"
KINDS = (PAIRS,)

KEY = "images"
COCO, FLICKR = "dataset_coco.json", "dataset_flickr30k.json"
BOTH = "train+restval"  # what models are mostly trained on
SPLITS = {COCO: ["train", "restval", "val", "test", BOTH], FLICKR: ["train", "val", "test"]}
FOLDERS = {COCO: ("train2014", "val2014"), FLICKR: ("flickr30k-images", "flickr30k_images", "images")}


def looks_like(path: Path) -> bool:
    """One of the two files, or a folder with one of them, or with karpathy/ that has one."""
    return len(files_at(path)) == 1


def splits(path: Path) -> list[str]:
    """Those of the published files."""
    files = files_at(path)
    return SPLITS[files[0].name] if files else []


def share_pictures(one: str, other: str) -> bool:
    """Whether a split is part of another."""
    return bool(set(one.split("+")) & set(other.split("+")))


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """The captions of a split, or of all without one; the id of a picture is the name of its file.

    The id of a caption is its sentid, or "FILE#0". Pictures that are not there are failures.
    """
    return read(path, split, options)[0]


def read(path: Path, split: str = "", options: Options = DEFAULT) -> tuple[Dataset, Counts]:
    """The same, and how many pictures there are."""
    files = files_at(path)
    if len(files) != 1:
        what = f"has both: name one of {COCO}, {FLICKR}" if files else f"is no {COCO} or {FLICKR}, and has none"
        raise InputError(f"{path} {what}")
    dataset = Dataset(NAME, path, PAIRS, {}, [], split)
    found = PictureItems(files[0], picture_folders(files[0], options), dataset.failures, KEY)
    wanted = set(split.split("+")) if split else None
    for item in items(files[0], KEY):
        try:
            name, captions = _entry(item.value, wanted)
        except InputError as error:
            found.fail(item, str(error))
            continue
        if captions is not None:
            found.add(item, name, name, len(captions))
    return dataset, found.into(dataset, partial(_captions, files[0].name))


def picture_folders(file: Path, options: Options = DEFAULT) -> list[Path]:
    """Where the pictures of a file are: in or below options.pictures, else below the folders around the file.

    InputError where there are none.
    """
    roots = [options.pictures] if options.pictures else [file.parent, file.parent.parent]
    named = [root / name for root in roots for name in FOLDERS[file.name]]
    there = [folder for folder in named if folder.is_dir()]
    if file.name == COCO and there:
        return there  # both
    return [first_folder([*named, *([options.pictures] if options.pictures else [])], f"the pictures of {file.name}")]


def files_at(path: Path) -> list[Path]:
    """Every file of the two names: the path itself, or in the folder or its karpathy/."""
    if path.is_file():
        return [path] if path.name in SPLITS else []
    return [folder / name for folder in (path, path / "karpathy") for name in SPLITS if (folder / name).is_file()]


def _entry(row: Any, wanted: set[str] | None) -> tuple[str, list[str] | None]:
    """(file, captions) of a picture, None for captions of another split."""
    if not isinstance(row, dict):
        raise InputError(f"it is a {type(row).__name__}, expected an object")
    for key in ("filename", "split"):
        if not isinstance(row.get(key), str) or not row[key]:
            raise InputError(f"it has no {key}")
    if wanted is not None and row["split"] not in wanted:
        return row["filename"], None
    try:
        captions = [sentence["raw"] for sentence in row["sentences"]]
    except (KeyError, TypeError):
        captions = []
    if not captions or not all(isinstance(caption, str) for caption in captions):
        raise InputError(f"{row['filename']} has no sentences with a raw text")
    return row["filename"], captions


def _captions(file: str, row: Any) -> list[Text]:
    name = row["filename"]
    return [
        Text(str(sentence.get("sentid", f"{name}#{number}")), sentence["raw"], (name,), f"{file}:{name}")
        for number, sentence in enumerate(row["sentences"])
    ]
