"""What there is to embed, told by looking: a folder, a picture, a text file, or the data files of a published model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from tuwen.data import brivl_jsonl, ernie_tsv, folder, within
from tuwen.data.folder import Failure, Found, PictureFile, TextLine
from tuwen.errors import InputError
from tuwen.types import Sample

if TYPE_CHECKING:
    from tuwen.types import Picture

WITHIN = "#"  # between the path of a table and the place of a picture in it


def find(path: Path, pictures: Path | None = None, split: str = "") -> Found:
    """Everything to embed at a path: `folder.find`, the input files of ERNIE-ViL 2.0 and BriVL, and datasets of pairs.

    Those are a file of text, id and base64 picture between tabs; `imgs/` and `jsonls/`, or one .jsonl file; images.csv
    and texts.csv. Their texts know their pictures, but for those of the last. pictures: the folder that picture names
    in such a file begin at; split: of a dataset that has several. Rows that cannot be used are failures, named with
    file and line.
    """
    path = path.expanduser()
    lists = brivl_jsonl.find_lists(path) if path.is_dir() else None
    if lists is not None:
        return _of_lists(lists, pictures)
    if path.is_file() and path.suffix.lower() in folder.PICTURES | folder.TEXTS:
        return folder.find(path)
    if path.is_file() and ernie_tsv.looks_like(path):
        return _of_samples(path.resolve().parent, [path], ernie_tsv.read)
    name = within.format_of(path)
    if name:
        return within.list_dataset(path, name, split, pictures)
    tables = brivl_jsonl.find(path)
    if tables:
        root = path.resolve() if path.is_dir() else path.resolve().parent
        return _of_samples(root, tables, lambda file, failed: brivl_jsonl.read(file, failed, pictures))
    if path.is_file():
        raise InputError(
            f"{path} is neither a folder nor a picture nor a text file nor another dataset, and none of its first "
            f"{ernie_tsv.LOOKED_AT} rows is a text, an id and a base64 picture with tabs between them"
        )
    return folder.find(path)


def _of_samples(
    root: Path, files: Sequence[Path], read: Callable[[Path, Callable[[Failure], None]], Iterator[Sample]]
) -> Found:
    """One text per row, one picture for rows that name and mean the same one."""
    found = Found(root)
    known: dict[tuple[str, str], str] = {}  # name and content -> id
    ids: set[str] = set()
    for file in files:
        for sample in read(file, found.failures.append):
            picture = _picture(sample, file)
            content = _digest(sample)
            name = known.get((sample.image_id, content))
            if name is None:
                # Ids are unique: another picture of the same name gets its line added.
                name = sample.image_id if sample.image_id not in ids else f"{sample.image_id} ({sample.text_id})"
                known[sample.image_id, content] = name
                ids.add(name)
                found.origins[name] = sample.text_id
                found.pictures.append(PictureFile(name, *picture))
            found.texts.append(TextLine(sample.text_id, sample.text, str(file.resolve()), sample.columns["line"], name))
    if not found.texts and not found.failures:
        raise InputError(f"{files[0]} is empty: expected a row for each picture")
    return found


def _picture(sample: Sample, file: Path) -> tuple[str, int, int, str | None]:
    """(source, size_bytes, modified_ns, boxes) of a sample's picture."""
    if isinstance(sample.image, bytes):
        source = f"{file.resolve()}{WITHIN}{sample.columns['offset']}"
        return source, len(sample.image), file.stat().st_mtime_ns, None
    status = Path(str(sample.image)).stat()
    boxes = sample.columns.get("boxes")
    return str(sample.image), status.st_size, status.st_mtime_ns, None if boxes is None else json.dumps(boxes)


def _digest(sample: Sample) -> str:
    if isinstance(sample.image, bytes):
        return hashlib.blake2b(sample.image, digest_size=12).hexdigest()
    return json.dumps([str(sample.image), sample.columns.get("boxes")])


def _of_lists(where: Path, pictures: Path | None) -> Found:
    found = Found(where.resolve())
    lists = brivl_jsonl.read_lists(where, found.failures.append, pictures)
    for name, path in lists.images:
        status = path.stat()
        found.pictures.append(PictureFile(name, str(path), status.st_size, status.st_mtime_ns))
    source = str((where / brivl_jsonl.TEXTS).resolve())
    for name, text in lists.texts:
        found.texts.append(TextLine(name, text, source, int(name.rpartition(":")[2]), ""))
    return found


class Contents(Sequence["Picture"]):
    """Pictures as a model takes them, read when they are asked for: a path, or bytes out of a table."""

    def __init__(self, sources: Sequence[str]) -> None:
        """sources: as of `PictureFile`."""
        self.sources = sources

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, place: int) -> Picture: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Picture]: ...

    def __getitem__(self, place: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(place, slice):
            return Contents(self.sources[place])
        return content(self.sources[place])


def content(source: str) -> str | bytes:
    """The path that `source` is, or the bytes of the picture that it names inside a table.

    InputError where the table has no picture at that place any more.
    """
    if within.is_within(source):
        found = within.picture_within(source)
        return found if isinstance(found, bytes) else str(found)
    if not is_inside(source):
        return source
    path, _, offset = source.rpartition(WITHIN)
    return ernie_tsv.picture_at(Path(path), int(offset))


def is_inside(source: str) -> bool:
    """Whether a picture lies inside a table or dataset and not in a file of its own."""
    if within.is_within(source):
        return True
    path, _, offset = source.rpartition(WITHIN)
    return bool(path) and offset.isdecimal() and offset.isascii() and not Path(source).exists()


def boxes_of(rows: Sequence[PictureFile]) -> list[list[list[float]] | None] | None:
    """The boxes of each picture, None where its row names none; None if no row does."""
    if all(row.boxes is None for row in rows):
        return None
    return [None if row.boxes is None else json.loads(row.boxes) for row in rows]
