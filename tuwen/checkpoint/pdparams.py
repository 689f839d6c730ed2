"""The container of Paddle's weight files: one pickle of numpy arrays, whose numbers stay in the file where they lie.

The names that such a pickle may use are those that `paddle.save` writes with protocols 2 to 4, and no others.
"""

from __future__ import annotations

import math
import mmap
import pickletools
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from tuwen.checkpoint.pickles import Build, Foreign, PickleError, Reading, finish, read_pickle
from tuwen.checkpoint.records import SIZES, NumpyType, Storage, Stored

LONG_BYTES = 1024  # bytes and text of this size or more are not read with the pickle, only placed
# numpy's codes of the numbers that weights are made of. Paddle writes bfloat16 as uint16 and says so nowhere: it has no
# uint16 itself.
TYPES = {
    "b1": "bool", "u1": "uint8", "i1": "int8", "i2": "int16", "u2": "bfloat16", "f2": "float16", "i4": "int32",
    "u4": "uint32", "f4": "float32", "i8": "int64", "u8": "uint64", "f8": "float64", "c8": "complex64",
    "c16": "complex128",
}  # fmt: skip
# Operation -> how its length is written, and what follows: bytes as they are, or text in an encoding.
_LONG = {
    "BINBYTES": ("<I", ""), "BINBYTES8": ("<Q", ""), "BINUNICODE": ("<I", "utf-8"), "BINUNICODE8": ("<Q", "utf-8"),
    "BINSTRING": ("<i", "latin-1"),
}  # fmt: skip
_OPERATIONS = {operation.code: operation for operation in pickletools.opcodes}


@dataclass(frozen=True, eq=False)
class Span:
    """A long string of a pickle, still in its file: `size` bytes from `start`; text where it has an encoding."""

    data: mmap.mmap
    start: int
    size: int
    encoding: str = ""

    def read(self) -> str | bytes:
        content = self.data[self.start : self.start + self.size]
        return content.decode(self.encoding, "surrogatepass") if self.encoding else content


@dataclass(frozen=True, eq=False)
class _Encoded:
    """Bytes that protocol 2, which has none, writes as text in UTF-8 with one character per byte."""

    text: Span


@dataclass
class Array:
    """numpy.ndarray while it is being read; `stored` once its state has come."""

    stored: Stored | None = None

    def build(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[1], tuple)):
            raise PickleError("a numpy array of unknown layout")
        _, shape, kind, columns_first, numbers = state
        if isinstance(kind, Foreign):  # the file is refused by the name of the type
            return
        if not isinstance(kind, NumpyType):
            raise PickleError("a numpy array without a type")
        if kind.order == ">" and SIZES[TYPES[kind.code]] > 1:
            raise PickleError("its numbers are in big-endian order: save it again on an ordinary machine")
        self.stored = _stored(TYPES[kind.code], shape, bool(columns_first), numbers)


def _stored(dtype: str, shape: tuple[int, ...], columns_first: bool, numbers: Any) -> Stored:
    if not are_counts(shape):
        raise PickleError("a numpy array whose shape is no counts")
    count = math.prod(shape)
    before = [math.prod(shape[:axis]) for axis in range(len(shape))]
    after = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    storage, here = _placed(dtype, count, numbers)
    if here != storage.size_bytes:
        raise PickleError(f"a numpy array of shape {shape} and type {dtype} with {here:,} bytes")
    return Stored(storage, dtype, shape, tuple(before if columns_first else after))


def are_counts(shape: tuple[Any, ...] | list[Any]) -> bool:
    """Whether an array can have this shape; checked before its lengths are multiplied."""
    return len(shape) <= 64 and all(type(length) is int and 0 <= length < 1 << 48 for length in shape)


def _placed(dtype: str, count: int, numbers: Any) -> tuple[Storage, int]:
    """(the storage, its bytes); the bytes of numbers written as text are counted when they are read."""
    if isinstance(numbers, _Encoded):
        text = numbers.text
        storage = Storage(dtype, count, text.start, text.data, text.size)
        return storage, storage.size_bytes if count else -1
    if isinstance(numbers, Span) and numbers.encoding != "utf-8":
        return Storage(dtype, count, numbers.start, numbers.data), numbers.size
    if isinstance(numbers, str):  # what Python 2 wrote as a string
        numbers = numbers.encode("latin-1")
    if not isinstance(numbers, bytes):
        raise PickleError("a numpy array that is no array of numbers")
    return Storage(dtype, count, 0, bytearray(numbers)), len(numbers)


@dataclass
class Pickled:
    """What a pickle of numpy arrays holds; its arrays are `Stored`.

    foreign: the names it asked for that are none of Paddle's; arrays: how many it began, to tell it from other pickles.
    broken: why it could not be read to its end; cut_short: whether because that end is missing.
    """

    value: Any = None
    foreign: list[str] = field(default_factory=list)
    arrays: int = 0
    broken: str = ""
    cut_short: bool = False


def read_pdparams(data: mmap.mmap, start: int = 0) -> Pickled:
    """The pickle from byte `start`; never raises for what it finds there."""
    data.seek(start)
    arrays: list[Array] = []
    reading = read_pickle(data, _names(arrays), complete=False, operations=mapped_operations(data))
    found = Pickled(foreign=list(dict.fromkeys(reading.foreign)), arrays=len(arrays), broken=reading.broken)
    if found.broken:
        found.cut_short = data.tell() >= len(data)
    elif not found.foreign:
        _finish(found, reading)
    return found


def _finish(found: Pickled, reading: Reading) -> None:
    def turn(item: Any) -> Any:
        if isinstance(item, Array):
            if item.stored is None:
                raise PickleError("a numpy array without numbers")
            return item.stored
        if isinstance(item, Build):
            return item.name
        return item.read() if isinstance(item, Span) else item

    try:
        found.value = finish(reading.value, turn)
    except (PickleError, ValueError) as error:
        found.broken = str(error)


def mapped_operations(data: mmap.mmap) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int]]:
    """As pickletools.genops, but a long string is passed over and given as a `Span`.

    The positions do not count what was passed over, so that they tell how much was read.
    """
    passed = 0
    while True:
        position = data.tell() - passed
        code = data.read(1)
        operation = _OPERATIONS.get(code.decode("latin-1"))
        if operation is None:
            raise ValueError(f"the byte {code.hex()} where an operation was expected" if code else "it has no end")
        argument: Any = None
        if operation.name in _LONG:
            span = _long(data, *_LONG[operation.name])
            is_short = span.size < LONG_BYTES
            argument = span.read() if is_short else span
            passed += 0 if is_short else span.size
        elif operation.arg is not None:
            argument = operation.arg.reader(cast(Any, data))  # it only reads
        yield operation, argument, position
        if operation.name == "STOP":
            return


def _long(data: mmap.mmap, layout: str, encoding: str) -> Span:
    (size,) = struct.unpack(layout, data.read(struct.calcsize(layout)))
    start = data.tell()
    here = len(data) - start
    if not 0 <= size <= here:
        data.seek(len(data))
        raise ValueError(f"{size:,} bytes announced where {here:,} are left")
    data.seek(start + size)
    return Span(data, start, size, encoding)


def _names(arrays: list[Array]) -> Mapping[str, Any]:
    """The only names that may be used; every array that is begun is put into `arrays`."""

    def array(*_: Any) -> Array:
        arrays.append(Array())
        return arrays[-1]

    table: dict[str, Callable[..., Any]] = {
        "numpy.core.multiarray._reconstruct": array,
        "numpy._core.multiarray._reconstruct": array,
        "numpy.ndarray": array,
        "numpy.dtype": _type,
        "collections.OrderedDict": _ordered,
        "builtins.tuple": _tuple,
        "_codecs.encode": _encode,
    }
    return {name: Build(name, make) for name, make in table.items()}


def _type(code: Any, *_: Any) -> NumpyType | Foreign:
    code = str(code)
    return NumpyType(code) if code in TYPES else Foreign(f"numpy.dtype({code!r})")


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return {key: value for key, value in pairs if isinstance(key, str | int)}


def _tuple(items: Any = ()) -> tuple[Any, ...]:
    if not isinstance(items, list | tuple):
        raise PickleError("a tuple made of something else")
    return tuple(items)


def _encode(text: Any, encoding: Any = "") -> bytes | _Encoded:
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str | Span):
        raise PickleError(f"text to be encoded as {encoding!r}")
    if isinstance(text, str):
        return text.encode("latin-1")
    if text.encoding != "utf-8":
        raise PickleError("bytes to be encoded as if they were text")
    return _Encoded(text)
