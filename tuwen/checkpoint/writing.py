"""Write weight files: under a temporary name first, so that no reader ever meets half a file.

Written back means equal, not identical bytes of the container: `write_original` keeps names, order, types, shapes and
every bit of every tensor; `write_safetensors` keeps all but the order, which that format fixes by type and name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuwen.checkpoint.containers import SAFETENSORS_TYPES
from tuwen.errors import CheckpointError

# The safetensors library writes larger and later types first, then by name; doing the same gives the same bytes.
_ORDER = {getattr(torch, dtype): (-place, code) for place, (code, dtype) in enumerate(SAFETENSORS_TYPES.items())}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`: what is written there takes the place of `path` at the end, or vanishes.

    Raises CheckpointError with the system's reason where the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened, and a rename needs no more
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_original(
    path: Path | str, tensors: Mapping[str, Tensor], extra: Mapping[str, Any] | None = None, place: str = "state_dict"
) -> None:
    """Write torch's own container: {"epoch", "step", "name", ...extra, "state_dict"}.

    If `extra` is None, a bare state dict, as Hugging Face's pytorch_model.bin is.
    extra: plain data only, so that every loader that refuses code can read the file. place: the key of the tensors; of
    another than "state_dict" nothing but `extra` is beside it.
    Raises CheckpointError, leaving what was there, if anything cannot be written.
    """
    path = Path(path)
    alone = _alone(tensors)
    content: dict[str, Any] = dict(alone)
    if extra is not None:
        if place in extra:
            raise CheckpointError(f"extra has a {place!r} of its own: pass the tensors as tensors")
        _check_plain(extra, "extra")
        begin = {"epoch": 0, "step": 0, "name": ""} if place == "state_dict" else {}
        content = {**begin, **extra, place: alone}
    with replacing(path) as temporary, temporary.open("xb") as file:
        torch.save(content, file)  # to a file object: from a path it would put the temporary name into the archive


def _check_plain(value: Any, where: str, depth: int = 0) -> None:
    if depth == 0 or type(value) is dict:
        for key, item in value.items():
            _check_plain(item, f"{where}[{key!r}]", depth + 1)
    elif type(value) in (list, tuple):
        for place, item in enumerate(value):
            _check_plain(item, f"{where}[{place}]", depth + 1)
    elif type(value) not in (str, int, float, bool, bytes, type(None), Tensor):
        raise CheckpointError(f"{where} is a {type(value).__name__}: only numbers, text, lists and tensors are written")


def _alone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor on the CPU with a storage of its own size: a slice of a larger one would be saved with all of it.

    Two names of one and the same tensor stay one.
    """
    done: dict[tuple[Any, ...], Tensor] = {}
    alone: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        key = (tensor.device, tensor.dtype, tensor.data_ptr(), tensor.shape, tensor.stride())
        if key not in done or not tensor.numel():
            plain = tensor.detach().to("cpu").contiguous()
            fits = plain.untyped_storage().nbytes() == plain.nbytes
            done[key] = plain if fits else plain.clone()
        alone[name] = done[key]
    return alone


def write_safetensors(
    path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, byte for byte as its own library does, one tensor in memory at a time.

    metadata: text by text; {"format": "pt"}, which other readers ask for, is added.
    Raises CheckpointError, leaving what was there, if anything cannot be written.
    """
    path = Path(path)
    for name, tensor in tensors.items():
        if tensor.dtype not in _ORDER:
            raise CheckpointError(f"{name} is of type {tensor.dtype}, which safetensors cannot hold: convert it first")
    names = sorted(tensors, key=lambda name: (_ORDER[tensors[name].dtype][0], name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _ORDER[tensor.dtype][1],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as temporary, temporary.open("xb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(bytes_of(tensors[name]))


def bytes_of(tensor: Tensor) -> memoryview:
    """The numbers of a tensor in row-major order."""
    numbers = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    return memoryview(numbers.numpy())  # type: ignore[arg-type]  # a buffer, which mypy only learns in Python 3.12


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names in sorted order, types, shapes and bytes, as 64 hex digits.

    Equal for equal weights, whatever container, order or memory layout they come from.
    """
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name}\0{str(tensor.dtype).removeprefix('torch.')}\0{list(tensor.shape)}\0".encode())
        total.update(bytes_of(tensor))
    return total.hexdigest()
