"""The plain records that stand for tensors, storages and numpy values, and the only names a weight file may use."""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuwen.checkpoint.pickles import Build, Foreign, PickleError, finish
from tuwen.checkpoint.settings import SETTINGS

# Element type, by torch's own name -> bytes per element.
SIZES = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e5m2": 1, "float8_e4m3fn": 1, "float8_e5m2fnuz": 1, "float8_e4m3fnuz": 1,
    "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4, "float32": 4,
    "int64": 8, "uint64": 8, "float64": 8, "complex32": 4, "complex64": 8, "complex128": 16,
}  # fmt: skip
_STORAGES = {
    "Bool": "bool", "Byte": "uint8", "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64",
    "Half": "float16", "BFloat16": "bfloat16", "Float": "float32", "Double": "float64",
    "ComplexFloat": "complex64", "ComplexDouble": "complex128",
}  # fmt: skip


@dataclass(frozen=True)
class DType:
    """An element type as a pickle names it: `torch.float32`, or the class `torch.FloatStorage`."""

    name: str


@dataclass(eq=False)
class Storage:
    """A run of bytes in a file: `count` elements of `dtype` from byte `position` of `data`, -1 until that is known.

    text_bytes: where the bytes are written as text in UTF-8, one character for each, how long that text is.
    """

    dtype: str
    count: int
    position: int = -1
    data: mmap.mmap | bytearray | None = field(default=None, repr=False)
    text_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return self.count * SIZES[self.dtype]


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor still on disk: a view of a storage; offset and strides in elements of `dtype`."""

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def __post_init__(self) -> None:
        numbers = (*self.shape, *self.strides, self.offset)
        if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
            raise PickleError("a tensor whose shape, strides or offset are no counts")
        if len(self.shape) != len(self.strides) or len(self.shape) > 64:
            raise PickleError(f"a tensor of {len(self.shape)} dimensions with {len(self.strides)} strides")
        size = SIZES[self.dtype]
        last = 0
        if self.count:
            last = self.offset + 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        # The second test refuses zero strides that would make a huge tensor of a few bytes.
        if last * size > self.storage.size_bytes or self.count * size > self.storage.size_bytes:
            raise PickleError(
                f"a tensor of shape {_short(self.shape)} that needs {max(last, self.count) * size:,} bytes "
                f"of a storage of {self.storage.size_bytes:,}"
            )

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def _short(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


@dataclass(frozen=True, eq=False)
class Joined:
    """A tensor still on disk in pieces: `parts` one after another, cut to `shape`; the rest is padding."""

    parts: tuple[Stored, ...]
    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


# -- torch's names


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, _grad: Any = False, _hooks: Any = None, marks: Any = None
) -> Stored:
    if marks:
        raise PickleError(f"a tensor marked {marks!r}: only plain tensors are read")
    return _stored(storage, getattr(storage, "dtype", ""), offset, shape, strides)


def _tensor_with_dtype(
    storage: Any, offset: Any, shape: Any, strides: Any, _grad: Any, _hooks: Any, dtype: Any, marks: Any = None
) -> Stored:
    if marks or not isinstance(dtype, DType):
        raise PickleError("a tensor that is not plain")
    return _stored(storage, dtype.name, offset, shape, strides)


def _stored(storage: Any, dtype: str, offset: Any, shape: Any, strides: Any) -> Stored:
    if not (isinstance(storage, Storage) and isinstance(shape, tuple | list) and isinstance(strides, tuple | list)):
        raise PickleError("a tensor without a storage, shape or strides")
    return Stored(storage, dtype, tuple(shape), tuple(strides), offset)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _with_attributes(function: Any, _type: Any, arguments: Any, _state: Any) -> Any:
    if isinstance(function, Foreign):
        return function
    if not isinstance(function, Build) or not isinstance(arguments, tuple):
        raise PickleError("a tensor rebuilt by something that is no known name")
    return function.make(*arguments)


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return {key: value for key, value in pairs if isinstance(key, str | int)}


# -- numpy's names: a learning rate written by a numpy schedule is a numpy.float64


@dataclass(eq=False)
class NumpyType:
    """numpy.dtype while it is being read: its code ("f8"), then its byte order."""

    code: str
    order: str = "="

    def build(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|")):
            raise PickleError("a numpy type of unknown layout")
        self.order = state[1]

    def real(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[biufcSU]\d+", self.code):
            raise PickleError(f"a numpy value of type {self.code!r}, which is no number or text")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass(eq=False)
class NumpyArray:
    """numpy.ndarray while it is being read; `value` once its state has come, or the `problem` with it."""

    value: np.ndarray[Any, Any] | None = None
    problem: str = ""

    def build(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], NumpyType)):
            raise PickleError("a numpy array of unknown layout")
        _, shape, kind, columns_first, data = state
        if not isinstance(data, bytes) or not isinstance(shape, tuple):
            self.problem = "a numpy array that is no array of numbers"
            return
        self.value = np.frombuffer(data, kind.real()).reshape(shape, order="F" if columns_first else "C").copy()


def _numpy_type(code: Any, *_: Any) -> NumpyType:
    return NumpyType(str(code))


def _numpy_scalar(kind: Any, data: Any = b"") -> Any:
    if not isinstance(kind, NumpyType) or not isinstance(data, bytes):
        raise PickleError("a numpy number of unknown layout")
    values = np.frombuffer(data, kind.real())
    if len(values) != 1:
        raise PickleError(f"{len(values)} numbers where one was announced")
    return values[0].item()


def _encode(text: Any, encoding: Any = "") -> bytes:
    # Protocol 2 has no bytes: Python writes them as text in latin-1 and asks for this name to turn them back.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleError(f"text to be encoded as {encoding!r}")
    return text.encode("latin-1")


def _bytes(*arguments: Any) -> bytes:
    if arguments:
        raise PickleError("bytes built from arguments")
    return b""


def _known() -> Mapping[str, Any]:
    table: dict[str, Any] = {
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_with_dtype,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch._tensor._rebuild_from_type_v2": _with_attributes,
        "torch.Size": tuple,
        "torch.device": lambda *parts: ":".join(map(str, parts)),
        "collections.OrderedDict": _ordered,
        "_codecs.encode": _encode,
        "builtins.bytes": _bytes,
        "builtins.set": list,
        "builtins.frozenset": tuple,
        "numpy.dtype": _numpy_type,
        "numpy.ndarray": lambda *_: NumpyArray(),
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        table |= {f"{module}.scalar": _numpy_scalar, f"{module}._reconstruct": lambda *_: NumpyArray()}
    named: dict[str, Any] = {name: Build(name, make) for name, make in table.items()}
    named |= {f"torch.{storage}Storage": DType(dtype) for storage, dtype in _STORAGES.items()}
    named |= {f"torch.{dtype}": DType(dtype) for dtype in SIZES}
    named |= {name: DType("uint8") for name in ("torch.storage.UntypedStorage", "torch.UntypedStorage")}
    # Types that say which Python class a tensor was: a tensor is all that is read.
    named |= {name: name for name in ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")}
    return {**SETTINGS, **named}


KNOWN = _known()


def tensors_of(states: Any) -> dict[str, Stored | Joined]:
    """The tensors of a state dict, without what else is in it; empty where it is no dict."""
    if not isinstance(states, dict):
        return {}
    return {name: item for name, item in states.items() if isinstance(item, Stored) and isinstance(name, str)}


def holds_tensors(value: Any) -> bool:
    """Whether a tensor lies anywhere in `value`."""
    found = False

    def look(item: Any) -> None:
        nonlocal found
        found = found or isinstance(item, Stored | Storage)

    finish(value, look)
    return found


def plain(value: Any, tensor: Any = None) -> Any:
    """`value` with numpy records turned into arrays and, by `tensor`, stored tensors into tensors."""

    def turn(item: Any) -> Any:
        if isinstance(item, NumpyArray):
            if item.problem:
                raise PickleError(item.problem)
            return item.value
        if isinstance(item, NumpyType):
            return str(item.real())
        if isinstance(item, DType):
            return item.name
        if isinstance(item, Build):
            return item.name
        if isinstance(item, Stored) and tensor is not None:
            return tensor(item)
        return item

    return finish(value, turn)
