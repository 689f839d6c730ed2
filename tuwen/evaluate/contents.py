"""A short name of what a dataset holds: results of two datasets with the same name can be told apart, and kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.checkpoint import replacing
from tuwen.data.dataset import Dataset
from tuwen.data.formats import FORMATS
from tuwen.errors import InputError

KNOWN = "contents.json"  # in the folder of the cache: state of a dataset's files -> what its pictures are called
DIGITS = 16


def of_texts(dataset: Dataset) -> str:
    """16 hex digits of the texts and their ids, in their order."""
    return _digest(part.encode() for text in dataset.texts for part in (text.id, text.text))


def of_pictures(dataset: Dataset, cache: Path | None = None) -> str:
    """16 hex digits of the pictures' ids and contents, in their order.

    Files of their own count by size and time of change, as in `tuwen embed`. Pictures inside other files are read; with
    a cache only once, as long as those files keep size and time, if a reader of ours has opened them.
    """
    ids = list(dataset.pictures)
    if not ids or isinstance(_picture(dataset, ids[0]), str | os.PathLike):
        return _digest(_marks(dataset, ids))
    if cache is None or dataset.format not in FORMATS:
        return _digest(_marks(dataset, ids))
    known = _known(cache)
    state = _digest(_files(dataset, ids))
    if state not in known:
        known[state] = _digest(_marks(dataset, ids))
        cache.mkdir(parents=True, exist_ok=True)
        with replacing(cache / KNOWN) as temporary:
            temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return known[state]


def _digest(parts: Iterable[bytes]) -> str:
    whole = hashlib.blake2b(digest_size=DIGITS // 2)
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.hexdigest()


def _picture(dataset: Dataset, image_id: str) -> Any:
    try:
        return dataset.pictures[image_id]
    except InputError as error:
        return str(error).encode()


def _marks(dataset: Dataset, ids: Iterable[str]) -> Iterator[bytes]:
    for image_id in ids:
        yield image_id.encode()
        picture = _picture(dataset, image_id)
        if isinstance(picture, str | os.PathLike):
            yield _state(Path(picture))
        elif isinstance(picture, bytes | bytearray | memoryview):
            yield bytes(picture)
        else:
            yield np.ascontiguousarray(np.asarray(picture)).tobytes()


def _files(dataset: Dataset, ids: list[str]) -> Iterator[bytes]:
    """The state of the files that the dataset lies in, which stands for what is in them."""
    yield f"{dataset.format} {dataset.split}".encode()
    yield from (image_id.encode() for image_id in ids)
    # A file stands for those beside it that belong to it, e.g. the pictures of a file of texts.
    path = dataset.path
    found = path.rglob("*") if path.is_dir() else [*path.parent.glob("*"), *(path.parent / "lmdb").rglob("*")]
    for file in sorted(found):
        # A lock file changes whenever its database is opened.
        if file.is_file() and file.name != "lock.mdb":
            yield str(file.resolve()).encode()
            yield _state(file)


def _state(path: Path) -> bytes:
    try:
        status = path.stat()
    except OSError as error:
        return str(error.strerror).encode()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _known(cache: Path) -> dict[str, str]:
    try:
        found = json.loads((cache / KNOWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
