"""Write Paddle's weight file: what `paddle.save` writes for a state dict, so that Paddle, or pickle and numpy, read it.

The operations are written one by one, because Python's pickler keeps all that it has written in memory, and names a
module of numpy that no version before 1.26 has.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from torch import Tensor

from tuwen.checkpoint.paddle import TABLE
from tuwen.checkpoint.pdparams import TYPES
from tuwen.checkpoint.writing import bytes_of, replacing
from tuwen.errors import CheckpointError

_CODES = {dtype: code for code, dtype in TYPES.items()}
_START, _STOP = b"\x80\x04", b"."  # protocol 4, Paddle's own default
_DICT, _MARK, _FILL = b"}", b"(", b"u"
_TUPLE, _CALL, _SET, _FALSE, _TRUE, _NONE = b"t", b"R", b"b", b"\x89", b"\x88", b"N"


def write_pdparams(path: Path | str, tensors: Mapping[str, Tensor]) -> None:
    """A .pdparams file: the tensors under their names in their order, and the table of names that Paddle asks for.

    Paddle tells by that table which entries are tensors; the names inside it, of Paddle's own making, are those of the
    tensors here. bfloat16 is written as uint16 with the same bits, as Paddle does. Numbers are in row-major order, one
    tensor in memory at a time. CheckpointError, leaving what was there, if anything cannot be written.
    """
    path = Path(path)
    for name, tensor in tensors.items():
        if _type_of(tensor) not in _CODES:
            raise CheckpointError(f"{name} is of type {tensor.dtype}, which .pdparams cannot hold: convert it first")
    with replacing(path) as temporary, temporary.open("xb") as file:
        file.write(_START + _DICT + _MARK)
        for name, tensor in tensors.items():
            file.write(_text(name))
            _array(file, tensor)
        file.write(_text(TABLE) + _DICT + _MARK + b"".join(_text(name) * 2 for name in tensors) + _FILL)
        file.write(_FILL + _STOP)


def _type_of(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _array(file: IO[bytes], tensor: Tensor) -> None:
    """numpy.ndarray: an empty one, which is then given its shape, type and numbers."""
    code = _CODES[_type_of(tensor)]
    empty = _MARK + _name("numpy", "ndarray") + _tuple(_number(0)) + b"C\x01b" + _TUPLE
    file.write(_name("numpy.core.multiarray", "_reconstruct") + empty + _CALL)
    file.write(_MARK + _number(1) + _tuple(*map(_number, tensor.shape)) + _numpy_type(code) + _FALSE)
    numbers = bytes_of(tensor)
    file.write(_length(b"C", b"B", b"\x8e", len(numbers)))
    file.write(numbers)
    file.write(_TUPLE + _SET)


def _numpy_type(code: str) -> bytes:
    order = "|" if code in ("b1", "u1", "i1") else "<"
    made = _name("numpy", "dtype") + _MARK + _text(code) + _FALSE + _TRUE + _TUPLE + _CALL
    state = (_number(3), _text(order), _NONE, _NONE, _NONE, _number(-1), _number(-1), _number(0))
    return made + _tuple(*state) + _SET


def _tuple(*items: bytes) -> bytes:
    return _MARK + b"".join(items) + _TUPLE


def _name(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


def _text(text: str) -> bytes:
    content = text.encode()
    return _length(b"\x8c", b"X", b"\x8d", len(content)) + content


def _number(number: int) -> bytes:
    """As four bytes where they suffice, else as bytes with their count."""
    if -(1 << 31) <= number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    content = number.to_bytes(8, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def _length(short: bytes, medium: bytes, long: bytes, size: int) -> bytes:
    """The operation for bytes or text of this size, and the size: in one, four or eight bytes."""
    if size < 1 << 8:
        return short + bytes([size])
    return medium + struct.pack("<I", size) if size < 1 << 32 else long + struct.pack("<Q", size)
