"""The one weight file in a tar archive, found where it lies: nothing is unpacked, so no name in it can do anything."""

from __future__ import annotations

import mmap
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, cast

ENDINGS = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".pdparams")
MOST_MEMBERS = 10_000
LARGEST_HEADER_BYTES = 1 << 20  # names longer than this, as a member's header may hold, are none
_BLOCK = 512
_WAY_OUT = "download it from where it was published"


class ArchiveError(Exception):
    """Why no weights are read out of an archive; the message continues the sentence "NAME is a tar archive "."""


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name there, and its bytes from `start` to `end`."""

    name: str
    start: int
    end: int


def find_member(data: mmap.mmap) -> Member:
    """The only weight file of the archive; small files beside it do not matter.

    ArchiveError where there is none, or a choice, where the archive is cut short, and where it holds what could do
    harm if it were unpacked: links, devices, names that point out of the folder.
    """
    members: list[Member] = []
    names: list[str] = []
    for entry in _entries(data):
        name, end = entry.name, entry.offset_data + entry.size
        _check(entry)
        if entry.isdir() or PurePosixPath(name).name.startswith("._"):  # macOS puts such a file beside every other
            continue
        if not entry.offset_data <= end <= len(data):
            raise ArchiveError(f"that is cut short within {name}: download or copy it again")
        names.append(name)
        if name.endswith(ENDINGS):
            members.append(Member(name, entry.offset_data, end))
    if len(members) != 1:
        found = _some([member.name for member in members] or names)
        what = "with several weight files" if members else "without a weight file"
        raise ArchiveError(f"{what} ({found or 'it is empty'}): unpack it and name the one to read")
    return members[0]


def _check(entry: tarfile.TarInfo) -> None:
    name = entry.name
    if entry.issym() or entry.islnk():
        raise ArchiveError(f"with the link {name} to {entry.linkname}, which no published weights need: {_WAY_OUT}")
    if not (entry.isreg() or entry.isdir()) or entry.issparse():
        raise ArchiveError(f"with {name}, which is neither a plain file nor a folder: {_WAY_OUT}")
    outside = ".." in PureWindowsPath(name).parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
    if outside:
        raise ArchiveError(f"with the name {name}, which points out of its folder: {_WAY_OUT}")


def _entries(data: mmap.mmap) -> list[tarfile.TarInfo]:
    entries: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(fileobj=cast(Any, _Headers(data)), mode="r:") as archive:
            for entry in archive:
                entries.append(entry)
                if len(entries) > MOST_MEMBERS:
                    raise ArchiveError(
                        f"of more than {MOST_MEMBERS:,} files: unpack it and name the weight file inside"
                    )
            end = archive.offset
    except (tarfile.TarError, ValueError, OverflowError) as error:
        if entries and entries[-1].offset_data + entries[-1].size > len(data):  # said by the name of the member
            return entries
        raise ArchiveError(f"that is damaged ({error}): download or copy it again") from error
    rest = data[end : end + _BLOCK]
    if rest.strip(b"\0"):
        raise ArchiveError("that is damaged (no header where one was expected): download or copy it again")
    return entries


class _Headers:
    """A memory map as tarfile wants a file: reads headers, and nothing as large as weights."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.position = 0

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> int:
        self.position = position
        return position

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        content = self.data[self.position : self.position + size]
        self.position += len(content)
        return content


def _some(names: list[str], limit: int = 5) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")
