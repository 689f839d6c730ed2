"""Read a pickle as data: a machine that builds numbers, strings and containers, and imports and runs nothing.

Python's own unpickler looks names up and calls what it finds. This one never does: a name is either in the small table
of its caller, whose entries build plain records, or it stays an inert `Foreign`, listed so that the reader can refuse
the file by that name.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# Weights lie outside the pickle, which holds only names, shapes and settings: 50,000 tensors need less than this,
# and a file made to exhaust the machine gets no further.
LARGEST_PICKLE_BYTES = 16 << 20
MOST_OPERATIONS = 4_000_000
DEEPEST = 64


class Stream(Protocol):
    """What is read: an open file, a BytesIO, or a memory map."""

    def read(self, size: int = ..., /) -> bytes: ...
    def readline(self) -> bytes: ...
    def tell(self) -> int: ...


class PickleError(Exception):
    """The bytes are no well-formed pickle, or use an operation that no weight file needs."""


@dataclass(frozen=True)
class Build:
    """A name that may be called: `make(*arguments)` returns plain data, or a `Foreign` where it refuses these."""

    name: str
    make: Callable[..., Any]


@dataclass(eq=False)
class Foreign:
    """A name outside the table, or what calling it would have made; nothing was imported or called.

    `state` holds what the pickle would have put into the object: its attributes where they are a dict.
    """

    name: str
    state: Any = None


@dataclass
class Reading:
    """One pickle: its value, the names it asked for that are not in the table, and, if it broke off, what there was.

    called: those of the foreign names that it wanted called as functions, not only made objects of.
    broken: why it broke off.
    """

    value: Any = None
    foreign: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    reached: list[Any] = field(default_factory=list)
    broken: str = ""


def read_pickle(
    stream: Stream,
    known: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None = None,
    complete: bool = True,
    operations: Iterator[Any] | None = None,
) -> Reading:
    """One pickle from `stream`, which is left behind its end.

    known: "module.name" -> a `Build`, or the plain value that the name stands for.
    persistent: turns a persistent id (torch: a reference to a storage) into a record.
    complete: False returns what was `reached` at the size limit or the first damage instead of raising PickleError.
    operations: those of `stream` as (operation, argument, position), where pickletools.genops shall not read them.
    """
    machine = _Machine(known, persistent)
    start = stream.tell()
    try:
        # genops only asks for read, readline and tell; its stub wants a whole IO[bytes].
        operations = operations or pickletools.genops(stream)  # type: ignore[arg-type]
        for count, (operation, argument, position) in enumerate(operations):
            if (position or 0) - start > LARGEST_PICKLE_BYTES or count > MOST_OPERATIONS:
                raise PickleError("its pickle is far larger than that of any weight file")
            machine.step(operation.name, argument)
        machine.reading.value = machine.stack.pop()
    except (PickleError, ValueError, LookupError, TypeError, OverflowError, struct.error) as error:
        if complete:
            raise PickleError(str(error) or type(error).__name__) from error
        machine.reading.reached = machine.everything()
        machine.reading.broken = str(error) or type(error).__name__
    return machine.reading


class _Machine:
    """The stack, the memo, and one method per group of operations."""

    def __init__(self, known: Mapping[str, Any], persistent: Callable[[Any], Any] | None) -> None:
        self.known = known
        self.persistent = persistent
        self.reading = Reading()
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def everything(self) -> list[Any]:
        """All that lies on the stacks, outermost first."""
        return [item for stack in (*self.marks, self.stack) for item in stack]

    def step(self, operation: str, argument: Any) -> None:
        if operation in _IGNORED:
            return
        if operation in _CONSTANTS:
            self.stack.append(_CONSTANTS[operation])
        elif operation in _VALUES:
            self.stack.append(argument)
        elif operation in _EMPTY:
            self.stack.append(_EMPTY[operation]())
        elif operation in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif operation in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        else:
            method = getattr(self, f"do_{operation.lower()}", None)
            if method is None:
                raise PickleError(f"operation {operation}, which no weight file needs")
            method(argument)

    # -- the stack

    def do_mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def do_pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def do_pop_mark(self, _: Any) -> None:
        self.marked()

    def do_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    # -- containers

    def do_tuple(self, _: Any) -> None:
        items = tuple(self.marked())
        self.stack.append(items)

    def do_tuple1(self, _: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def do_tuple2(self, _: Any) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def do_tuple3(self, _: Any) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    do_frozenset = do_tuple

    def do_list(self, _: Any) -> None:
        items = self.marked()
        self.stack.append(items)

    def do_dict(self, _: Any) -> None:
        items = self.marked()
        self.stack.append({})
        self.fill(items)

    def do_append(self, _: Any) -> None:
        item = self.stack.pop()
        self.extend([item])

    def do_appends(self, _: Any) -> None:
        self.extend(self.marked())

    do_additems = do_appends

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Foreign):
            raise PickleError("items appended to something that is no list")

    def do_setitem(self, _: Any) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self.fill([key, value])

    def do_setitems(self, _: Any) -> None:
        self.fill(self.marked())

    def fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Foreign):
            return
        if not isinstance(target, dict) or len(items) % 2:
            raise PickleError("keys and values set on something that is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    # -- names, calls and objects

    def find(self, module: str, name: str) -> Any:
        name = f"{_MODERN.get(module, module)}.{name}"
        if name in self.known:
            return self.known[name]
        self.reading.foreign.append(name)
        return Foreign(name)

    def do_global(self, argument: str) -> None:
        module, name = argument.split(" ", 1)
        self.stack.append(self.find(module, name))

    def do_stack_global(self, _: Any) -> None:
        name = self.stack.pop()
        module = self.stack.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleError("a name that is no string")
        self.stack.append(self.find(module, name))

    def call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Foreign):
            self.reading.called.append(function.name)
        return self.make(function, arguments)

    def make(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Foreign):
            return Foreign(function.name)
        if not isinstance(function, Build) or not isinstance(arguments, tuple):
            raise PickleError("a call of something that cannot be called")
        made = function.make(*arguments)
        if isinstance(made, Foreign):
            self.reading.foreign.append(made.name)
        return made

    def do_reduce(self, _: Any) -> None:
        arguments = self.stack.pop()
        self.stack.append(self.call(self.stack.pop(), arguments))

    def do_newobj(self, _: Any) -> None:
        arguments = self.stack.pop()
        self.stack.append(self.make(self.stack.pop(), arguments))

    def do_newobj_ex(self, _: Any) -> None:
        self.stack.pop()  # keyword arguments: none of the known names takes any
        self.do_newobj(None)

    def do_inst(self, argument: str) -> None:
        arguments = tuple(self.marked())
        module, name = argument.split(" ", 1)
        self.stack.append(self.call(self.find(module, name), arguments))

    def do_obj(self, _: Any) -> None:
        function, *arguments = self.marked()
        self.stack.append(self.call(function, tuple(arguments)))

    def do_build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Foreign):
            target.state = state
        elif hasattr(type(target), "build"):
            target.build(state)
        elif not isinstance(target, dict):  # a dict's attributes (a state dict's `_metadata`) hold no tensors: left out
            raise PickleError("a state set on something that takes none")

    def do_binpersid(self, _: Any) -> None:
        self.do_persid(self.stack.pop())

    def do_persid(self, argument: Any) -> None:
        if self.persistent is None:
            raise PickleError("a reference to something outside the pickle")
        self.stack.append(self.persistent(argument))


# Protocol 2, which torch writes, names modules as Python 2 did.
_MODERN = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list,
}  # fmt: skip
_VALUES = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
)


def _key(key: Any) -> Any:
    """The key itself, if it is flat: hashing a deeply nested tuple would overflow the interpreter's own stack."""
    parts = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(part, str | int | float | bytes | Foreign | None) for part in parts):
        raise PickleError(f"a dict key of type {type(key).__name__}")
    return key


def finish(value: Any, turn: Callable[[Any], Any]) -> Any:
    """A copy of `value` with `turn` applied to all that is not a plain list, tuple or dict.

    Raises PickleError where it is nested deeper than 64 levels, as only a file that refers to itself is.
    """
    done: dict[int, Any] = {}

    def walk(item: Any, depth: int) -> Any:
        if depth > DEEPEST:
            raise PickleError(f"data nested deeper than {DEEPEST} levels")
        if not isinstance(item, list | tuple | dict):
            return turn(item)
        if id(item) not in done:  # shared parts once: lists of lists of the same list would grow without end
            if isinstance(item, dict):
                done[id(item)] = {key: walk(part, depth + 1) for key, part in item.items()}
            else:
                parts = [walk(part, depth + 1) for part in item]
                done[id(item)] = tuple(parts) if isinstance(item, tuple) else parts
        return done[id(item)]

    return walk(value, 0)
