"""One side of a fusion, computed once and kept: in memory, on a device, or in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from tuwen import checkpoint, keymap
from tuwen.errors import CheckpointError, InputError, UsageError

FORMAT = "1"  # of saved states
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class HasFingerprint(Protocol):
    """A model: asked for its fingerprint only when one is needed, because it reads every weight."""

    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class State:
    """Pictures or texts as far as they go without the other side: all that a fusion takes from them.

    kind: "image" or "text". rows (tokens of all items, K, D): one item after the other, without padding; lengths: each
    item's tokens. made_by: the model, or its fingerprint where the state comes from a file.
    `state[3]`, `state[:10]` and `state[[4, 1]]` are states of those items.
    """

    kind: str
    rows: Tensor
    lengths: tuple[int, ...]
    made_by: str | HasFingerprint

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        megabytes = self.rows.numel() * self.rows.element_size() / 1e6
        return f"<tuwen.State of {len(self)} {self.kind}s, {megabytes:.1f} MB, {str(self.rows.dtype)[6:]}>"

    @property
    def fingerprint(self) -> str:
        """Of the weights and the preprocessing that made it."""
        return self.made_by if isinstance(self.made_by, str) else self.made_by.fingerprint

    @property
    def starts(self) -> list[int]:
        """Where each item's rows begin."""
        return [0, *accumulate(self.lengths)][:-1]

    def __getitem__(self, items: int | slice | Sequence[int]) -> State:
        if isinstance(items, int):
            items = [items]
        if isinstance(items, slice) and items.step in (None, 1):
            first, last, _ = items.indices(len(self))
            start = sum(self.lengths[:first])
            lengths = self.lengths[first:last]
            return replace(self, rows=self.rows[start : start + sum(lengths)], lengths=lengths)
        numbers = range(*items.indices(len(self))) if isinstance(items, slice) else items
        starts = self.starts
        chosen = [range(len(self))[number] for number in numbers]  # IndexError, and negative numbers from the end
        pieces = [self.rows[starts[item] : starts[item] + self.lengths[item]] for item in chosen]
        rows = torch.cat(pieces) if pieces else self.rows[:0]
        return replace(self, rows=rows, lengths=tuple(self.lengths[item] for item in chosen))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> State:
        """The same on a device, or in another type: "float16" halves its size, at a loss that the docs give."""
        kind = torch_dtype(dtype) if isinstance(dtype, str) else dtype
        return replace(self, rows=self.rows.to(device=device, dtype=kind))

    def padded(self) -> tuple[Tensor, Tensor | None]:
        """-> levels (B, T, K, D), and mask (B, T), True where real, or None where all are."""
        longest = max(self.lengths)
        if min(self.lengths) == longest:
            return self.rows.view(len(self), longest, *self.rows.shape[1:]), None
        levels = self.rows.new_zeros(len(self), longest, *self.rows.shape[1:])
        lengths = torch.tensor(self.lengths, device=self.rows.device)
        mask = torch.arange(longest, device=self.rows.device) < lengths[:, None]
        levels[mask] = self.rows
        return levels, mask

    @staticmethod
    def join(states: Iterable[State]) -> State:
        """Several of one kind and one model, one after the other. UsageError for a mixture."""
        parts = list(states)
        if not parts:
            raise UsageError("there is no state to join")
        kinds = sorted({f"{part.kind}s" for part in parts})
        if len(kinds) > 1:
            raise UsageError(f"these are states of {' and of '.join(kinds)}: only states of one kind can be joined")
        one = parts[0].made_by
        if any(part.made_by is not one for part in parts) and len({part.fingerprint for part in parts}) > 1:
            raise UsageError("different models made these states: only those of one model can be joined")
        rows = torch.cat([part.rows for part in parts])
        return replace(parts[0], rows=rows, lengths=tuple(length for part in parts for length in part.lengths))

    def save(self, path: str | Path) -> None:
        """One safetensors file, which appears whole; `State.open` reads it."""
        described = {"tuwen_state": FORMAT, "kind": self.kind, "fingerprint": self.fingerprint}
        tensors = {"rows": self.rows.contiguous().cpu(), "lengths": torch.tensor(self.lengths, dtype=torch.long)}
        checkpoint.write_safetensors(Path(path), tensors, described)

    @staticmethod
    def open(path: str | Path) -> State:
        """What `save` wrote; the rows stay in the file until they are used. InputError for any other file."""
        try:
            read = checkpoint.read(Path(path))
        except CheckpointError as error:
            raise InputError(f"{path} holds no state: {error}") from None
        described, tensors = read.extra, read.tensors
        if not {"tuwen_state", "kind", "fingerprint"} <= described.keys() or set(tensors) != {"rows", "lengths"}:
            raise InputError(f"{path} holds no state that tuwen saved, but {keymap.several(sorted(tensors), 3)}")
        lengths = tuple(tensors["lengths"].tolist())
        if described["tuwen_state"] != FORMAT or sum(lengths) != len(tensors["rows"]):
            raise InputError(f"{path} was written by another version of tuwen, or is damaged: compute it again")
        return State(described["kind"], tensors["rows"], lengths, described["fingerprint"])


def check_made_by(state: State, model: HasFingerprint, kind: str) -> None:
    """UsageError unless the state is of this kind and this model, with its preprocessing, made it."""
    if state.kind != kind:
        raise UsageError(f"this is a state of {state.kind}s where one of {kind}s belongs")
    if state.made_by is not model and state.fingerprint != model.fingerprint:
        raise UsageError(
            f"this {kind} state was made by another model or preprocessing (fingerprint {state.fingerprint}, this "
            f"model has {model.fingerprint}): compute it again"
        )


def torch_dtype(name: str) -> torch.dtype:
    """The torch type of a name such as "bfloat16"; UsageError for any other."""
    if name not in DTYPES:
        raise UsageError(f"dtype is {name!r}: it must be one of {', '.join(DTYPES)}")
    return DTYPES[name]
