"""Fill Chinese-CLIP's LMDBs: from any dataset, or from its raw files exactly as the original tool does."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tuwen.data import numbered
from tuwen.data.chinese_clip import IMAGES, TEXTS, Numbers, encoded_pictures, loads
from tuwen.data.chinese_clip_table import BUFFER, SPACE, TAB
from tuwen.data.dataset import Dataset
from tuwen.data.lmdb_growing import GrowingStore, Row
from tuwen.data.options import Options, Writing, about
from tuwen.errors import InputError, UsageError

COUNT = {"imgs": b"num_images", "pairs": b"num_samples"}
PROTOCOL = 4  # of pickle, as the original's files have it whatever Python reads them
INT = frozenset((int,))


def write_split(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """One split of any dataset of pairs."""
    if not split:
        raise UsageError("an LMDB lies in a folder called after its split: name one, e.g. --split train")
    numbers = Numbers(dataset)
    what = {**about(dataset, options), "to": "chinese-clip-lmdb", "as": split}
    stores = [
        GrowingStore(target / split / part, COUNT[part], what, writing.failures, writing.overwrite) for part in COUNT
    ]
    images, pairs = stores
    writing.expect(len(dataset.pictures) + len(dataset.texts), images.done)
    images.fill(_image_rows(dataset, images, numbers, options, writing))
    lost = frozenset(images.state.get("lost", []))
    pairs.fill(islice(_pair_rows(numbers, lost, writing), pairs.done, None))
    _put_in_place(stores)
    for name, ids in numbers.tables(split).items():
        with Writing(overwrite=True).growing(target, [name], what) as files:
            for line in numbered.rows(ids):
                files.write(name, line)
        writing.notes.append(f"ids that were no whole numbers are numbered from 0: see {target / name}")


def _image_rows(
    dataset: Dataset, images: GrowingStore, numbers: Numbers, options: Options, writing: Writing
) -> Iterator[Row]:
    numbered, advance = numbers.image.given, writing.advance
    for id, encoded in encoded_pictures(dataset, images.done, options, writing):
        if encoded is None:
            images.state.setdefault("lost", []).append(id)
            yield None
        else:
            yield b"%d" % numbers.image(id) if numbered else id.encode(), encoded
        advance(1)


def _pair_rows(numbers: Numbers, lost: frozenset[str], writing: Writing) -> Iterator[Row]:
    advance, pickled = writing.advance, pickle.dumps
    for text_id, text, image_ids in numbers.rows(0, lost):
        for image_id in image_ids:
            yield None, pickled((image_id, text_id, text), PROTOCOL)
        advance(1)


def _put_in_place(stores: list[GrowingStore]) -> None:
    for store in stores:
        store.put_in_place()
    for store in stores:
        store.forget()


# -- as the original ---------------------------------------------------------------------------------------------------


def build_original(folder: Path, target: Path, split: str, writing: Writing) -> list[str]:
    """One split from raw files: what build_lmdb_dataset.py does, and the two lines that it prints.

    Every line counts in num_images, also of an id that came before; databases that are there are written over, so
    their other keys stay. Progress is told in bytes. InputError, where the original stops, too: a line that is not of
    the form.
    """
    tables = {"imgs": folder / f"{split}{IMAGES}", "pairs": folder / f"{split}{TEXTS}"}
    for path in tables.values():
        if not path.is_file():
            raise InputError(f"{path} does not exist: the split {split} needs {IMAGES[1:]} and {TEXTS[1:]}")
    stamps = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in tables.values()]
    what = {"source": str(folder.resolve()), "files": stamps, "to": "original", "as": split}
    writing.expect(sum(path.stat().st_size for path in tables.values()), 0)
    stores = []
    for part in ("pairs", "imgs"):
        store = GrowingStore(target / split / part, COUNT[part], what, writing.failures, over=True)
        rows = _raw_images(tables[part], writing) if part == "imgs" else _raw_pairs(tables[part], writing)
        store.fill(islice(rows, store.done, None))
        stores.append(store)
    _put_in_place(stores)
    return [
        f"Finished serializing {store.written} {split} split {what} into {store.folder}."
        for store, what in zip(stores, ("pairs", "images"), strict=True)
    ]


def _raw_images(path: Path, writing: Writing) -> Iterator[Row]:
    for number, line in _raw_lines(path, writing):
        tab = line.find(TAB)
        if tab > 0 and _is_plain(line) and line.find(TAB, tab + 1) < 0:
            yield line[:tab], line[tab + 1 : -1]
            continue
        try:
            columns = _stripped(line).split(TAB)
        except UnicodeDecodeError as error:
            raise InputError(f"{path.name}:{number}: it is not UTF-8 text (byte {error.start})") from None
        if len(columns) != 2:
            count = len(columns)
            raise InputError(f"{path.name}:{number}: it has {count} columns, expected an id and a picture")
        yield columns[0], columns[1]


def _raw_pairs(path: Path, writing: Writing) -> Iterator[Row]:
    pickled = pickle.dumps
    for number, line in _raw_lines(path, writing):
        try:
            row = _as_python_reads(line)
            text_id, text = row["text_id"], row["text"]
            pairs = [(None, pickled((image_id, text_id, text), PROTOCOL)) for image_id in row["image_ids"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path.name}:{number}: it is no JSON with text_id, text and image_ids ({error})"
            ) from None
        yield from pairs


def _as_python_reads(line: bytes) -> Any:
    try:
        row = loads(line)
        if type(row["text_id"]) is int and type(row["text"]) is str and {*map(type, row["image_ids"])} <= INT:
            return row
    except (ValueError, KeyError, TypeError):
        pass  # what the faster reader does not take, or numbers that it cannot hold
    return json.loads(_stripped(line))


def _raw_lines(path: Path, writing: Writing) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) as Python reads text: a lone \\r ends a line, too."""
    number, advance = 0, writing.advance
    with path.open("rb", buffering=BUFFER) as file:
        for line in file:
            if b"\r" in line:
                for number, part in enumerate(line.splitlines(), number + 1):  # noqa: B020
                    yield number, part
            else:
                number += 1
                yield number, line
            advance(len(line))


def _is_plain(line: bytes) -> bool:
    """Whether there is only its end to be stripped of a line."""
    return line[-1:] == b"\n" and line[0] > SPACE < line[-2] and line.isascii()


def _stripped(line: bytes) -> bytes:
    """A line as Python strips text: white space is more than that of ASCII."""
    return line.decode().strip().encode()
