"""Open a file whose container we read, or say what it is instead, from its first bytes and its directory."""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path
from typing import Any
from unicodedata import category

from tuwen.checkpoint.containers import (
    LEGACY_START,
    Content,
    DamagedError,
    list_zip,
    map_file,
    open_safetensors,
    open_torch_legacy,
    open_torch_zip,
)
from tuwen.checkpoint.pickles import Foreign, PickleError, read_pickle
from tuwen.checkpoint.records import KNOWN, NumpyArray
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
    """What a PyTorch or safetensors file holds; UnreadableError for any other, and for one that is damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head[:4] == b"PK\x03\x04":
            return _zip(path)
        if head.startswith(LEGACY_START):
            return open_torch_legacy(path, map_file(path))
        if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
            return open_safetensors(path, map_file(path))
        if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            raise _pickle(path, map_file(path))
        kind, what, way_out = sign(path, head, path.stat().st_size)
        raise UnreadableError(kind, what, f"{path.name} is {what}: {way_out}")
    except FileNotFoundError as error:
        raise UnreadableError("missing", "", f"{path} does not exist") from error
    except OSError as error:
        reason = f"{path} cannot be opened: {error.strerror or error}"
        raise UnreadableError("unreadable", "", reason) from error
    except (DamagedError, PickleError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception | str) -> UnreadableError:
    """What to say of a file that is cut short or contradicts itself."""
    return UnreadableError("damaged", "", f"{path.name} is damaged: {error}; download or copy it again")


# -- zip archives: torch's own, and others


def _zip(path: Path) -> Content:
    data, entries = map_file(path), list_zip(path)
    if entries is None:
        what = f"cut short: the {len(data):,} bytes here begin like a PyTorch file or zip archive but do not end as one"
        raise UnreadableError("truncated", what, f"{path.name} is {what}; download or copy it again")
    names = list(entries)
    ends = {name.rsplit("/", 1)[-1] for name in names}
    if "data.pkl" in ends and "constants.pkl" in ends:
        raise _torchscript(path, data, entries)
    if "data.pkl" in ends:
        return open_torch_zip(path, data, entries)
    if any(name.endswith(".npy") for name in names):
        what = "a numpy archive (.npz)"
    elif any(name.startswith("word/") or name == "[Content_Types].xml" for name in names):
        what = "an office document"
    else:
        what = f"a zip archive of {some(names)}"
    reason = f"{path.name} is {what}: if weights are inside, unpack it and name the file"
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


# -- pickles that are not torch's


def _pickle(path: Path, data: mmap.mmap) -> UnreadableError:
    reading = read_pickle(data, KNOWN, complete=False)
    reached = [reading.value, *reading.reached]
    parts = reached + [part for item in reached if isinstance(item, dict) for part in item.values()]
    is_paddle = path.suffix in (".pdparams", ".pdopt")
    is_paddle = is_paddle or any("StructuredToParameterName@@" in keys(item) for item in reached)
    if is_paddle or any(isinstance(part, NumpyArray) for part in parts):
        what = "a Paddle weight file" if is_paddle else "a pickle of numpy arrays, as Paddle writes"
        return UnreadableError("paddle", what, f"{path.name} is {what}: this version reads none; {READABLE}")
    what = "a plain Python pickle" + (f" that names {reading.foreign[0]}" if reading.foreign else "")
    return UnreadableError("pickle", what, f"{path.name} is {what}, which tuwen does not run: {READABLE}")


def keys(value: Any) -> list[str]:
    """The keys of a dict as text; none of anything else."""
    return [str(key) for key in value] if isinstance(value, dict) else []


def some(names: list[str], limit: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")
