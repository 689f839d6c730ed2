"""Read published weight files: every tensor under the name it has there, mapped into memory, nothing ever run."""

from __future__ import annotations

import codecs
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from tuwen.checkpoint.containers import DamagedError
from tuwen.checkpoint.opening import damaged
from tuwen.checkpoint.pickles import PickleError
from tuwen.checkpoint.recognise import all_extra, examine
from tuwen.checkpoint.records import SIZES, Joined, Storage, Stored, plain
from tuwen.errors import CheckpointError

Value = TypeVar("Value")
# What DistributedDataParallel and DeepSpeed, a Lightning module around a model, Lightning's own wrapper, torch.compile
# and Paddle's DataParallel put before names.
WRAPPERS = ("module.", "model.", "_forward_module.", "_orig_mod.", "_layers.")


@dataclass(frozen=True)
class Checkpoint:
    """A weight file.

    container: "torch-zip", "torch-legacy", "safetensors", "pdparams" or "deepspeed".
    tensors: the state dict, exactly as named in the file and in its order; the values lie in the file until touched.
    extra: the plain data beside it (epoch, step, name; Lightning's hyper_parameters; a safetensors file's metadata;
        Paddle's table of names; the optimizer where asked for).
    notes: what was left out and why, one sentence each.
    """

    path: Path
    container: str
    tensors: dict[str, Tensor]
    extra: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(path: Path | str, optimizer: bool = False) -> Checkpoint:
    """Read a PyTorch, safetensors or Paddle file, the index of a sharded one, or a folder or tar archive of one.

    A PyTorch Lightning checkpoint gives the model's state dict. A DeepSpeed ZeRO folder, or the model-states file in
    it, gives the float32 weights that its processes hold in pieces: views of the files where a tensor is one piece.
    Linear weights of a Paddle file stay (in, out), as they lie there; bfloat16, which it writes as uint16, is bfloat16.

    optimizer: also put the optimizer's state, with its tensors, into `extra["optimizer"]`.
    Raises CheckpointError naming the file and what it is instead, or what in it was refused.
    """
    path = Path(path)
    found, parts = examine(path)
    if found.reason:
        raise CheckpointError(found.reason)
    tensors: dict[str, Tensor] = {}
    notes: list[str] = []
    extra, without = all_extra(parts)
    maker = _Maker()
    for part, left_out in zip(parts, without, strict=True):
        try:
            tensors |= {name: maker.tensor(stored) for name, stored in part.tensors.items()}
        except DamagedError as error:
            raise CheckpointError(damaged(part.content.path, error).reason) from error
        if optimizer and part.optimizer in left_out:
            left_out.remove(part.optimizer)
            try:
                extra["optimizer"] = plain(part.beside[part.optimizer], maker.tensor)
            except PickleError as error:
                raise CheckpointError(damaged(path, error).reason) from error
        notes += part.notes + [f"left out: {name}" for name in left_out]
    return Checkpoint(path, found.container, tensors, extra, notes)


class _Maker:
    """Tensors over the bytes of files; those that share a storage there share it here."""

    def __init__(self) -> None:
        self.made: dict[tuple[Storage, str], Tensor] = {}

    def tensor(self, stored: Stored | Joined) -> Tensor:
        if isinstance(stored, Joined):
            return self.joined(stored)
        key = (stored.storage, stored.dtype)
        if key not in self.made:
            self.made[key] = self.elements(stored.storage, stored.dtype)
        return self.made[key].as_strided(stored.shape, stored.strides, stored.offset)

    def joined(self, joined: Joined) -> Tensor:
        """The pieces as one tensor: a copy where there are several, or another type; a view of the file otherwise."""
        pieces = [self.tensor(part).reshape(-1) for part in joined.parts] or [torch.empty(0)]
        row = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        return row[: joined.count].to(getattr(torch, joined.dtype)).view(joined.shape)

    def elements(self, storage: Storage, name: str) -> Tensor:
        """All of a storage, as one row of numbers."""
        dtype: torch.dtype = getattr(torch, name)
        count = storage.size_bytes // SIZES[name]
        if not count:
            return torch.empty(0, dtype=dtype)
        data = storage.data
        if data is None:
            raise CheckpointError("a storage without a file")
        if storage.text_bytes:
            return torch.frombuffer(_from_text(storage, data), dtype=dtype, count=count)
        if storage.position % SIZES[name]:  # a legacy file packs without gaps, and some kernels need aligned numbers
            end = storage.position + storage.size_bytes
            return torch.frombuffer(bytearray(memoryview(data)[storage.position : end]), dtype=dtype, count=count)
        return torch.frombuffer(data, dtype=dtype, count=count, offset=storage.position)


def _from_text(storage: Storage, data: mmap.mmap | bytearray) -> bytearray:
    """The bytes that are written as text: as protocol 2 of pickle, which knows none, does."""
    text = memoryview(data)[storage.position : storage.position + storage.text_bytes]
    try:
        numbers = bytearray(codecs.decode(text, "utf-8"), "latin-1")
    except UnicodeError as error:
        raise DamagedError("the numbers of a tensor are written as text, and are none") from error
    if len(numbers) != storage.size_bytes:
        raise DamagedError(f"a tensor of {storage.size_bytes:,} bytes has {len(numbers):,}")
    return numbers


def strip_prefix(named: Mapping[str, Value], prefix: str = "module.") -> dict[str, Value]:
    """The same without a wrapper's prefix ("module.", as DistributedDataParallel adds) where a name has it.

    Raises CheckpointError where two names would become one.
    """
    stripped: dict[str, Value] = {}
    for name, value in named.items():
        short = name.removeprefix(prefix)
        if short in stripped:
            raise CheckpointError(f"{short} comes twice, with and without {prefix!r}: keep one of them")
        stripped[short] = value
    return stripped


def bare(named: Mapping[str, Value]) -> dict[str, Value]:
    """The same without the wrappers' prefixes that every name has: "module.model." of a DeepSpeed run, for one.

    A name that only contains such a word keeps it, and so do all names where a single one lacks the prefix.
    """
    names = list(named)
    while names:
        prefix = next((word for word in WRAPPERS if all(name.startswith(word) for name in names)), None)
        if prefix is None or prefix in names:
            break
        names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, named.values(), strict=True))
