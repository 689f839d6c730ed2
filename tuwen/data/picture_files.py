"""Pictures of a dataset as files below a folder: what they are called, and how they get there all together."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Container
from pathlib import Path

from tuwen.data.folder import PICTURES
from tuwen.errors import InputError

ENDINGS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
}


def ending_of(content: bytes, id: str) -> str:
    """How the name of a picture's file should end: by its first bytes, else as its id does, else as JPEG."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    for begin, ending in ENDINGS.items():
        if content.startswith(begin):
            return ending
    own = os.path.splitext(id)[1].lower()  # noqa: PTH122 - ids are plain text
    return own[1:] if own in PICTURES else "jpg"


def file_name(id: str, ending: str, taken: Container[str]) -> str:
    """The name of a picture's file below a folder: its id where that is one, with an ending where it has none.

    taken: ids that may be names themselves. What else an id holds is written as %XX.
    """
    name = "/".join(_plain(part) for part in id.split("/"))
    if os.path.splitext(name)[1].lower() not in PICTURES:  # noqa: PTH122
        name = f"{name}.{ending}"
    if name != id and name in taken:
        name = f"{name.removesuffix('.' + ending)}%.{ending}"
    return name


def _plain(part: str) -> str:
    if part in ("", ".", ".."):
        return "%2E" * len(part) or "%"
    kept = "".join(letter if letter.isalnum() or letter in " ._-()+,=@~#" else _escaped(letter) for letter in part)
    kept = "%2E" + kept[1:] if kept.startswith(".") else kept
    raw = kept.encode()
    return kept if len(raw) <= 180 else f"{raw[:120].decode(errors='ignore')}%{_hash(raw):016x}"


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def _hash(raw: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


class NewPictures:
    """Files of pictures that get their names below `folder` all together: until `finish` they lie in `hidden`.

    begun: whether an earlier run is gone on with. InputError where another file has a name already, unless overwrite is
    set, or where a file cannot be written.
    """

    def __init__(self, folder: Path, hidden: Path, begun: bool, overwrite: bool) -> None:
        self.folder = folder
        self._hidden = hidden
        self._overwrite = overwrite
        if not begun:
            shutil.rmtree(self._hidden, ignore_errors=True)

    def write(self, name: str, content: bytes) -> None:
        """Add one."""
        place = self.folder / name
        try:
            if not self._overwrite and place.exists():
                if place.read_bytes() != content:
                    raise InputError(f"{place} is there already: choose another place, or pass --overwrite")
                return
            hidden = self._hidden / name
            hidden.parent.mkdir(parents=True, exist_ok=True)
            hidden.write_bytes(content)
        except OSError as error:
            raise _cannot(place, error) from error

    def finish(self) -> None:
        """Give them their names."""
        try:
            for where, _, names in os.walk(self._hidden):
                to = self.folder / Path(where).relative_to(self._hidden)
                to.mkdir(parents=True, exist_ok=True)
                for name in names:
                    (Path(where) / name).replace(to / name)
            shutil.rmtree(self._hidden, ignore_errors=True)
        except OSError as error:
            raise _cannot(self.folder, error) from error


def _cannot(place: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write {place}: {error.strerror or error}; what is done so far is kept under temporary names, run the "
        "same again to go on"
    )
