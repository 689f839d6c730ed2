"""Chinese-CLIP's extract_features.py: features as JSON lines, {"image_id": 100, "feature": [0.01, ...]}."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.checkpoint import replacing
from tuwen.errors import InputError

try:  # an accelerator only: three times as fast
    import orjson

    loads: Callable[[bytes], Any] = orjson.loads
except ImportError:
    loads = json.loads

Array = np.ndarray[Any, Any]
Id = int | str

KEYS = {"image": "image_id", "text": "text_id"}


@dataclass(frozen=True)
class FeatureFile:
    """ids as they stand in the file, whole numbers or texts; vectors (N, E) float32; what: "image" or "text"."""

    what: str
    ids: list[Id]
    vectors: Array


def text_file_of(texts: str) -> str:
    """Where the original puts features of the texts in `texts`: the last six characters of the name go."""
    return f"{texts[:-6]}.txt_feat.jsonl"


def image_file_of(texts: str) -> str:
    """Where the original puts features of pictures: beside those of their texts."""
    return f"{texts.replace('_texts.jsonl', '_imgs')}.img_feat.jsonl"


def stored(what: str, count: int, path: str) -> str:
    """The line that the original prints when it has written a file."""
    return f"{count} {what} features are stored in {path}"


def lmdb_order(ids: Iterable[Id]) -> list[Id]:
    """Ids of pictures as the original reads them: its LMDB has decimal keys in the order of their bytes."""
    return sorted(ids, key=lambda id_: str(id_).encode())


def write(path: Path, what: str, ids: Sequence[Id], vectors: Array) -> None:
    """Vectors (N, E) of unit length, float32; the file appears whole. what: "image" or "text"."""
    with replacing(path) as temporary, temporary.open("x", encoding="utf-8", newline="\n") as file:
        file.writelines(_lines(KEYS[what], ids, vectors))


def _lines(key: str, ids: Sequence[Id], vectors: Array) -> Iterator[str]:
    for id_, vector in zip(ids, vectors, strict=True):
        yield json.dumps({key: id_, "feature": vector.astype(np.float32, copy=False).tolist()}) + "\n"


def read(path: Path, what: str = "") -> FeatureFile:
    """A file of features; what: "image" or "text" where only these will do.

    InputError names the first line that is none of its, or whose vector has another length.
    """
    ids: list[Id] = []
    rows: list[bytes] = []
    found, pack = what, struct.Struct("")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            row = _parsed(line)
            if not rows:
                found = what or next((name for name, key in KEYS.items() if key in row), "")
                pack = struct.Struct(f"{len(row.get('feature', ()))}f")
            try:
                ids.append(row[KEYS[found]])
                rows.append(pack.pack(*row["feature"]))
            except (KeyError, TypeError, struct.error):
                raise InputError(f"{path.name}, line {number}: {_wrong(row, found, pack.size // 4)}") from None
    if not rows:
        raise InputError(f"{path} is empty: expected a line for each {what or 'picture or text'}")
    return FeatureFile(found, ids, np.frombuffer(b"".join(rows), dtype=np.float32).reshape(len(rows), -1))


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        row = loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _wrong(row: dict[str, Any], what: str, width: int) -> str:
    key = KEYS.get(what, "image_id or text_id")
    if key not in row or not isinstance(row.get("feature"), list):
        return f"expected an object with {key} and feature, a list of numbers"
    return f"its feature has {len(row['feature'])} numbers, expected {width} numbers as in the first line"
