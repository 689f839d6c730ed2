"""Rename the tensors of a published file into ours and back by one table, and account for every one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Protocol

import torch
from torch import Tensor

from tuwen.errors import CheckpointError, UsageError

_WILD = {"i": r"0|[1-9]\d*", "j": r"0|[1-9]\d*", "w": "weight|bias|running_mean|running_var|num_batches_tracked"}
_PARTS = _WILD["w"].split("|")

# What the wildcards of a row stand for in one name: (("i", "3"), ("w", "bias")).
Binding = tuple[tuple[str, str], ...]
_Rank = tuple[int, tuple[int, ...], int, int, int]


class Change(Protocol):
    """A change of values on the way from theirs to ours that knows its way back; both take and give a row's tensors.

    Must be hashable, so that a table is compiled once.
    """

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]: ...
    def back(self, ours: Sequence[Tensor]) -> list[Tensor]: ...


@dataclass(frozen=True)
class Same:
    """Nothing changes but the name."""

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]:
        return list(theirs)

    def back(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return list(ours)


@dataclass(frozen=True)
class Transpose:
    """(A, B) <-> (B, A), as a view."""

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]:
        return [tensor.T for tensor in theirs]

    def back(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [tensor.T for tensor in ours]


@dataclass(frozen=True)
class Split:
    """One of theirs (count * A, ...) <-> `count` of ours (A, ...) each, its rows in order: views on the way in."""

    count: int

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]:
        (tensor,) = theirs
        if tensor.ndim == 0 or len(tensor) % self.count:
            raise ValueError(f"shape {tuple(tensor.shape)} does not split into {self.count} equal parts")
        return list(tensor.tensor_split(self.count))

    def back(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [torch.cat(list(ours))]


@dataclass(frozen=True)
class Stack:
    """`count` of theirs (A, ...) each <-> one of ours (count * A, ...), its rows in order: views on the way back."""

    count: int

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]:
        return Split(self.count).back(theirs)

    def back(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return Split(self.count).forward(ours)


@dataclass(frozen=True)
class StackTransposed:
    """`count` of theirs (A, B) each, stored as (in, out), <-> one of ours (count * B, A), its rows in order."""

    count: int

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]:
        return [torch.cat([tensor.T for tensor in theirs])]

    def back(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [part.T for part in Split(self.count).forward(ours)]


@dataclass(frozen=True)
class Unwrap:
    """(1, ..., 1, A, ...) <-> (A, ...): `count` leading dimensions of one element fall away, as a view."""

    count: int

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]:
        (tensor,) = theirs
        if tensor.shape[: self.count] != (1,) * self.count:
            raise ValueError(f"shape {tuple(tensor.shape)} does not begin with {self.count} times 1")
        return [tensor.reshape(tensor.shape[self.count :])]

    def back(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [tensor.reshape(*(1,) * self.count, *tensor.shape) for tensor in ours]


@dataclass(frozen=True)
class Key:
    """One row of a key map: their name or names, our name or names, and how the values change.

    {i} and {j} stand for a number, {w} for weight, bias or a running statistic; nothing else is a wildcard.
    Without a change, one name becomes one name, several of theirs stack into one of ours, one splits into several.
    """

    theirs: str | tuple[str, ...]
    ours: str | tuple[str, ...]
    change: Change | None = None

    def __post_init__(self) -> None:
        wild = {frozenset(_fields(name)) for name in (*_several(self.theirs), *_several(self.ours))}
        if len(wild) != 1:
            raise UsageError(f"{self.theirs} and {self.ours} must use the same wildcards in every name")
        if self.change is None and len(_several(self.theirs)) > 1 and len(_several(self.ours)) > 1:
            raise UsageError(f"{self.theirs} -> {self.ours}: several to several needs a change that says how")

    @cached_property
    def means(self) -> Change:
        """The change, spelled out where the numbers of names imply it."""
        theirs, ours = len(_several(self.theirs)), len(_several(self.ours))
        return self.change or (Same() if theirs == ours else Stack(theirs) if theirs > 1 else Split(ours))


def load(
    tensors: Mapping[str, Tensor], keys: Sequence[Key], drop: Sequence[str] = (), expected: Iterable[str] | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """Their tensors under our names, in the table's order, and the names that `drop` let go.

    Values are views of theirs wherever no rows are joined.
    expected: our names that must all come, and no others (a module's state dict); None does not check.
    Raises CheckpointError naming the tensors that no row places, the ones that are missing, and any placed twice.
    """
    table = _Table.of(tuple(keys), tuple(drop))
    dropped = [name for name in tensors if any(pattern.fullmatch(name) for pattern in table.drop)]
    gone = set(dropped)
    ours = table.rename({name: tensor for name, tensor in tensors.items() if name not in gone}, inwards=True)
    if expected is not None:
        wanted = dict.fromkeys(expected, ())
        differs = describe_mismatch(dict.fromkeys(ours, ()), wanted)
        if differs:
            raise CheckpointError(f"the weights do not fit the model: {differs}; choose the variant they belong to")
    return ours, dropped


def store(ours: Mapping[str, Tensor], keys: Sequence[Key]) -> dict[str, Tensor]:
    """Our tensors under their names, in the order of the table: what `load` read, bit for bit.

    Where several rows lead to the same name of ours, the first of them is the way back.
    Raises CheckpointError naming the tensors that no row places.
    """
    return _Table.of(tuple(keys), ()).rename(ours, inwards=False)


def describe_mismatch(ours: Mapping[str, Sequence[int]], module: Mapping[str, Sequence[int]]) -> str:
    """One sentence on how the shapes of `ours` (name -> shape) differ from those of a module; "" where they do not."""
    wrong = [
        f"{name} {tuple(ours[name])} instead of {tuple(shape)}"
        for name, shape in module.items()
        if name in ours and tuple(ours[name]) != tuple(shape)
    ]
    found = (
        ("missing", [name for name in module if name not in ours]),
        ("without a place in the model", [name for name in ours if name not in module]),
        ("of another shape", wrong),
    )
    return "; ".join(f"{len(names):,} {what}: {several(names)}" for what, names in found if names)


def several(names: Sequence[str], limit: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _fields(pattern: str) -> list[str]:
    found = re.findall(r"\{(\w*)\}", pattern)
    unknown = [name for name in found if name not in _WILD]
    if unknown:
        raise UsageError(f"{pattern}: {{{unknown[0]}}} is no wildcard; there are only {{i}}, {{j}} and {{w}}")
    return found


def _compiled(pattern: str) -> re.Pattern[str]:
    """ "a.{i}.{w}" as a regular expression with a group per wildcard."""
    text, seen = "", set[str]()
    for part in re.split(r"(\{\w\})", pattern):
        if not re.fullmatch(r"\{\w\}", part):
            text += re.escape(part)
        elif part in seen:
            text += f"(?P={part[1]})"
        else:
            text += f"(?P<{part[1]}>{_WILD[part[1]]})"
            seen.add(part)
    return re.compile(text)


@dataclass
class _Side:
    """One column of the table: for every row, its patterns as written and compiled."""

    names: list[tuple[str, ...]]
    patterns: list[list[re.Pattern[str]]] = field(init=False)

    def __post_init__(self) -> None:
        self.patterns = [[_compiled(name) for name in row] for row in self.names]

    def places(self, name: str) -> list[tuple[int, int, Binding]]:
        """Every (row, place in the row, binding) that `name` fits."""
        return [
            (row, place, tuple(sorted(match.groupdict().items())))
            for row, patterns in enumerate(self.patterns)
            for place, pattern in enumerate(patterns)
            if (match := pattern.fullmatch(name))
        ]


class _Table:
    """A compiled key map."""

    def __init__(self, keys: tuple[Key, ...], drop: tuple[str, ...]) -> None:
        self.keys = keys
        self.theirs = _Side([_several(key.theirs) for key in keys])
        self.ours = _Side([_several(key.ours) for key in keys])
        for pattern in drop:
            _fields(pattern)
        self.drop = [_compiled(pattern) for pattern in drop]

    @staticmethod
    @lru_cache(maxsize=64)
    def of(keys: tuple[Key, ...], drop: tuple[str, ...]) -> _Table:
        """The table of these rows, compiled once per process."""
        return _Table(keys, drop)

    def rename(self, tensors: Mapping[str, Tensor], inwards: bool) -> dict[str, Tensor]:
        """All of `tensors` through the table, theirs to ours if `inwards`, else ours to theirs."""
        source, target = (self.theirs, self.ours) if inwards else (self.ours, self.theirs)
        renamed: dict[str, tuple[_Rank, Tensor]] = {}
        for (row, binding), names in self._groups(tensors, source, inwards).items():
            change = self.keys[row].means
            values = [tensors[name] for name in names]
            try:
                changed = change.forward(values) if inwards else change.back(values)
            except (ValueError, RuntimeError) as error:
                raise CheckpointError(f"{several(names)}: {error}") from error
            for place, (pattern, value) in enumerate(zip(target.names[row], changed, strict=True)):
                name = pattern.format_map(dict(binding))
                if name in renamed:
                    raise CheckpointError(f"{several(names)} would become {name}, which another tensor already is")
                renamed[name] = self._rank(row, place, binding), value
        return {name: renamed[name][1] for name in sorted(renamed, key=lambda name: renamed[name][0])}

    def _groups(
        self, tensors: Mapping[str, Tensor], source: _Side, inwards: bool
    ) -> dict[tuple[int, Binding], list[str]]:
        """(row, binding) -> the names that it takes, complete, in the order of the table."""
        groups: dict[tuple[int, Binding], dict[int, str]] = {}
        unplaced = []
        for name in tensors:
            places = source.places(name)
            if not places:
                unplaced.append(name)
            elif inwards and len(places) > 1:
                rows = [str(self.keys[row].theirs) for row, _, _ in places]
                raise UsageError(f"{name} fits {len(places)} rows of the key map: {', '.join(rows)}")
            else:
                row, place, binding = places[0]
                groups.setdefault((row, binding), {})[place] = name
        missing = [
            pattern.format_map(dict(binding))
            for (row, binding), found in groups.items()
            for place, pattern in enumerate(source.names[row])
            if place not in found
        ]
        if unplaced or missing:
            raise CheckpointError(_unaccounted(unplaced, missing, len(tensors)))
        return {group: [found[place] for place in sorted(found)] for group, found in groups.items()}

    def _rank(self, row: int, place: int, binding: Binding) -> _Rank:
        """Where a tensor stands in the file: neighbouring rows that repeat, block by block; weight before bias."""
        bound = dict(binding)
        numbers = tuple(int(bound[name]) for name in ("i", "j") if name in bound)
        part = _PARTS.index(bound["w"]) if "w" in bound else -1
        return self._blocks[row], numbers, row, place, part

    @cached_property
    def _blocks(self) -> list[int]:
        """For each row, the first of the neighbouring rows that repeat with it ("resblocks.{i}. ...")."""
        heads = [_head(names[0]) for names in self.theirs.names]
        blocks: list[int] = []
        for row, head in enumerate(heads):
            together = row > 0 and head is not None and heads[row - 1] == head
            blocks.append(blocks[row - 1] if together else row)
        return blocks


def _head(pattern: str) -> str | None:
    """What comes before the first number, or None where there is no number."""
    found = re.search(r"\{[ij]\}", pattern)
    return pattern[: found.start()] if found else None


def _unaccounted(unplaced: list[str], missing: list[str], total: int) -> str:
    said = []
    if unplaced:
        said.append(f"{len(unplaced):,} of {total:,} tensors have no place: {several(unplaced)}")
    if missing:
        said.append(f"{len(missing):,} that belong to others are missing: {several(missing)}")
    return "; ".join(said) + "; these weights are of another family or variant, or not complete"
