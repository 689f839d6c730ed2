"""Open a file whose container we read, or say what it is instead, from its first bytes and its directory."""

from __future__ import annotations

import mmap
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import category

from tuwen.checkpoint.archives import ArchiveError, find_member
from tuwen.checkpoint.containers import (
    LEGACY_START,
    Content,
    DamagedError,
    called,
    list_zip,
    map_file,
    open_safetensors,
    open_torch_legacy,
    open_torch_zip,
)
from tuwen.checkpoint.pdparams import read_pdparams
from tuwen.checkpoint.pickles import Foreign, PickleError
from tuwen.checkpoint.signs import READABLE, sign

_HEAD_BYTES = 4096


class UnreadableError(Exception):
    """There are no weights to be had here: what it is instead, and a sentence that says why and what to do."""

    def __init__(self, kind: str, detail: str, reason: str, container: str = "") -> None:
        super().__init__(reason)
        self.kind = kind
        self.detail = _one_line(detail)
        self.reason = _one_line(reason)
        self.container = container


def _one_line(text: str) -> str:
    """The same where names from a damaged file may be anything."""
    shown = (letter.isprintable() or category(letter) == "Zs" for letter in text)  # Zs: spaces, full-width ones too
    return "".join(letter if good else "\ufffd" for letter, good in zip(text, shown, strict=True))


def open_file(path: Path) -> Content:
    """What a PyTorch, safetensors or Paddle file holds, or the only such file in a tar archive.

    UnreadableError for any other, and for one that is damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        content = _known(Part(path), head)
        if content is not None:
            return content
        kind, what, way_out = sign(path, head, path.stat().st_size)
        if kind == "tar":
            return _tar(path)
        raise UnreadableError(kind, what, f"{path.name} is {what}: {way_out}")
    except FileNotFoundError as error:
        raise UnreadableError("missing", "", f"{path} does not exist") from error
    except OSError as error:
        reason = f"{path} cannot be opened: {error.strerror or error}"
        raise UnreadableError("unreadable", "", reason) from error
    except (DamagedError, PickleError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception | str, inside: str = "") -> UnreadableError:
    """What to say of a file that is cut short or contradicts itself, or so of the file `inside` an archive."""
    name = called(path, inside)
    return UnreadableError("damaged", "", f"{name} is damaged: {error}; download or copy it again")


@dataclass(frozen=True)
class Part:
    """A file, or the file in an archive that lies from byte `start` to `end` and is called `inside` there."""

    path: Path
    start: int = 0
    end: int = 0
    inside: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return called(self.path, self.inside)

    @property
    def ending(self) -> str:
        return Path(self.inside or self.path).suffix

    def map(self) -> mmap.mmap:
        """The bytes up to its end; those before its start are there too, so that places count from the same byte."""
        return map_file(self.path, self.end)


def _known(part: Part, head: bytes) -> Content | None:
    """What the file that begins with `head` holds; None for one that is none of ours."""
    if head[:4] == b"PK\x03\x04":
        content = _zip(part, part.map())
    elif head.startswith(LEGACY_START):
        content = open_torch_legacy(part.path, part.map(), part.start)
    elif len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        content = open_safetensors(part.path, part.map(), part.start)
    elif head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        content = _pickle(part, part.map())
    else:
        return None
    content.inside = part.inside
    return content


def _tar(path: Path) -> Content:
    data = map_file(path)
    try:
        member = find_member(data)
    except ArchiveError as error:
        raise UnreadableError("tar", "a tar archive", f"{path.name} is a tar archive {error}") from error
    part = Part(path, member.start, member.end, member.name)
    head = data[part.start : min(part.start + _HEAD_BYTES, part.end)]
    try:
        content = _known(part, head)
    except (DamagedError, PickleError) as error:
        raise damaged(path, error, part.inside) from error
    if content is None:
        kind, what, way_out = sign(Path(part.inside), head, part.end - part.start)
        raise UnreadableError(kind, what, f"{part.name} is {what}: {way_out}")
    return content


# -- zip archives: torch's own, and others


def _zip(part: Part, data: mmap.mmap) -> Content:
    entries = list_zip(data)
    if entries is None:
        here = len(data) - part.start
        what = f"cut short: the {here:,} bytes here begin like a PyTorch file or zip archive but do not end as one"
        raise UnreadableError("truncated", what, f"{part.name} is {what}; download or copy it again")
    names = list(entries)
    ends = {name.rsplit("/", 1)[-1] for name in names}
    if "data.pkl" in ends and "constants.pkl" in ends:
        raise _torchscript(part.path, data, entries)
    if "data.pkl" in ends:
        return open_torch_zip(part.path, data, entries)
    if any(name.endswith(".npy") for name in names):
        what = "a numpy archive (.npz)"
    elif any(name.startswith("word/") or name == "[Content_Types].xml" for name in names):
        what = "an office document"
    else:
        what = f"a zip archive of {some(names)}"
    reason = f"{part.name} is {what}: if weights are inside, unpack it and name the file"
    raise UnreadableError("zip", what, reason)


def _torchscript(path: Path, data: mmap.mmap, entries: dict[str, zipfile.ZipInfo]) -> UnreadableError:
    try:
        root = open_torch_zip(path, data, entries).value
    except (DamagedError, PickleError):
        root = None
    parts = root.state if isinstance(root, Foreign) and isinstance(root.state, dict) else {}
    is_clip = {"visual", "transformer", "token_embedding", "logit_scale"} <= parts.keys()
    what = "a TorchScript program" + (", as OpenAI published CLIP" if is_clip else "")
    way_out = f"save its weights first: torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pt')"
    reason = f"{path.name} is {what}, which holds code beside weights: {way_out}"
    return UnreadableError("torchscript", what, reason)


# -- pickles: Paddle's, and others


def _pickle(part: Part, data: mmap.mmap) -> Content:
    found = read_pdparams(data, part.start)
    if not found.arrays and part.ending not in (".pdparams", ".pdopt"):
        what = "a plain Python pickle" + (f" that names {found.foreign[0]}" if found.foreign else "")
        raise UnreadableError("pickle", what, f"{part.name} is {what}, which tuwen does not run: {READABLE}")
    if found.broken and not found.foreign:
        if not found.cut_short:
            raise damaged(part.path, found.broken, part.inside)
        here = len(data) - part.start
        what = f"cut short: the {here:,} bytes here begin like a Paddle weight file but do not end as one"
        raise UnreadableError("truncated", what, f"{part.name} is {what}; download or copy it again", "pdparams")
    return Content(part.path, data, "pdparams", found.value, found.foreign)


def keys(value: Any) -> list[str]:
    """The keys of a dict as text; none of anything else."""
    return [str(key) for key in value] if isinstance(value, dict) else []


def some(names: list[str], limit: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")
