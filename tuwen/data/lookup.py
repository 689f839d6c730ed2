"""Sequences and mappings whose values are read when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar, overload

from tuwen.data.ids import Ids

Value = TypeVar("Value", covariant=True)


class ByNumber(Sequence[Value]):
    """A sequence of which a subclass says how long it is and what stands `at` a place; a slice is a list."""

    @abstractmethod
    def at(self, number: int) -> Value:
        """The value at a place from 0 to the last."""

    @overload
    def __getitem__(self, place: int) -> Value: ...

    @overload
    def __getitem__(self, place: slice) -> list[Value]: ...

    def __getitem__(self, place: int | slice) -> Value | list[Value]:
        if isinstance(place, slice):
            return [self.at(number) for number in range(*place.indices(len(self)))]
        number = place + len(self) if place < 0 else place
        if not 0 <= number < len(self):
            raise IndexError(f"there is no item {place} of {len(self)}")
        return self.at(number)


class ById(Mapping[str, Value]):
    """A mapping of ids, of which a subclass says what stands `at` the place of an id."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids

    @abstractmethod
    def at(self, place: int) -> Value:
        """The value of the id at a place."""

    def __getitem__(self, id: str) -> Value:
        place = self.ids.place(id)
        if place is None:
            raise KeyError(id)
        return self.at(place)

    def __contains__(self, id: object) -> bool:
        return id in self.ids

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)
