"""Chinese-CLIP's raw files: SPLIT_imgs.tsv, an id and a base64 picture per line, and SPLIT_texts.jsonl."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from tuwen.data import numbered
from tuwen.data.chinese_clip_table import MARK, blocks, open_table
from tuwen.data.dataset import PAIRS, Dataset, Lines, Text
from tuwen.data.folder import Failure
from tuwen.data.ids import NUMBERS_END, Ids, key_of
from tuwen.data.options import DEFAULT, Options, Writing, about
from tuwen.errors import InputError, UsageError

try:  # an accelerator only
    import orjson

    loads: Callable[[bytes], Any] = orjson.loads
except ImportError:
    loads = json.loads

# (text_id, text, image_ids), ids as numbers
Row = tuple[int, str, Sequence[int]]

NAME = "chinese-clip"
TITLE = "Chinese-CLIP: SPLIT_imgs.tsv (id, base64 picture) and SPLIT_texts.jsonl"
KINDS = (PAIRS,)

IMAGES, TEXTS = "_imgs.tsv", "_texts.jsonl"
FIRST = ("train", "valid", "test")  # the order in which splits are named
# Bytes of lines that are parsed together: so few that Python does not look through its whole memory for what can go.
BLOCK = 1 << 14
FIELDS = itemgetter("text_id", "text", "image_ids")
# Types of the fields and of ids: numbers, or texts as well.
TEXT, LIST, NUMBER, ID = (frozenset(types) for types in ((str,), (list,), (int,), (int, str)))


# -- what is there ----------------------------------------------------------------------------------------------------


def looks_like(path: Path) -> bool:
    """Whether there are texts with pictures beside them, or in an LMDB below, for one split at least."""
    return bool(splits(path))


def splits(path: Path) -> list[str]:
    """Names of the splits with texts and pictures: train, valid and test first, then the others."""
    folder, only = _place(path)
    names = [file.name[: -len(TEXTS)] for file in folder.glob(f"*{TEXTS}") if not file.name.startswith(".")]
    found = [name for name in names if only in ("", name) and _pictures_of(folder, name).exists()]
    return sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def _place(path: Path) -> tuple[Path, str]:
    """(folder, split) that a folder, or one of its files, stands for."""
    for ending in (IMAGES, TEXTS):
        if path.name.endswith(ending) and path.is_file():
            return path.parent, path.name[: -len(ending)]
    return path, ""


def _pictures_of(folder: Path, split: str) -> Path:
    """The tsv of a split, or the LMDB that the original builds from it where only that was kept."""
    table, built = folder / f"{split}{IMAGES}", folder / "lmdb" / split / "imgs"
    return table if table.exists() or not (built / "data.mdb").exists() else built


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """One split. A picture's id that comes twice means the later row, as in the original's LMDB, where they differ.

    Failures are rows that are not of the form, rows whose base64 is damaged, and texts of pictures that are not there.
    """
    folder, only = _place(path)
    split = split or only
    failures: list[Failure] = []
    where = _pictures_of(folder, split)
    pictures: Mapping[str, Any]
    if where.is_dir():
        from tuwen.data.chinese_clip_lmdb import open_pictures

        pictures, ids = open_pictures(where)
    else:
        pictures = open_table(where, failures)
        ids = pictures.ids
    texts, notes = open_texts(folder / f"{split}{TEXTS}", failures, ids, where.name)
    return Dataset(NAME, path, PAIRS, pictures, texts, split, failures, notes=notes)


# -- texts ------------------------------------------------------------------------------------------------------------


class TextRow(NamedTuple):
    """A line of the jsonl. text_id and image_ids: as they stand there, whole numbers or texts."""

    text_id: int | str
    text: str
    image_ids: tuple[int | str, ...]


def text_row(number: int, line: bytes) -> TextRow:
    """A line of the jsonl; InputError says what is wrong with it."""
    row = _object(line.removeprefix(MARK) if number == 1 else line)
    for name in ("text_id", "text", "image_ids"):
        if name not in row:
            raise InputError(f"it has no {name}: expected text_id, text and image_ids, a list that may be empty")
    text_id, text, image_ids = row["text_id"], row["text"], row["image_ids"]
    if type(text_id) is not int and not isinstance(text_id, str):
        raise InputError(f"its text_id is {_short(text_id)}, expected a whole number")
    if not isinstance(text, str):
        raise InputError(f"its text is {_short(text)}, expected a text")
    if not isinstance(image_ids, list) or not all(type(id) is int or isinstance(id, str) for id in image_ids):
        raise InputError(f"its image_ids are {_short(image_ids)}, expected a list of whole numbers")
    return TextRow(text_id, text, tuple(image_ids))


def _object(line: bytes) -> dict[str, Any]:
    if not line.strip():
        raise InputError("the line is empty")
    try:
        row = loads(line)
    except ValueError as error:
        try:
            line.decode()
        except UnicodeDecodeError as at:
            raise InputError(f"it is not UTF-8 text (byte {at.start})") from None
        cut = "" if line.endswith(b"\n") else ", and the file ends in the middle of this line"
        raise InputError(f"it is not JSON ({error}){cut}") from None
    if not isinstance(row, dict):
        raise InputError(f"it is {_short(row)}, expected an object with text_id, text and image_ids")
    return row


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."


@dataclass(frozen=True)
class _Parse:
    """A line to a Text; `pictures` are the ids that there are, None where all are there."""

    name: str
    pictures: Ids | None

    def __call__(self, number: int, line: bytes) -> Text:
        row = text_row(number, line)
        image_ids = tuple(map(str, row.image_ids))
        if self.pictures is not None:
            image_ids = tuple(id for id in image_ids if id in self.pictures)
        return Text(str(row.text_id), row.text, image_ids, f"{self.name}:{number}")


class TextLines(Lines):
    """Texts of a jsonl. numbered: whether all their ids are whole numbers, as `Ids.all_numbers` means it."""

    def __init__(self, path: Path, offsets: Any, numbers: Any, parse: _Parse, numbered: bool) -> None:
        super().__init__(path, offsets, numbers, parse)
        self.numbered = numbered
        # Every line from the first on is a text, and all the pictures that it names are there.
        self.whole = parse.pictures is None and (not len(self) or self._numbers[-1] == len(self))

    def rows(self, start: int) -> Iterator[Row]:
        """The rows from place `start`, with numbers as ids; where it is `whole` and `numbered`, and so are pictures."""
        for first, _, block in blocks(self.path, BLOCK):
            if first > len(self):
                return  # what follows are no texts
            some = block[max(start + 1 - first, 0) : len(self) + 1 - first]
            if not some:
                continue
            columns = _columns(some)
            if columns is not None and columns.numbered():
                yield from zip(columns.text_ids, columns.texts, columns.image_ids, strict=True)
                continue
            for number, line in enumerate(some, max(first, start + 1)):
                text = self._text(number, line)
                yield int(text.id), text.text, tuple(map(int, text.image_ids))


class _Columns(NamedTuple):
    """Lines of a jsonl that are all of the form, column by column."""

    text_ids: Sequence[int | str]
    texts: Sequence[str]
    image_ids: Sequence[list[int | str]]

    def numbered(self) -> bool:
        """Whether all ids are written as numbers."""
        return NUMBER.issuperset(map(type, self.text_ids)) and NUMBER.issuperset(map(type, self.named()))

    def named(self) -> list[int | str]:
        """Ids of the pictures of all lines."""
        return list(chain.from_iterable(self.image_ids))


def _columns(block: list[bytes]) -> _Columns | None:
    """The columns of some lines, if all are of the form, as strict as `text_row` but much faster for many."""
    try:
        columns = _Columns(*zip(*map(FIELDS, map(loads, block)), strict=True))
    except (ValueError, KeyError, TypeError):
        return None
    if not (ID.issuperset(map(type, columns.text_ids)) and TEXT.issuperset(map(type, columns.texts))):
        return None
    lists = LIST.issuperset(map(type, columns.image_ids))
    return columns if lists and ID.issuperset(map(type, columns.named())) else None


def open_texts(path: Path, failures: list[Failure], pictures: Ids | None, where: str) -> tuple[Lines, list[str]]:
    """Look at every line of a jsonl once; gives its texts, and what is to be said of them as a whole.

    pictures: the ids that there are, in the file `where`; a text is told apart from those that name none, and is a
    failure if all that it names are missing. None takes the ids as they come.
    """
    offsets, numbers, counts, keys, ids = array("q"), array("q"), array("q"), array("Q"), Ids()
    for first, offset, block in blocks(path, BLOCK):
        columns = _columns(block)
        if columns is not None:
            begins = accumulate(map(len, block), initial=offset)
            offsets.extend(islice(begins, len(block)))
            numbers.extend(range(first, first + len(block)))
            counts.extend(map(len, columns.image_ids))
            keys.extend(keys_of(columns.named()))
            ids.extend([str(id).encode() for id in columns.text_ids])
            continue
        for number, line in enumerate(block, first):
            try:
                row = text_row(number, line)
            except InputError as error:
                failures.append(Failure(f"{path.name}:{number}", str(error)))
            else:
                offsets.append(offset)
                numbers.append(number)
                counts.append(len(row.image_ids))
                keys.extend(keys_of(row.image_ids))
                ids.add(str(row.text_id).encode())
            offset += len(line)
    notes = []
    twice = ids.repeated()
    if twice:
        notes.append(f"{len(twice)} text ids come again, the first is {ids[twice[0][0]]}: {path.name}")
    kept, all_there = np.ones(len(numbers), dtype=bool), True
    if pictures is not None:
        there = pictures.has(np.array(keys, dtype=np.uint64))
        all_there = bool(there.all())
        row_of = np.repeat(np.arange(len(numbers)), np.asarray(counts, dtype=np.int64))
        found = np.bincount(row_of, weights=there, minlength=len(numbers))
        for place in np.unique(row_of[~there]).tolist():
            some = bool(found[place])
            kept[place] = some
            failures.append(_absent(path, numbers[place], offsets[place], pictures, where, some))
    good = np.asarray(offsets, dtype=np.int64)[kept], np.asarray(numbers, dtype=np.int64)[kept]
    return TextLines(path, *good, _Parse(path.name, None if all_there else pictures), ids.all_numbers), notes


def keys_of(ids: Sequence[int | str]) -> Iterable[int]:
    """`key_of` each id."""
    if ids and NUMBER.issuperset(map(type, ids)):
        numbers = cast("Sequence[int]", ids)
        if min(numbers) >= 0 and max(numbers) < NUMBERS_END:
            return numbers
    return [key_of(str(id).encode()) for id in ids]


def _absent(path: Path, number: int, offset: int, pictures: Ids, where: str, some: bool) -> Failure:
    with path.open("rb") as file:
        file.seek(offset)
        named = text_row(number, file.readline()).image_ids
    missing = ", ".join(str(id) for id in named if str(id) not in pictures)
    rest = ", the others count" if some else ""
    return Failure(f"{path.name}:{number}", f"its pictures {missing} are not in {where}{rest}")


# -- writing ----------------------------------------------------------------------------------------------------------


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """Both files of a split, in the folder `target`; ids that are no whole numbers are numbered, with a table beside.

    A picture that cannot be read is a failure, and taken out of the texts that name it.
    """
    if not split:
        raise UsageError(f"the files of {NAME} are called after their split: name one, e.g. --split train")
    numbers = Numbers(dataset)
    names = [f"{split}{IMAGES}", f"{split}{TEXTS}"]
    tables = numbers.tables(split)
    total = len(dataset.pictures)
    with writing.growing(target, [*names, *tables], {**about(dataset, options), "to": NAME, "as": split}) as files:
        writing.expect(total + len(dataset.texts), files.done)
        lost = files.state.setdefault("lost", [])
        for id, encoded in encoded_pictures(dataset, files.done, options, writing):
            if encoded is None:
                lost.append(id)
            else:
                files.write(names[0], b"%d\t%b\n" % (numbers.image(id), encoded))
            files.step(files.done + 1)
            writing.advance(1)
        for row in numbers.rows(files.done - total, frozenset(lost)):
            files.write(names[1], json_line(row))
            files.step(files.done + 1)
            writing.advance(1)
        for name, ids in tables.items():
            for line in numbered.rows(ids) if not files.size(name) else ():
                files.write(name, line)
    writing.notes += [f"ids that were no whole numbers are numbered from 0: see {target / name}" for name in tables]


class Numbers:
    """The ids of a dataset as whole numbers."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.image = numbered.Numbers(getattr(dataset.pictures, "ids", dataset.pictures))
        texts = dataset.texts
        numbers_only = isinstance(texts, TextLines) and texts.numbered
        self._texts_given = not (numbers_only or all(numbered.is_number(text.id) for text in texts))

    def tables(self, split: str) -> dict[str, Iterable[str]]:
        """Name -> ids, of the tables that have to lie beside the files."""
        found: dict[str, Iterable[str]] = {}
        if self.image.given:
            found[f"{split}_image_ids.tsv"] = self._dataset.pictures
        if self._texts_given:
            found[f"{split}_text_ids.tsv"] = (text.id for text in self._dataset.texts)
        return found

    def rows(self, start: int, lost: frozenset[str]) -> Iterator[Row]:
        """The texts from place `start`, without the pictures that are `lost`."""
        texts = self._dataset.texts
        if isinstance(texts, TextLines) and texts.whole and not (lost or self._texts_given or self.image.given):
            yield from texts.rows(start)
            return
        for place, text in enumerate(islice(texts, start, None) if start else texts, start):
            image_ids = tuple(self.image(id) for id in text.image_ids if id not in lost)
            yield place if self._texts_given else int(text.id), text.text, image_ids


def json_line(row: Row) -> bytes:
    """A line of the jsonl, as the published files have it."""
    text_id, text, image_ids = row
    content = {"text_id": text_id, "text": text, "image_ids": image_ids}
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def encoded_pictures(
    dataset: Dataset, start: int, options: Options, writing: Writing
) -> Iterator[tuple[str, bytes | None]]:
    """(id, base64) of every picture from place `start`; None in place of one that cannot be read, a failure by then."""
    if isinstance(dataset.pictures, Encoded) and not options.jpeg:
        yield from dataset.pictures.all_encoded(start)
        return
    for id in islice(dataset.pictures, start, None):
        content = writing.picture(dataset, id, options.jpeg)
        yield id, None if content is None else base64.b64encode(content)


@runtime_checkable
class Encoded(Protocol):
    """Pictures that are base64 where they lie."""

    def all_encoded(self, start: int = 0) -> Iterator[tuple[str, bytes]]:
        """(id, base64) of every picture from place `start`."""
