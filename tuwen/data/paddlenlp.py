"""The retrieval files of PaddleNLP's ERNIE-ViL example: Arrow tables of pictures and captions, jsonl of the texts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from tuwen.data.arrow_table import GrowingTable, Table, opened
from tuwen.data.chinese_clip import Numbers, json_line, open_texts
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.grouped import Grouped
from tuwen.data.ids import Ids
from tuwen.data.lookup import ById
from tuwen.data.numbered import rows as number_rows
from tuwen.data.options import DEFAULT, Options, Writing, about
from tuwen.errors import InputError, UsageError

NAME = "paddlenlp"
TITLE = "PaddleNLP's retrieval files: SPLIT.arrow, SPLIT_img.arrow and SPLIT_texts.jsonl"
KINDS = (PAIRS,)

TABLE, IMAGES, TEXTS = ".arrow", "_img.arrow", "_texts.jsonl"
SPLITS = ("train", "valid", "test")
PAIR = pyarrow.schema([("image", pyarrow.binary()), ("caption", pyarrow.string()), ("image_id", pyarrow.int64())])
PICTURE = pyarrow.schema([("image", pyarrow.binary()), ("image_id", pyarrow.int64())])


def looks_like(path: Path) -> bool:
    """A folder with a table of image, caption, image_id, or of image, image_id."""
    return bool(splits(path))


def splits(path: Path) -> list[str]:
    """The names of the tables, without their endings."""
    if not path.is_dir():
        return []
    found = set()
    for file in path.glob("*" + TABLE):
        ending = IMAGES if file.name.endswith(IMAGES) else TABLE
        if not file.name.startswith(".") and _has(file, PICTURE if ending == IMAGES else PAIR):
            found.add(file.name.removesuffix(ending))
    return sorted(found, key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split))


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """One split: pictures of SPLIT_img.arrow and texts of SPLIT_texts.jsonl; where either is missing, SPLIT.arrow has
    both, a row for each caption, whose ids are the numbers of the rows.
    """
    del options
    both, images, texts = (path / f"{split}{ending}" for ending in (TABLE, IMAGES, TEXTS))
    failures: list[Failure] = []
    table = Table([images if images.is_file() else both])
    ids, rows = _first_rows(table, failures, once=images.is_file())
    dataset = Dataset(NAME, path, PAIRS, _Pictures(table, ids, rows), [], split, failures)
    if texts.is_file():
        dataset.texts, notes = open_texts(texts, failures, ids, table.paths[0].name)
        dataset.notes += notes
    else:
        captions = Table([both])
        good = _captioned(captions, ids, failures)
        dataset.texts = Grouped(np.ones(len(good), dtype=np.int64), partial(_caption, captions, good))
    return dataset


class _Pictures(ById[bytes]):
    def __init__(self, table: Table, ids: Ids, rows: list[int]) -> None:
        super().__init__(ids)
        self._table, self._rows = table, rows

    def at(self, place: int) -> bytes:
        """The picture's file."""
        content: bytes = self._table.value(self._rows[place], "image")
        return content


def _first_rows(table: Table, failures: list[Failure], once: bool) -> tuple[Ids, list[int]]:
    """(ids, the first row of each that has a picture); once: whether an id may come once only."""
    ids, rows = Ids(), []
    seen: dict[Any, int] = {}
    absent = table.absent("image")
    for row, id in enumerate(table.column("image_id")):
        if id is None or absent[row]:
            failures.append(
                Failure(table.place(row), "its image_id is missing" if id is None else "its image is missing")
            )
        elif id not in seen:
            seen[id] = row
            ids.add(str(id).encode())
            rows.append(row)
        elif once:
            failures.append(Failure(table.place(row), f"its image_id {id} is that of {table.place(seen[id])}, too"))
    return ids, rows


def _captioned(table: Table, ids: Ids, failures: list[Failure]) -> list[int]:
    """The rows that have a caption and a picture; those without an id of one are failures already."""
    absent, good = table.absent("caption"), []
    for row, id in enumerate(table.column("image_id")):
        if absent[row]:
            failures.append(Failure(table.place(row), "its caption is missing"))
        elif str(id) in ids:
            good.append(row)
    return good


def _caption(table: Table, rows: list[int], number: int) -> list[Text]:
    row = rows[number]
    found = table.values(row, ["caption", "image_id"])
    return [Text(str(row), found["caption"], (str(found["image_id"]),), table.place(row))]


def _has(file: Path, schema: pyarrow.Schema) -> bool:
    try:
        found = opened(file).schema
    except InputError:
        return False
    if set(found.names) != set(schema.names):
        return False
    return "caption" not in found.names or pyarrow.types.is_string(found.field("caption").type)


# -- write ------------------------------------------------------------------------------------------------------------


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """The files of a split in the folder `target`; of train only SPLIT.arrow and the texts, as published.

    Ids that are no whole numbers are numbered, with a table beside. A picture that cannot be read is a failure, and
    taken out of the texts that name it.
    """
    if not split:
        raise UsageError(f"the files of {NAME} are called after their split: name one, e.g. --split valid")
    numbers = Numbers(dataset)
    beside = numbers.tables(split)
    both, images, texts = (f"{split}{ending}" for ending in (TABLE, IMAGES, TEXTS))
    alone = [] if split == "train" else [images]
    told = {**about(dataset, options), "to": NAME, "as": split}
    with writing.growing(target, [both, *alone, texts, *beside], told) as files:
        total = len(dataset.pictures)
        writing.expect(total + len(dataset.texts), files.done)
        lost = set(files.state.get("lost", []))
        tables = [GrowingTable(files, name, PICTURE) for name in alone]
        for place, id in enumerate(dataset.pictures):
            if place < files.done:
                continue
            content = writing.picture(dataset, id, options.jpeg)
            if content is None:
                lost.add(id)
            elif tables and tables[0].add([content, numbers.image(id)]):
                files.step(place + 1, lost=sorted(lost))
            writing.advance(1)
        for table in tables:
            table.flush()
        files.step(max(total, files.done), lost=sorted(lost))
        pairs = GrowingTable(files, both, PAIR)
        tables.append(pairs)
        for place, row in enumerate(numbers.rows(files.done - total, frozenset(lost)), files.done - total):
            files.write(texts, json_line(row))
            _, words, _ = row
            full = False
            for id in dataset.texts[place].image_ids:
                content = None if id in lost else writing.picture(dataset, id, options.jpeg)
                if content is not None:
                    full |= pairs.add([content, words, numbers.image(id)])
            if full:
                pairs.flush()  # what else this text has
                files.step(total + place + 1, lost=sorted(lost))
            writing.advance(1)
        pairs.flush()
        files.step(total + len(dataset.texts), lost=sorted(lost))
        for table in tables:
            table.finish()
        for name, ids in beside.items():
            if not files.size(name):
                files.write(name, b"".join(number_rows(ids)))
    for table in tables:
        table.clean()
    writing.notes += [f"ids that were no whole numbers are numbered from 0: see {target / name}" for name in beside]
