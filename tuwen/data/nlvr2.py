"""NLVR2 as it is published: JSON lines of statements about two pictures each, beside the folders of pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tuwen.data.dataset import STATEMENTS, Dataset, Text
from tuwen.data.grouped import PictureFiles, Tree, first_folder
from tuwen.data.lines import first_object, object_of, open_lines, text_of
from tuwen.data.options import DEFAULT, Options
from tuwen.errors import InputError

NAME = "nlvr2"
TITLE = "NLVR2: data/{train,dev,test1}.json with balanced/ and unbalanced/, and the folders of pictures"
KINDS = (STATEMENTS,)

FILES = {
    "train": "train.json",
    "dev": "dev.json",
    "test1": "test1.json",
    **{
        f"{part}_{split}": f"{part}/{part}_{split}.json"
        for part in ("balanced", "unbalanced")
        for split in ("dev", "test1")
    },
}
SPLITS = tuple(FILES)
FOLDERS = ("nlvr2/data", "data", "")  # where the files are below what is named


def looks_like(path: Path) -> bool:
    """A folder with one of the files in it, in data/ or in nlvr2/data/, or such a file."""
    files = [path] if path.is_file() else [file for split in SPLITS if (file := _file(path, split)) is not None]
    return any({"identifier", "sentence"} <= first_object(file).keys() for file in files[:1])


def splits(path: Path) -> list[str]:
    """Those of a folder."""
    return [split for split in SPLITS if _file(path, split) is not None] if path.is_dir() else []


def share_pictures(one: str, other: str) -> bool:
    """Whether both are parts of dev, or of test1."""
    return one.rpartition("_")[2] == other.rpartition("_")[2]


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """The sentences as texts, each with its two pictures; columns: label, and identifier, that of the pictures.

    Pictures are "IDENTIFIER-img0" and "-img1", of train in images/train/DIRECTORY, else in a folder named as the first
    part of the identifier. Sentences without both pictures are failures.
    """
    file = _file(path, split) if path.is_dir() else path
    if file is None:
        raise InputError(f"{path} has no {FILES.get(split, f'file of {split!r}')}")
    tree = Tree(_root(path, file, split or file.stem, options))
    pictures = PictureFiles([tree.root])
    dataset = Dataset(NAME, path, STATEMENTS, pictures, [], split or file.stem)
    ids: set[str] = set()

    def accept(text: Text) -> None:
        if text.id in ids:
            raise InputError(f"its identifier {text.id} came before")
        names = [f"{_folder(text)}/{id}.png" for id in text.image_ids]
        for name in names:
            if name not in tree:
                raise InputError(f"its picture {name} is not in {tree.root}")
        for id, name in zip(text.image_ids, names, strict=True):
            pictures.add(id, name, 0)
        ids.add(text.id)

    dataset.texts = open_lines(file, partial(parse, file.name), dataset.failures, accept)
    return dataset


def parse(file: str, number: int, line: bytes) -> Text:
    """The text of a line; InputError says what is wrong with it."""
    row = object_of(number, line)
    id = text_of(row, "identifier")
    pair, dash, _ = id.rpartition("-")
    if not dash:
        raise InputError(f"its identifier is {id!r}, expected a name such as dev-3-0-1")
    label = row.get("label")
    if label not in (None, "True", "False", True, False):
        raise InputError(f"its label is {label!r}, expected True or False")
    columns = {"label": None if label is None else str(label) == "True", "identifier": pair}
    if "directory" in row:
        columns["directory"] = str(row["directory"])
    return Text(id, text_of(row, "sentence"), (f"{pair}-img0", f"{pair}-img1"), f"{file}:{number}", columns)


def _folder(text: Text) -> str:
    """Where the pictures of a sentence are."""
    split = text.columns["identifier"].partition("-")[0]
    if split != "train":
        return str(split)
    if "directory" not in text.columns:
        raise InputError("it has no directory, which sentences of train need")
    return f"images/train/{text.columns['directory']}"


def _file(path: Path, split: str) -> Path | None:
    if split not in FILES:
        return None
    found = (path / folder / FILES[split] for folder in FOLDERS)
    return next((file for file in found if file.is_file()), None)


def _root(path: Path, file: Path, split: str, options: Options) -> Path:
    """The folder that holds dev, test1, or images/train: the one that is named, or one around the file."""
    wanted = "images/train" if split == "train" else split.rpartition("_")[2]
    roots = [options.pictures] if options.pictures else [*([path] if path.is_dir() else []), *list(file.parents)[:4]]
    folder = first_folder([root / wanted for root in roots], f"the pictures of {split}")
    return folder.parent.parent if split == "train" else folder.parent
