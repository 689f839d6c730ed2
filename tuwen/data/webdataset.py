"""Webdataset's tars: KEY.jpg, KEY.txt and KEY.json one after the other; heads are read once, for random access."""

from __future__ import annotations

import json
import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuwen.data.by_picture import ByPicture, contents, left_out
from tuwen.data.cells import HELD, Columns, columns_of, kind_of, row_of
from tuwen.data.dataset import Dataset
from tuwen.data.folder import PICTURES, Failure
from tuwen.data.lines import object_of
from tuwen.data.options import DEFAULT, Options, Writing, about
from tuwen.data.picture_files import ending_of
from tuwen.data.picture_rows import Row, open_rows
from tuwen.data.tars import BLOCK, Member, head, members
from tuwen.errors import InputError

NAME = "webdataset"
TITLE = "webdataset tars: SPLIT-000000.tar and so on with KEY.jpg, KEY.txt and KEY.json"
KINDS = HELD

ENDING = ".tar"
FIRST = ("train", "valid", "validation", "val", "test")
IMAGES = frozenset(ending[1:] for ending in PICTURES)
WORDS = ("txt", "text", "caption", "captions", "cap")
LOOKED_AT = 12  # members, to tell what a tar is
_SHARD = re.compile(r"(.*?)[-_.]?\d+")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


# -- what is there ----------------------------------------------------------------------------------------------------


def looks_like(path: Path) -> bool:
    """A tar with a picture among its first members, or a folder of such tars, or a pattern such as a-{000..007}.tar."""
    return any(map(_has_pictures, files_of(path)[:1]))


def splits(path: Path) -> list[str]:
    """The names of a folder's tars without their numbers (train-000000.tar is of train)."""
    if not path.is_dir():
        return []
    found = _by_split(path)
    return sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def files_of(path: Path) -> list[Path]:
    """The tars of a folder or a pattern with {000..007} or *, or the tar itself; those that are there."""
    if path.is_dir():
        return sorted(file for file in path.glob(f"*{ENDING}") if file.name[0] != ".")
    if path.is_file():
        return [path] if path.suffix == ENDING else []
    braces = _BRACES.search(path.name)
    if braces is not None:
        names = [
            f"{path.name[: braces.start()]}{number:0{len(braces[1])}d}{path.name[braces.end() :]}"
            for number in range(int(braces[1]), int(braces[2]) + 1)
        ]
        return [path.parent / name for name in names if (path.parent / name).is_file()]
    return sorted(path.parent.glob(path.name)) if "*" in path.name else []


def _by_split(path: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files_of(path):
        numbered = _SHARD.fullmatch(file.stem)
        found[(numbered[1] if numbered else file.stem) or "data"].append(file)
    return dict(found)


def _has_pictures(path: Path) -> bool:
    try:
        for member, _ in zip(members(path, []), range(LOOKED_AT), strict=False):
            if _parts(member.name)[1] in IMAGES:
                return True
    except InputError:
        return False
    return False


def _parts(name: str) -> tuple[str, str]:
    """(key, ending) of a member, as webdataset tells them: the ending begins at the first point of the last part."""
    folder, slash, base = name.rpartition("/")
    stem, _, ending = base.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """The tars of a split, or of a pattern; a sample for each picture.

    The picture is the member with an ending of pictures, its texts are those of KEY.json (text, caption, ... with
    text_id), else the lines of KEY.txt; its id is image_id of the json, else KEY. Options.columns names other endings
    for image and text. A tar that is cut off or damaged is a failure from there on.
    """
    files = _by_split(path)[split] if path.is_dir() else files_of(path)
    if not files:
        raise InputError(f"{path} are no tars that are there")
    rows = Samples(files, options)
    dataset = open_rows(NAME, path, rows, split or _SHARD.sub(r"\1", files[0].stem), options.kind)
    if not options.kind:
        dataset.kind = kind_of(columns_of(list(rows.first)), rows.first, options)
    return dataset


# -- samples ----------------------------------------------------------------------------------------------------------


@dataclass
class _Sample:
    key: str
    of: dict[str, Member] = field(default_factory=dict)


class Samples:
    """The samples of some tars: where their picture, text and json lie, 60 bytes for each."""

    def __init__(self, paths: list[Path], options: Options) -> None:
        self._paths = paths
        self._image = options.columns.get("image", "")
        self._words = (options.columns["text"],) if "text" in options.columns else WORDS
        self._files = array("l")
        self._keys = bytearray()
        self._key_ends = array("q")
        self._places = array("q")  # offset and size of picture, text and json of each; size -1 for none
        self._known: dict[tuple[str, ...], Columns] = {}
        self._last: tuple[int, Mapping[str, Any]] = (-1, {})
        self.first: Mapping[str, Any] = {}

    def scan(self, failures: list[Failure]) -> Iterator[Row]:
        """Every sample with a picture, and those whose json says that they have none."""
        for file, path in enumerate(self._paths):
            for sample in self._samples(path, failures):
                place = f"{path.name}:{sample.key}"
                picture = self._picture(sample)
                text = next((sample.of[ending] for ending in self._words if ending in sample.of), None)
                told = sample.of.get("json")
                self._add(file, sample.key, picture, text, told)
                try:
                    row = self[len(self._files) - 1]
                    if picture is None and not row.texts:
                        raise InputError(f"it has neither a picture nor a text, only {', '.join(sample.of)}")
                    if picture is None and not self._says_none(len(self._files) - 1):
                        raise InputError(f"it has no picture, only {', '.join(sample.of)}")
                except InputError as error:
                    failures.append(Failure(place, str(error)))
                    self._remove()
                    continue
                if not self.first and told is not None:
                    self.first = self._json(len(self._files) - 1)
                yield row

    def _samples(self, path: Path, failures: list[Failure]) -> Iterator[_Sample]:
        """Neighbours of one key; of two members of one name the first."""
        sample: _Sample | None = None
        usual: set[str] = set()
        damage: list[Failure] = []
        try:
            for member in members(path, damage):
                key, ending = _parts(member.name)
                if not ending or key.rpartition("/")[2].startswith(("__", ".")):
                    continue  # as webdataset does: its own notes, and hidden files
                if sample is None or sample.key != key:
                    if sample is not None:
                        usual = set(sample.of)
                        yield sample
                    sample = _Sample(key)
                if ending in sample.of:
                    failures.append(Failure(f"{path.name}:{key}", f"it has two members .{ending}: the first counts"))
                else:
                    sample.of[ending] = member
        except InputError as error:
            failures.append(Failure(path.name, str(error)))
        for failure in damage:
            failures.append(Failure(failure.id, failure.reason))
            if sample is not None and (_parts(failure.key)[0] == sample.key or not usual <= set(sample.of)):
                failures.append(
                    Failure(f"{path.name}:{sample.key}", "the tar is cut off or damaged within this sample")
                )
                sample = None
        if sample is not None:
            yield sample

    def _picture(self, sample: _Sample) -> Member | None:
        if self._image:
            return sample.of.get(self._image)
        return next((member for ending, member in sample.of.items() if ending in IMAGES), None)

    def _add(self, file: int, key: str, *parts: Member | None) -> None:
        self._files.append(file)
        self._keys += key.encode("utf-8", "surrogateescape")
        self._key_ends.append(len(self._keys))
        for part in parts:
            self._places.extend((0, -1) if part is None else (part.offset, part.size))

    def _remove(self) -> None:
        self._last = (-1, {})
        self._files.pop()
        self._key_ends.pop()
        del self._keys[self._key_ends[-1] if self._key_ends else 0 :]
        del self._places[-6:]

    def __getitem__(self, number: int) -> Row:
        key = self._key(number)
        place = f"{self._paths[self._files[number]].name}:{key}"
        cells = dict(self._json(number))
        columns = self._columns(cells)
        if "text" not in columns.of or self._words is not WORDS:
            words = self._content(number, 1)
            cells["text"] = [] if words is None else _lines(words)
            columns = self._columns(cells)
        has_picture = self._places[6 * number + 1] >= 0
        return row_of(cells, columns, place, key if has_picture else "", key)

    def picture(self, number: int) -> bytes:
        """The bytes of its member."""
        content = self._content(number, 0)
        if not content:
            raise InputError(f"the picture of {self[number].place} is empty")
        return content

    def stamp(self, number: int) -> bytes:
        """The picture and its boxes."""
        return self.picture(number) + b"\0" + json.dumps(self[number].about).encode()

    def _says_none(self, number: int) -> bool:
        cells = self._json(number)
        return "image_id" in cells and cells["image_id"] is None

    def _key(self, number: int) -> str:
        start = self._key_ends[number - 1] if number else 0
        return self._keys[start : self._key_ends[number]].decode("utf-8", "replace")

    def _columns(self, cells: Mapping[str, Any]) -> Columns:
        names = tuple(cells)
        if self._known.get(names) is None:
            self._known = {names: columns_of(names)}  # most samples have the same
        return self._known[names]

    def _json(self, number: int) -> Mapping[str, Any]:
        if self._last[0] != number:
            content = self._content(number, 2)
            self._last = (number, {} if content is None else object_of(1, content))
        return self._last[1]

    def _content(self, number: int, part: int) -> bytes | None:
        """The bytes of the picture 0, the text 1 or the json 2 of a sample."""
        offset, size = self._places[6 * number + 2 * part : 6 * number + 2 * part + 2]
        if size < 0:
            return None
        path = self._paths[self._files[number]]
        try:
            with path.open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
        if len(content) != size:
            raise InputError(f"{path} has changed since it was opened: it ends before {self._key(number)}")
        return content


def _lines(content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"its text is not UTF-8 (byte {error.start})") from None
    return [line.strip() for line in text.split("\n") if line.strip()]


# -- writing ----------------------------------------------------------------------------------------------------------


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """The tar `target`, or SPLIT-000000.tar and so on in the folder `target`, Options.shard_rows samples in each.

    A sample for each picture: its file, KEY.txt with a text in each line, as CLIP_benchmark reads them, and KEY.json
    with image_id, text_id and text, lists, and whatever else there is. A text without a picture is a sample, too.
    """
    rows = ByPicture(dataset)
    left_out(dataset, ["boxes"], writing)
    alone = target.suffix == ENDING
    folder = target.parent if alone else target
    count = 1 if alone else max(1, -(-len(rows) // options.shard_rows))
    names = [target.name] if alone else [f"{split or 'data'}-{number:06d}{ENDING}" for number in range(count)]
    per_file = max(len(rows), 1) if alone else options.shard_rows
    with writing.growing(folder, names, {**about(dataset, options), "to": NAME, "as": split}) as files:
        for number, found in contents(rows, files, options, writing):
            name = names[number // per_file]
            for place, (id, content, texts) in enumerate(found):
                key = f"{number:09d}" + (f"-{place}" if place else "")
                files.write(name, b"".join(_members(key, id, content, rows.cells(id, texts))))
            if (number + 1) % per_file == 0 or number + 1 == len(rows):
                files.write(name, bytes(2 * BLOCK))
                files.close(name)
            files.step(number + 1)
        if not len(rows):
            files.write(names[0], bytes(2 * BLOCK))


def _members(key: str, id: str, content: bytes, cells: dict[str, Any]) -> Iterator[bytes]:
    parts = [(ending_of(content, id), content)] if content else []
    words = "\n".join(" ".join(text.split("\n")) for text in cells["text"])
    parts += [("txt", words.encode()), ("json", json.dumps(cells, ensure_ascii=False).encode())]
    for ending, part in parts:
        yield head(f"{key}.{ending}", len(part)) + part + bytes(-len(part) % BLOCK)
