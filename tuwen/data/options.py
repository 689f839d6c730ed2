"""What readers and writers of datasets are told: where things are, what to do about bad rows, how far they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.data.folder import PICTURES, Failure
from tuwen.data.growing import Growing
from tuwen.errors import InputError, TuwenError, UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset

SKIP, FAIL = "skip", "fail"
LOCK = "lock.mdb"  # of an LMDB, which changes with every reading
DEPTH = 3  # folders below a dataset's own that are looked into for changed files, as in lmdb/valid/imgs
ENTRIES = 100_000  # of folders that are looked at for that, the upper ones first


@dataclass(frozen=True)
class Options:
    """How to read or write a format; every field has a default that fits published files.

    columns: our name (image, text, image_id, text_id, ...) -> the file's; pictures: the folder that picture names begin
    at, else around the file; kind: one of dataset.KINDS where a file could be of several, else told by its columns;
    jpeg: quality to write pictures as JPEG with, 0 for their own bytes; shard_rows: samples per file of formats in
    several files; label_file: names of classes, where they do not lie beside the pictures; original: read as the
    original's own code does where that is another dataset; made: how the dataset comes about from its files, where it
    is not simply theirs, so that no run goes on with what another began.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    pictures: Path | None = None
    kind: str = ""
    jpeg: int = 0
    shard_rows: int = 10_000
    label_file: Path | None = None
    original: bool = False
    made: str = ""


DEFAULT = Options()


def ignored(_: int) -> None:
    """Nobody wants to know how far it is."""


@dataclass
class Writing:
    """One run of a writer. Rows that cannot be written end in `failures`, or stop it, by on_error "skip" or "fail".

    advance: told how many more pictures and texts are done; expect: told, once, how many there will be in all and how
    many of them an earlier run did; overwrite: whether files that are already there may be replaced; as_jpeg: turns the
    bytes of any picture's file into JPEG of a quality, for Options.jpeg; notes: what a writer has to say of the whole.
    """

    advance: Callable[[int], None] = ignored
    expect: Callable[[int, int], None] = lambda total, done: None
    on_error: str = SKIP
    overwrite: bool = False
    as_jpeg: Callable[[bytes, int], bytes] | None = None
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fail(self, name: str, reason: str) -> None:
        """A row that cannot be written. name: "FILE:LINE" or the id of a picture. InputError under on_error "fail"."""
        if self.on_error == FAIL:
            raise InputError(reason if f"{name}:" in reason else f"{name}: {reason}")
        self.failures.append(Failure(name, reason))

    def picture(self, dataset: Dataset, image_id: str, jpeg: int = 0) -> bytes | None:
        """The bytes of a picture's file, as they are or as JPEG of that quality; None where it cannot be read."""
        try:
            picture = dataset.pictures[image_id]
            content = content_of(picture)
            if not jpeg:
                return content
            if self.as_jpeg is None:
                raise UsageError("pictures are to be written as JPEG, but Writing.as_jpeg is not given")
            return self.as_jpeg(content, jpeg)
        except KeyError:
            self.fail(image_id, "there is no picture of this id")
        except UsageError:
            raise
        except (TuwenError, OSError) as error:
            self.fail(image_id, str(error))
        return None

    def growing(self, folder: Path, names: list[str], about: Mapping[str, Any]) -> Growing:
        """Files in `folder` to write row by row: see `Growing`. about: what was asked for, as plain data."""
        return Growing(folder, names, about, self.failures, self.overwrite)


def content_of(picture: Any) -> bytes:
    """The bytes of a picture's file, of those or of its path; InputError where it cannot be read."""
    if isinstance(picture, bytes):
        return picture
    if not isinstance(picture, str | Path):
        raise InputError(f"it is a {type(picture).__name__}, expected a file or its bytes")
    try:
        content = Path(picture).read_bytes()
    except OSError as error:
        raise InputError(f"{picture} cannot be read: {error.strerror or error}") from None
    if not content:
        raise InputError(f"{picture} is empty")
    return content


def about(dataset: Dataset, options: Options = DEFAULT) -> dict[str, Any]:
    """What tells one conversion from another, for `Writing.growing`: the source, how large it is, and the options."""
    return {
        "source": str(dataset.path.resolve()),
        "format": dataset.format,
        "split": dataset.split,
        "counts": [len(dataset.pictures), len(dataset.texts), len(dataset.failures)],
        "files": stamp(dataset.path),
        "jpeg": options.jpeg,
        "shard_rows": options.shard_rows,
        "columns": dict(options.columns),
        "made": options.made,
    }


def stamp(path: Path, left_out: Callable[[Path], bool] = lambda path: False) -> str:
    """A digest of the names, sizes and times of a source's files: another one where one of them has changed.

    Of a folder that is all in it and in three levels of folders below, the upper ones first, and pictures only at the
    top; once that many entries have been seen (`ENTRIES`), no further folder is looked into. Hidden files and folders,
    where unfinished work lies, do not count. left_out: whether a file or folder does not count either.
    """
    digest = hashlib.sha256()
    for name in _names(path, left_out) if path.is_dir() else [""]:
        with suppress(OSError):  # gone since
            found = (path / name).stat()
            digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _names(root: Path, left_out: Callable[[Path], bool]) -> Iterator[str]:
    """Files that `stamp` looks at, from `root` on, in an order that hangs on names alone."""
    folders, seen = [""], 0
    for depth in range(DEPTH + 1):
        below: list[str] = []
        for folder in folders:
            if seen > ENTRIES:
                return
            try:
                with os.scandir(root / folder) as found:
                    entries = sorted((entry.name, entry.is_dir()) for entry in found if entry.name[0] != ".")
            except OSError:  # the dataset cannot read it either
                continue
            seen += len(entries)
            for name, is_folder in entries:
                picture = depth > 0 and not is_folder and Path(name).suffix.lower() in PICTURES
                if picture or name == LOCK or left_out(root / folder / name):
                    continue
                if is_folder:
                    below.append(f"{folder}{name}/")
                else:
                    yield folder + name
        folders = below
