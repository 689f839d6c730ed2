"""Features from files: ours, `tuwen embed`'s, and those that the originals' scripts write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.embedded import MANIFEST, open_embedded
from tuwen.errors import InputError
from tuwen.evaluate.features import Features
from tuwen.evaluate.original import feature_files
from tuwen.evaluate.original.feature_files import FeatureFile, Id
from tuwen.models.brivl.outputs import FILES as BRIVL_FILES
from tuwen.models.ernie_vil2 import outputs as ernie_outputs

Array = np.ndarray[Any, Any]

PAIR_FILE = ".out"  # ERNIE-ViL 2.0's


def is_pairs(path: Path) -> bool:
    """Whether it is a file or folder in which row i of both sides belong together: ERNIE-ViL's, or BriVL's."""
    return (path.is_file() and path.suffix == PAIR_FILE) or all((path / name).is_file() for name in BRIVL_FILES)


def read_pairs(path: Path) -> tuple[FeatureFile, FeatureFile]:
    """(pictures, texts) of such a file or folder; ids are numbers of rows, from 0."""
    if path.is_dir():
        images, texts = (_array(path / name) for name in BRIVL_FILES)
    else:
        images, texts = ernie_outputs.read(path)
    if images.shape != texts.shape:
        raise InputError(f"{path} has pictures of the shape {images.shape} and texts of {texts.shape}: expected pairs")
    rows: list[Id] = list(range(len(images)))
    return FeatureFile("image", rows, images), FeatureFile("text", rows, texts)


def read(path: Path, what: str) -> FeatureFile:
    """Features of pictures (what="image") or texts ("text").

    A .npy has its ids in a .json of the same name, {"ids": [...]}, or they are the numbers of its rows; a .jsonl is
    Chinese-CLIP's; a folder is one of `tuwen embed`. InputError for anything else, or where the file is of the other.
    """
    if path.is_dir():
        return _embedded(path, what)
    if not path.is_file():
        raise InputError(f"there is nothing at {path}: expected features, .npy, .jsonl or a folder of `tuwen embed`")
    if path.suffix == ".jsonl":
        return feature_files.read(path, what)
    if path.suffix != ".npy":
        raise InputError(f"{path} must end in .npy or .jsonl, or be a folder of `tuwen embed`")
    vectors = _array(path)
    beside = path.with_suffix(".json")
    ids: list[Id] = _ids(beside) if beside.is_file() else list(range(len(vectors)))
    if len(ids) != len(vectors):
        raise InputError(f"{beside} has {len(ids)} ids, {path.name} has {len(vectors)} rows")
    return FeatureFile(what, ids, vectors)


def _ids(path: Path) -> list[Id]:
    try:
        ids: list[Id] = json.loads(path.read_text(encoding="utf-8"))["ids"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f'{path} must hold {{"ids": [...]}}, an id for each row of the .npy beside it') from None
    return ids


def _array(path: Path) -> Array:
    try:
        vectors: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a table of vectors: {error}") from None
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise InputError(f"{path} has the shape {vectors.shape} of {vectors.dtype}, expected (N, E) of numbers")
    return vectors


def _embedded(path: Path, what: str) -> FeatureFile:
    if not (path / MANIFEST).is_file():
        raise InputError(f"{path} is no folder of `tuwen embed`: it has no {MANIFEST}")
    embedded = open_embedded(path)
    part: Any = embedded.images if what == "image" else embedded.texts
    if part is None:
        raise InputError(f"{path} holds no {'pictures' if what == 'image' else 'texts'}: embed them, too")
    return FeatureFile(what, [row.id for row in part.rows], part.features)


# -- what belongs together --------------------------------------------------------------------------------------------


def of_dataset(image: FeatureFile, text: FeatureFile, dataset: Dataset) -> tuple[Features, Features]:
    """The rows that a dataset names, in its order; InputError where either side has none of its ids."""
    texts = [one.id for one in dataset.texts]
    return _ordered(image, list(dataset.pictures), dataset), _ordered(text, texts, dataset)


def _ordered(read: FeatureFile, ids: Sequence[str], dataset: Dataset) -> Features:
    row_of = {str(id_): row for row, id_ in enumerate(read.ids)}
    places = [place for place, id_ in enumerate(ids) if id_ in row_of]
    if not places:
        raise InputError(
            f"none of the {len(row_of)} ids of {read.what} features, e.g. {next(iter(row_of), '')!r}, is one of "
            f"{dataset.path}, e.g. {next(iter(ids), '')!r}"
        )
    rows = [row_of[ids[place]] for place in places]
    vectors = read.vectors if rows == list(range(len(read.ids))) else read.vectors[rows]
    return Features([ids[place] for place in places], vectors, np.array(places))


def of_rows(image: FeatureFile, text: FeatureFile, path: Path) -> tuple[Features, Features, Dataset]:
    """Row i of both sides belongs together; InputError where they are not equally many."""
    if len(image.ids) != len(text.ids):
        raise InputError(
            f"{len(image.ids)} pictures and {len(text.ids)} texts do not go together row by row: name the dataset, or "
            "its file of texts"
        )
    texts = [Text(str(id_), "", (str(other),)) for id_, other in zip(text.ids, image.ids, strict=True)]
    dataset = Dataset("features", path, PAIRS, {str(id_): "" for id_ in image.ids}, texts)
    return (*of_dataset(image, text, dataset), dataset)


def annotated(path: Path, image: FeatureFile) -> Dataset:
    """A dataset from Chinese-CLIP's file of texts alone, with the pictures that have features."""
    from tuwen.data.chinese_clip import open_texts

    dataset = Dataset("chinese-clip", path, PAIRS, {str(id_): "" for id_ in image.ids}, [])
    texts, notes = open_texts(path, dataset.failures, None, path.name)
    return replace(dataset, texts=texts, notes=notes)
