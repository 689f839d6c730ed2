"""Datasets as something to embed: their pictures and texts listed, and a picture inside one found again by its name."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tuwen.data import formats
from tuwen.data.dataset import PAIRS, Dataset
from tuwen.data.folder import Failure, Found, PictureFile, TextLine
from tuwen.data.options import Options
from tuwen.errors import InputError

if TYPE_CHECKING:
    from tuwen.types import Picture

# PATH#FORMAT:SPLIT/ID
_SOURCE = re.compile(rf"(.+?)#({'|'.join(formats.FORMATS)}):([^/]*)/(.+)", re.DOTALL)
FOLDERS = ("folder", "class-folders", "ernie-tsv", "brivl")  # that `folder.find` and the readers of rows take


def format_of(path: Path) -> str:
    """The format of a dataset of pairs that is more than a folder of pictures, "" where it is none."""
    try:
        name = formats.recognise(path)
    except InputError:
        return ""
    if name == "folder" and path.is_dir():
        module = formats.module(name)
        roots = [path, *(path / split for split in module.splits(path))]
        return name if any(module.table_of(root) is not None for root in roots) else ""
    one = formats.module(name)
    return name if name not in FOLDERS and PAIRS in one.KINDS and one.looks_like(path) else ""


def list_dataset(path: Path, name: str, split: str, pictures: Path | None) -> Found:
    """Everything to embed in one split. InputError where its texts are no captions, or where there are several splits
    and none is named."""
    dataset = formats.open_dataset(path, split, name, Options(pictures=pictures))
    if dataset.kind != PAIRS:
        raise InputError(
            f"{path} holds {dataset.kind}: pictures with captions can be embedded, or a folder of pictures"
        )
    found = Found(path.resolve(), failures=list(dataset.failures))
    _list_pictures(dataset, found)
    for number, text in enumerate(dataset.texts, 1):
        file, _, line = text.place.rpartition(":")
        source = path / file if file and path.is_dir() and (path / file).is_file() else path
        image = next(iter(text.image_ids), "")
        if image:
            found.origins.setdefault(image, text.place)
        row = int(line) if line.isdecimal() else number
        found.texts.append(TextLine(text.id, text.text, str(source.resolve()), row, image))
    return found


def _list_pictures(dataset: Dataset, found: Found) -> None:
    """Those that are files by their paths; those inside by the dataset's, its age standing for theirs."""
    prefix = f"{dataset.path.resolve()}#{dataset.format}:{dataset.split}/"
    first = next(iter(dataset.pictures), None)
    age = _age(dataset.path) if first is not None and isinstance(dataset.pictures[first], bytes) else None
    for id in dataset.pictures:
        said = dataset.picture_columns.get(id, {}).get("boxes")
        boxes = None if said is None else json.dumps(said)
        try:
            picture = None if age is not None else dataset.pictures[id]
            if isinstance(picture, str | Path):
                status = Path(picture).stat()
                source = str(Path(picture).resolve())
                found.pictures.append(PictureFile(id, source, status.st_size, status.st_mtime_ns, boxes))
            else:
                found.pictures.append(PictureFile(id, prefix + id, 0, age or _age(dataset.path), boxes))
        except (OSError, InputError) as error:
            found.failures.append(Failure(id, str(error)))


def _age(path: Path) -> int:
    """When the newest file of a dataset was written, in nanoseconds."""
    if not path.is_dir():
        return path.stat().st_mtime_ns if path.exists() else 0
    files = (Path(where) / name for where, _, names in os.walk(path) for name in names if name != "lock.mdb")
    return max((file.stat().st_mtime_ns for file in files), default=0)


def is_within(source: str) -> bool:
    """Whether a source is that of a picture inside a dataset."""
    return _SOURCE.fullmatch(source) is not None


def picture_within(source: str) -> Picture:
    """The picture; InputError where the dataset or the picture is not there any more."""
    named = _SOURCE.fullmatch(source)
    if named is None:
        raise InputError(f"{source} names no picture inside a dataset")
    path, name, split, id = named.groups()
    try:
        return _opened(
            path, name, split, _age(Path(path).parent if "*" in path or "{" in path else Path(path))
        ).pictures[id]
    except KeyError:
        raise InputError(f"{path} has no picture {id} any more: embed it again") from None


@lru_cache(maxsize=4)
def _opened(path: str, name: str, split: str, age: int) -> Dataset:
    del age  # a dataset that was written anew is opened anew
    known = formats.splits(Path(path), name)
    return formats.open_dataset(Path(path), split if known else "", name)
