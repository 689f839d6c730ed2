"""A folder of pictures and text files, as people have them: what is there, in an order that never changes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tuwen.data.text_files import read_text
from tuwen.errors import InputError

PICTURES = frozenset(".jpg .jpeg .png .webp .bmp .gif .tif .tiff .ppm".split())
TEXTS = frozenset({".txt"})


@dataclass(frozen=True)
class PictureFile:
    """One picture. id: its path below the folder, with forward slashes, or its name in a table.

    source: its path on this machine, of a picture within a table that of the table, # and its place there; boxes: JSON
    of those that a table names, [[left, top, right, bottom], ...] in pixels.
    """

    id: str
    source: str
    size_bytes: int
    modified_ns: int
    boxes: str | None = None

    @property
    def key(self) -> str:
        """Equal as long as the file is unchanged."""
        return json.dumps([self.id, self.size_bytes, self.modified_ns, *([] if self.boxes is None else [self.boxes])])


@dataclass(frozen=True)
class TextLine:
    """One text. id: file and line ("cats/1.txt:3"); image: id of the picture of the same name beside it, else empty."""

    id: str
    text: str
    source: str
    line: int
    image: str

    @property
    def key(self) -> str:
        """Equal for equal texts."""
        return self.text


@dataclass(frozen=True)
class Failure:
    """A file that could not be used, and why; key: that of a picture, so that it is tried again only when changed."""

    id: str
    reason: str
    key: str = ""


@dataclass
class Found:
    """What an input holds; failures are files that cannot even be listed or read as text.

    origins: id of a picture that a table names -> the first row that does, "pairs.tsv:3".
    """

    root: Path
    pictures: list[PictureFile] = field(default_factory=list)
    texts: list[TextLine] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)


def find(path: Path) -> Found:
    """Everything to embed below a folder, or in a single picture or text file.

    Folders are searched to the bottom, in the order of their names; hidden files and folders are passed over. Each line
    of a .txt file is one text, empty lines are none. InputError if there is nothing at that path, or nothing usable.
    """
    path = path.expanduser()
    if path.is_dir():
        found = Found(path.resolve())
        files = list(_files(path))
        found.pictures, found.failures = _pictures(path, [name for name in files if _ending(name) in PICTURES])
        named = {os.path.splitext(picture.id)[0]: picture.id for picture in reversed(found.pictures)}  # noqa: PTH122
        for name in (name for name in files if _ending(name) in TEXTS):
            _add_texts(found, path / name, name, named.get(name[: -len(_ending(name))], ""))
        if not (found.pictures or found.texts or found.failures):
            endings = " ".join(sorted(PICTURES | TEXTS))
            what = "is empty" if not files else f"holds {len(files)} files but no picture and no text"
            raise InputError(f"the folder {path} {what}: expected files ending in {endings}")
        return found
    if not path.exists():
        raise InputError(f"{path} does not exist: name a folder of pictures, a picture or a .txt file")
    found = Found(path.resolve().parent)
    if _ending(path.name) in PICTURES:
        found.pictures, found.failures = _pictures(path.parent, [path.name])
    elif _ending(path.name) in TEXTS:
        _add_texts(found, path, path.name, "")
        if not (found.texts or found.failures):
            raise InputError(f"{path} holds no text: expected one text per line")
    else:
        endings = " ".join(sorted(PICTURES | TEXTS))
        raise InputError(f"{path} is neither a folder nor a picture nor a text file: expected an ending of {endings}")
    return found


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - names here are plain text, millions of them


def _files(folder: Path) -> Iterator[str]:
    """Paths below the folder, with forward slashes, sorted within each folder; nothing hidden."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(where).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        yield from (prefix + name for name in sorted(names) if not name.startswith("."))


def _pictures(folder: Path, names: list[str]) -> tuple[list[PictureFile], list[Failure]]:
    found, failures = [], []
    whole = folder.resolve()
    for name in names:
        try:
            name.encode()
            status = (folder / name).stat()
        except UnicodeEncodeError:
            readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            failures.append(Failure(readable, "its name is not UTF-8: rename it"))
            continue
        except OSError as error:  # a link that leads nowhere
            failures.append(Failure(name, error.strerror or str(error)))
            continue
        found.append(PictureFile(name, str(whole / name), status.st_size, status.st_mtime_ns))
    return found, failures


def _add_texts(found: Found, path: Path, name: str, image: str) -> None:
    try:
        lines = read_lines(path)
    except InputError as error:
        found.failures.append(Failure(name, str(error)))
        return
    source = str(path.resolve())
    found.texts += [TextLine(f"{name}:{number}", text, source, number, image) for number, text in lines]


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not empty, with their numbers from 1; InputError that names the file."""
    content = read_text(path)
    return [(number, line.strip()) for number, line in enumerate(content.split("\n"), 1) if line.strip()]
