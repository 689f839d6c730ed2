"""Pictures in a folder per class, as ELEVATER and torchvision have them, with the names of the classes in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.data.dataset import CLASSES, Dataset, Text
from tuwen.data.folder import PICTURES, Failure
from tuwen.data.options import DEFAULT, Options
from tuwen.data.text_files import read_text
from tuwen.errors import InputError

if TYPE_CHECKING:
    from tuwen.types import Picture

NAME = "class-folders"
TITLE = "a folder of pictures per class, names of the classes in label_cn.txt or label.txt"
KINDS = (CLASSES,)

SPLITS = ("train", "val", "valid", "validation", "dev", "test")
LABELS = {"zh": ("label_cn.txt",), "en": ("label.txt", "labels.txt", "label_en.txt")}  # the first there is counts
INDEX = "index.json"  # ELEVATER's order of pictures, by their numbers in ours
TABLES = ("metadata.jsonl", "metadata.csv")  # make a folder one of pictures and texts, see picture_folder.py
LOOKED_AT = 50  # entries of a folder, where only its form is asked for
ENDINGS = PICTURES | {".pgm"}


def looks_like(path: Path) -> bool:
    """A folder of classes with a file of their names in it or beside it, or splits of such folders."""
    if not path.is_dir():
        return False
    if splits(path):
        return True
    return bool(_label_files(path, path.parent)) and _has_classes(path)


def splits(path: Path) -> list[str]:
    """Folders named as splits are that hold folders of pictures."""
    return [name for name in SPLITS if _has_classes(path / name)] if path.is_dir() else []


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """Every class a text, in the order of the file of names; its id is the name of its folder.

    Without a file the folders' names are those of the classes. Columns of a text: `number`, and `zh` and `en`, its
    names where there are files of both; `text` is the Chinese one. Columns of a picture: `row`, its place in ELEVATER's
    predictions, where an index.json says so. Pictures stand in the order of their folders and names.

    options.original: the class of a folder is the place of its name among the folders' as text, and every empty line of
    the file of names is a class without a name.

    InputError where there is nothing to read, or folders and names cannot be brought together.
    """
    root = path / split if split else path
    folders = sorted(entry.name for entry in _entries(root) if entry.is_dir())
    if not folders:
        raise InputError(f"{root} holds no folders: expected one per class")
    dataset = Dataset(NAME, path, CLASSES, {}, [], split)
    names = _names(root, path, options)
    numbers = _places(folders, names, root) if options.original else _numbers(folders, names, root, dataset.notes)
    found = {name: list(_pictures(root, name, dataset)) for name in folders}
    _report_strays(root, dataset)
    dataset.texts = _texts(folders, numbers, found, names)
    dataset.pictures = Files(root, [image_id for name in folders for image_id in found[name]])
    if not dataset.pictures:
        raise InputError(f"the {len(folders)} folders of {root} hold no pictures: expected {' '.join(sorted(ENDINGS))}")
    _read_index(root, path, dataset)
    return dataset


class Files(Mapping[str, "Picture"]):
    """Pictures below a folder; the id of each is its path there, with forward slashes."""

    def __init__(self, root: Path, ids: Sequence[str]) -> None:
        self._root = root
        self._ids = dict.fromkeys(ids)

    def __getitem__(self, image_id: str) -> Path:
        if image_id not in self._ids:
            raise KeyError(image_id)
        return self._root / image_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}") from None


def _has_classes(folder: Path) -> bool:
    """Whether the first folders in it hold pictures without texts beside them."""
    if not folder.is_dir() or any((folder / name).is_file() for name in TABLES):
        return False
    inner = [entry for entry in _some(folder) if entry.is_dir()]
    endings = {os.path.splitext(entry.name)[1].lower() for one in inner[:5] for entry in _some(Path(one.path))}  # noqa: PTH122
    return bool(endings & ENDINGS) and ".txt" not in endings


def _some(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return [entry for entry, _ in zip(found, range(LOOKED_AT), strict=False) if not entry.name.startswith(".")]


def _pictures(root: Path, name: str, dataset: Dataset) -> Iterator[str]:
    """Ids of the pictures of a class, searched to the bottom, in the order of torchvision's ImageFolder."""
    others = 0
    for where, _, files in sorted(os.walk(root / name, followlinks=True)):
        below = Path(where).relative_to(root).as_posix()
        for file in sorted(files):
            if os.path.splitext(file)[1].lower() not in ENDINGS:  # noqa: PTH122 - names are plain text here
                others += not file.startswith(".")
                continue
            image_id = f"{below}/{file}"
            try:
                image_id.encode()
            except UnicodeEncodeError:
                readable = os.fsencode(image_id).decode("utf-8", "replace")
                dataset.failures.append(Failure(readable, "its name is not UTF-8: rename it"))
                continue
            yield image_id
    if others:
        dataset.notes.append(f"{others} files in {name} are no pictures and are left out")


def _report_strays(root: Path, dataset: Dataset) -> None:
    for entry in sorted(_entries(root), key=lambda entry: entry.name):
        if not entry.is_dir() and os.path.splitext(entry.name)[1].lower() in ENDINGS:  # noqa: PTH122
            dataset.failures.append(Failure(entry.name, "it lies in no class's folder"))


# -- names ------------------------------------------------------------------------------------------------------------


def _label_files(*folders: Path) -> dict[str, Path]:
    """Language -> its file of names: beside the folders of the classes, or beside their split."""
    found = {}
    for language, names in LABELS.items():
        there = [folder / name for folder in folders for name in names if (folder / name).is_file()]
        if there:
            found[language] = there[0]
    return found


def _names(root: Path, path: Path, options: Options) -> dict[str, tuple[str, list[str]]]:
    """Language -> (name of the file, names of the classes in order); "" for the language of a file that was given."""
    folders = [root, path] if root != path else [root, root.parent]
    files = _label_files(*folders) if options.label_file is None else {"": options.label_file}
    return {language: (file.name, _read_names(file, options.original)) for language, file in files.items()}


def _read_names(path: Path, original: bool) -> list[str]:
    """A name per line; empty lines at the end, each of which gives the original a nameless class, are none."""
    text = read_text(path)
    names = [line.strip() for line in (text.removesuffix("\n") if original else text.rstrip()).split("\n")]
    if "" in names and not original:
        raise InputError(f"{path}, line {names.index('') + 1} is empty: expected the name of a class in every line")
    return names


def _places(folders: list[str], names: Mapping[str, tuple[str, list[str]]], root: Path) -> dict[str, int]:
    """Folder -> number of its class, as the original has it: another one than ours where "10" stands before "2", or
    where a class has no folder.
    """
    if len(folders) > _count(folders, names, root):
        raise _apart(folders, names, root)
    return {folder: place for place, folder in enumerate(folders)}


def _count(folders: list[str], names: Mapping[str, tuple[str, list[str]]], root: Path) -> int:
    """How many classes there are."""
    counts = {file: len(lines) for file, lines in names.values()}
    if len(set(counts.values())) > 1:
        said = " and ".join(f"{count} in {file}" for file, count in counts.items())
        raise InputError(f"the classes of {root} have {said}: expected the same number of names")
    return next(iter(counts.values()), len(folders))


def _apart(folders: list[str], names: Mapping[str, tuple[str, list[str]]], root: Path) -> InputError:
    file, lines = next(iter(names.values()))
    return InputError(f"{root} has {len(folders)} folders and {file} {len(lines)} names: expected one folder per name")


def _numbers(
    folders: list[str], names: Mapping[str, tuple[str, list[str]]], root: Path, notes: list[str]
) -> dict[str, int]:
    """Folder -> number of its class. Whole numbers as names count, from 0 or from 1; other names by their order."""
    by_order = {folder: place for place, folder in enumerate(folders)}
    count = _count(folders, names, root)
    if all(folder.isascii() and folder.isdigit() for folder in folders):
        whole = {folder: int(folder) for folder in folders}
        distinct = len(set(whole.values())) == len(folders)
        start = 1 if distinct and sorted(whole.values()) == list(range(1, count + 1)) else 0
        if distinct and max(whole.values()) - start < count:
            by_number = {folder: number - start for folder, number in whole.items()}
            if by_number != by_order:
                notes.append(
                    "classes are the numbers that folders are named by; the original takes their order as text"
                )
            return by_number
    if count != len(folders):
        raise _apart(folders, names, root)
    return by_order


def _texts(
    folders: list[str],
    numbers: Mapping[str, int],
    found: Mapping[str, list[str]],
    names: Mapping[str, tuple[str, list[str]]],
) -> list[Text]:
    if not names:
        return [Text(name, name, tuple(found[name]), columns={"number": numbers[name]}) for name in folders]
    file, shown = next(iter(names.values()))
    of = {number: folder for folder, number in numbers.items()}
    texts = []
    for number, name in enumerate(shown):
        columns: dict[str, Any] = {language: lines[number] for language, (_, lines) in names.items() if language}
        folder = of.get(number)
        image_ids = tuple(found[folder]) if folder is not None else ()
        texts.append(
            Text(folder or f"class {number}", name, image_ids, f"{file}:{number + 1}", {"number": number} | columns)
        )
    return texts


# -- ELEVATER's order -------------------------------------------------------------------------------------------------


def _read_index(root: Path, path: Path, dataset: Dataset) -> None:
    """What index.json says of the pictures, where there is one and it is about as many."""
    places = [folder / INDEX for folder in (root, path, root.parent) if (folder / INDEX).is_file()]
    if not places:
        return
    try:
        index = json.loads(places[0].read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        dataset.failures.append(Failure(INDEX, f"it cannot be read as JSON: {error}"))
        return
    ids = list(dataset.pictures)
    if not isinstance(index, list) or len(index) != len(ids):
        count = len(index) if isinstance(index, list) else "no list of"
        dataset.notes.append(f"{INDEX} is not of this split: it has {count} numbers, there are {len(ids)} pictures")
    elif not all(type(number) is int for number in index) or sorted(index) != list(range(len(ids))):
        dataset.failures.append(Failure(INDEX, f"it must have each of the numbers 0 to {len(ids) - 1} once"))
    else:
        dataset.picture_columns = {ids[number]: {"row": row} for row, number in enumerate(index)}
