"""Chinese-CLIP's LMDB: SPLIT/imgs, pictures in base64 by id, and SPLIT/pairs, pickled pairs by their number."""

from __future__ import annotations

import binascii
import itertools
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, compress
from operator import ne
from pathlib import Path
from typing import Any, overload

import numpy as np

from tuwen.data.chinese_clip import keys_of
from tuwen.data.chinese_clip_table import decoded
from tuwen.data.dataset import PAIRS, Dataset, Text
from tuwen.data.folder import Failure
from tuwen.data.ids import Ids
from tuwen.data.lmdb_building import COUNT, write_split
from tuwen.data.lmdb_store import FILE, Handle, Pair, read_pair
from tuwen.data.options import DEFAULT, Options, Writing
from tuwen.errors import InputError

NAME = "chinese-clip-lmdb"
TITLE = "Chinese-CLIP's LMDB: SPLIT/imgs and SPLIT/pairs"
KINDS = (PAIRS,)

IMAGES, SAMPLES = COUNT["imgs"], COUNT["pairs"]
FIRST = ("train", "valid", "test")
READ_AT_ONCE = 256  # pairs; so few that Python does not look through its whole memory for what can go


def looks_like(path: Path) -> bool:
    """Whether it is the folder of a split, of splits, or one that has them in lmdb/."""
    return _is_split(path) or bool(splits(path))


def splits(path: Path) -> list[str]:
    """Names of the folders of splits: train, valid and test first, then the others."""
    if _is_split(path):
        return [path.name]
    folder = _root(path)
    found = [inner.name for inner in folder.iterdir() if _is_split(inner)] if folder.is_dir() else []
    return sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))


def _root(path: Path) -> Path:
    return path / "lmdb" if (path / "lmdb").is_dir() else path


def _is_split(path: Path) -> bool:
    return all((path / part / FILE).is_file() for part in ("imgs", "pairs"))


def open_dataset(path: Path, split: str = "", options: Options = DEFAULT) -> Dataset:
    """One split, its pictures in the order of their keys, bytewise, its texts in that of the pairs.

    Failures are pairs that are missing, are no pairs, or whose picture is not there; whether the base64 of a picture is
    whole shows when it is read. Keys that an earlier, larger build left are told apart: stale pairs are passed over,
    of pictures nothing says which they are. Texts without a picture are in no pair.
    """
    folder = path if _is_split(path) else _root(path) / split
    failures: list[Failure] = []
    pictures, ids = open_pictures(folder / "imgs")
    texts, notes = _open_texts(folder / "pairs", ids, failures)
    counted = _count(Handle(folder / "imgs"), IMAGES)
    if counted != len(ids):
        notes.append(
            f"num_images is {counted}, there are {len(ids)} pictures: an id came twice in the tsv, or another "
            "build left keys behind; the original's feature extraction then stops too early or reads others"
        )
    return Dataset(NAME, path, PAIRS, pictures, texts, split or folder.name, failures, notes=notes)


def _count(handle: Handle, key: bytes) -> int:
    value = handle.store.get(key)
    if value is None or not value.isdigit():
        raise InputError(f"{handle.folder} has no {key.decode()}: it was not built to its end, build it again")
    return int(value)


# -- pictures ---------------------------------------------------------------------------------------------------------


class StoredPictures(Mapping[str, bytes]):
    """Pictures of an LMDB by id."""

    def __init__(self, handle: Handle, ids: Ids) -> None:
        self.ids = ids
        self._handle = handle

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, id: object) -> bool:
        return id in self.ids

    def __getitem__(self, id: str) -> bytes:
        key = id.encode()
        value = self._handle.store.get(key)
        if value is None or key == IMAGES:
            raise KeyError(id)
        try:
            content = binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            content = b""
        return content or decoded(value, f"{self._handle.folder}, picture {id}")

    def all_encoded(self, start: int = 0) -> Iterator[tuple[str, bytes]]:
        """(id, base64) of every picture from place `start`, in one go."""
        after = self.ids[start - 1].encode() if start else None
        for key, value in self._handle.store.items(after=after):
            if key != IMAGES:
                yield key.decode(), value


def open_pictures(folder: Path) -> tuple[StoredPictures, Ids]:
    """The pictures of an imgs folder, and their ids."""
    handle = Handle(folder)
    ids = Ids()
    for keys in handle.store.all_keys():
        ids.extend([key for key in keys if key != IMAGES])
    return StoredPictures(handle, ids), ids


# -- texts ------------------------------------------------------------------------------------------------------------


class PairTexts(Sequence[Text]):
    """Texts of an LMDB: pairs of the same text, one after the other, are one with several pictures.

    numbers: of the pairs that count; starts: the first of each text among them.
    """

    def __init__(self, handle: Handle, numbers: np.ndarray[Any, Any], starts: np.ndarray[Any, Any]) -> None:
        self._handle = handle
        self._name = _name(handle.folder)
        self._numbers = array("q", numbers.astype(np.int64).tobytes())
        self._starts = array("q", np.append(starts, len(numbers)).astype(np.int64).tobytes())

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, place: int) -> Text: ...

    @overload
    def __getitem__(self, place: slice) -> list[Text]: ...

    def __getitem__(self, place: int | slice) -> Text | list[Text]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = place + len(self) if place < 0 else place
        if not 0 <= number < len(self):
            raise IndexError(f"text {place} of {len(self)}")
        start = self._starts[number]
        if self._starts[number + 1] - start > 1:
            return self._texts(number, number + 1)[0]
        image_id, text_id, text = self.pair(start)
        return Text(text_id, text, (image_id,), f"{self._name}:{self._numbers[start]}")

    def __iter__(self) -> Iterator[Text]:
        for first in range(0, len(self), READ_AT_ONCE):
            yield from self._texts(first, min(first + READ_AT_ONCE, len(self)))

    def _changed(self) -> InputError:
        return InputError(f"{self._handle.folder} has changed since it was opened")

    def pair_count(self) -> int:
        """Pairs that count."""
        return len(self._numbers)

    def pair(self, number: int) -> tuple[str, str, str]:
        """(image id, text id, text) of one of them."""
        value = self._handle.store.get(b"%d" % self._numbers[number])
        if value is None:
            raise self._changed()
        image_id, text_id, text = read_pair(value)
        return str(image_id), str(text_id), text

    def pairs(self) -> Iterator[tuple[str, str, str]]:
        """All of them."""
        for first in range(0, len(self._numbers), READ_AT_ONCE):
            for image_id, text_id, text in self._several(self._numbers[first : first + READ_AT_ONCE]):
                yield str(image_id), str(text_id), text

    def _several(self, numbers: Sequence[int]) -> list[Pair]:
        values = self._handle.store.many([b"%d" % number for number in numbers])
        try:
            return list(map(read_pair, values))  # type: ignore[arg-type]
        except (InputError, TypeError):  # of a value that is None
            raise self._changed() from None

    def _texts(self, first: int, end: int) -> list[Text]:
        """The texts from one place to another."""
        ends = self._starts[first : end + 1].tolist()
        numbers = self._numbers[ends[0] : ends[-1]]
        pairs = self._several(numbers)
        texts = []
        for start, stop in itertools.pairwise(ends):
            own = pairs[start - ends[0] : stop - ends[0]]
            image_ids = tuple([str(pair[0]) for pair in own])
            place = f"{self._name}:{numbers[start - ends[0]]}"
            texts.append(Text(str(own[0][1]), own[0][2], image_ids, place))
        return texts


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _pairs(handle: Handle, first: int, end: int, wrong: dict[int, str]) -> tuple[array[int], list[Pair]]:
    """Numbers and pairs from one number to another; what is wrong with the others ends in `wrong` by number."""
    values = handle.store.many([b"%d" % number for number in range(first, end)])
    numbers = array("q", range(first, end))
    try:
        return numbers, list(map(read_pair, values))  # type: ignore[arg-type]
    except (InputError, TypeError):  # of a value that is None
        numbers = array("q")
    pairs = []
    for number, value in enumerate(values, first):
        try:
            if value is None:
                raise InputError("there is no pair of this number, though num_samples counts it")
            pairs.append(read_pair(value))
            numbers.append(number)
        except InputError as error:
            wrong[number] = str(error)
    return numbers, pairs


def _open_texts(folder: Path, pictures: Ids, failures: list[Failure]) -> tuple[PairTexts, list[str]]:
    """Look at every pair once."""
    handle, name = Handle(folder), _name(folder)
    count = _count(handle, SAMPLES)
    numbers, starts, keys = array("q"), array("q"), array("Q")
    last: tuple[Any, ...] = ()
    for first in range(0, count, READ_AT_ONCE):
        wrong: dict[int, str] = {}
        some, pairs = _pairs(handle, first, min(first + READ_AT_ONCE, count), wrong)
        failures += [Failure(f"{name}:{number}", reason) for number, reason in wrong.items()]
        said = [pair[1:] for pair in pairs]
        starts.extend(compress(range(len(numbers), len(numbers) + len(said)), map(ne, said, chain([last], said))))
        last = said[-1] if said else last
        numbers.extend(some)
        keys.extend(keys_of([pair[0] for pair in pairs]))
    there = pictures.has(np.array(keys, dtype=np.uint64))
    kept, begun = np.asarray(numbers, dtype=np.int64), np.asarray(starts, dtype=np.int64)
    for place in np.flatnonzero(~there).tolist():
        number = numbers[place]
        image_id = _pairs(handle, number, number + 1, {})[1][0][0]
        failures.append(Failure(f"{name}:{number}", f"its picture {image_id} is not in imgs"))
    if not there.all():
        before = np.concatenate([[0], np.cumsum(there)])  # of the pairs that stay
        begun = np.unique(before[begun][before[begun] < before[np.append(begun[1:], len(kept))]])
        kept = kept[there]
    stale = len(handle.store) - 1 - count
    notes = [f"{stale} pairs that an earlier build left are passed over, as in the original"] if stale > 0 else []
    return PairTexts(handle, kept, begun), notes


# -- writing ----------------------------------------------------------------------------------------------------------


def write(dataset: Dataset, target: Path, split: str, options: Options, writing: Writing) -> None:
    """Both databases of a split, in the folder `target`/`split`, as the original's build_lmdb_dataset.py fills them.

    num_images is the number of pictures, also where an id came twice. Ids that are no whole numbers are numbered, with
    a table beside; a picture that cannot be read is a failure, and its pairs are left out.
    """
    write_split(dataset, target, split, options, writing)
