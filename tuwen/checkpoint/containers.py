"""Open the containers that hold weights as records of where each tensor lies, without making a tensor."""

from __future__ import annotations

import io
import json
import math
import mmap
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tuwen.checkpoint.pickles import PickleError, read_pickle
from tuwen.checkpoint.records import KNOWN, SIZES, DType, Joined, Storage, Stored

# The first pickle of a file written by torch before 1.6: the number 0x1950A86A20F9469CFC6C.
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
LARGEST_HEADER_BYTES = 100 << 20

SAFETENSORS_TYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn", "I16": "int16",
    "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32", "U32": "uint32", "F32": "float32",
    "C64": "complex64", "F64": "float64", "I64": "int64", "U64": "uint64",
}  # fmt: skip


class DamagedError(Exception):
    """The file is cut short or contradicts itself; the message continues the sentence "NAME is damaged: "."""


@dataclass
class Content:
    """What a file holds: the pickled value or the named tensors, as records into its bytes.

    foreign: names that its pickle asked for and that are no part of any weight file; called: those it wanted to run.
    inside: the file's name in the archive, where `path` is one.
    """

    path: Path
    data: mmap.mmap
    container: str
    value: Any
    foreign: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    inside: str = ""

    @property
    def name(self) -> str:
        """What people call it."""
        return called(self.path, self.inside)


def called(path: Path, inside: str = "") -> str:
    """What people call a file, or the file `inside` an archive."""
    return f"{inside} in {path.name}" if inside else path.name


@dataclass
class Weights:
    """The tensors of one file or folder, still on disk, and what lies beside them.

    optimizer: the key in `beside` under which the optimizer's state lies, if it is there.
    notes: what was left out already; facts: what its trainer tells of itself, for people.
    """

    content: Content
    tensors: dict[str, Stored | Joined]
    beside: dict[str, Any] = field(default_factory=dict)
    optimizer: str = "optimizer"
    notes: list[str] = field(default_factory=list)
    facts: str = ""


def map_file(path: Path, end: int = 0) -> mmap.mmap:
    """The bytes of a file, up to `end` unless that is 0, in memory only where they are touched.

    The map is private and writable, as torch asks of memory it takes over: writing to it never reaches the file.
    """
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), end, access=mmap.ACCESS_COPY)


# -- torch 1.6 and later: a zip archive with one pickle, and one uncompressed entry per storage


def list_zip(data: mmap.mmap) -> dict[str, zipfile.ZipInfo] | None:
    """The entries of a zip archive by name, or None where its directory, which is at the end, is missing or broken.

    What lies before the archive does not matter: the places of the entries count from the start of `data`.
    """
    try:
        with zipfile.ZipFile(cast(Any, data)) as archive:  # it only reads, seeks and tells
            return {entry.filename: entry for entry in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error):
        return None


def open_torch_zip(path: Path, data: mmap.mmap, entries: dict[str, zipfile.ZipInfo]) -> Content:
    """`data.pkl` with its storages placed in the file."""
    name = next(name for name in entries if name.endswith("/data.pkl") or name == "data.pkl")
    root = name.removesuffix("data.pkl")
    if f"{root}byteorder" in entries and _entry(data, entries[f"{root}byteorder"]) == b"big":
        raise DamagedError("its numbers are in big-endian order: save it again on an ordinary machine")
    storages: dict[str, Storage] = {}

    def persistent(reference: Any) -> Storage:
        storage, key = _storage(reference)
        entry = entries.get(f"{root}data/{key}")
        if entry is None:
            raise PickleError(f"storage {key} is not in the archive")
        storage.data = data
        storage.position, size = _place(data, entry)
        if size < storage.size_bytes:
            raise PickleError(f"storage {key} has {size:,} bytes of {storage.size_bytes:,}")
        return _same(storages, key, storage)

    reading = _read(io.BytesIO(_entry(data, entries[name])), persistent)
    return Content(path, data, "torch-zip", reading.value, reading.foreign, reading.called)


def _place(data: mmap.mmap, entry: zipfile.ZipInfo) -> tuple[int, int]:
    """(first byte, number of bytes) of an entry; the length of its local header is only written there."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise DamagedError(f"{entry.filename} is compressed or encrypted, which torch never does")
    header = data[entry.header_offset : entry.header_offset + 30]
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise DamagedError(f"{entry.filename} is not where the archive says")
    start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
    if start + entry.file_size > len(data):
        raise DamagedError(f"{entry.filename} reaches beyond the end of the file")
    return start, entry.file_size


def _entry(data: mmap.mmap, entry: zipfile.ZipInfo) -> bytes:
    start, size = _place(data, entry)
    return data[start : start + size]


# -- before torch 1.6: five pickles, then every storage as a count and its bytes


def open_torch_legacy(path: Path, data: mmap.mmap, start: int = 0) -> Content:
    """The third pickle from byte `start`, with the storages that follow the fifth."""
    storages: dict[str, Storage] = {}
    views: list[tuple[Storage, Storage, int]] = []  # (view, the storage it is part of, first element)

    def persistent(reference: Any) -> Storage:
        storage, key = _storage(reference)
        view = reference[5] if len(reference) > 5 else None
        whole = _same(storages, key, storage)
        if view is None:
            return whole
        _, offset, count = view
        if offset < 0 or count < 0 or offset + count > whole.count:
            raise PickleError(f"a view beyond the end of storage {key}")
        part = Storage(whole.dtype, count)
        views.append((part, whole, offset))
        return part

    data.seek(start)
    for _ in range(2):  # the magic number, the protocol version
        _read(data)
    system = _read(data).value
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise DamagedError("its numbers are in big-endian order: save it again on an ordinary machine")
    reading = _read(data, persistent)
    keys = _read(data).value
    if not isinstance(keys, list):
        raise DamagedError("its list of storages is missing")
    for key in keys:
        storage = storages.get(str(key))
        if storage is None:
            raise DamagedError(f"storage {key} belongs to no tensor")
        start = data.tell() + 8
        header = data.read(8)
        if len(header) < 8 or struct.unpack("<q", header)[0] != storage.count or start + storage.size_bytes > len(data):
            raise DamagedError(f"it ends, or contradicts itself, at storage {key}")
        storage.data, storage.position = data, start
        data.seek(start + storage.size_bytes)
    for part, whole, offset in views:
        part.data, part.position = data, whole.position + offset * SIZES[whole.dtype]
    if any(storage.position < 0 for storage in storages.values()):
        raise DamagedError("some of its storages are missing")
    return Content(path, data, "torch-legacy", reading.value, reading.foreign, reading.called)


def _read(stream: Any, persistent: Callable[[Any], Any] | None = None) -> Any:
    return read_pickle(stream, KNOWN, persistent)


def _storage(reference: Any) -> tuple[Storage, str]:
    """torch's reference ("storage", class, key, device, elements[, view]) -> a storage without a place, and its key."""
    if not (isinstance(reference, tuple) and len(reference) in (5, 6) and reference[0] == "storage"):
        raise PickleError("a reference that is no storage")
    _, kind, key, _, count = reference[:5]
    if not isinstance(kind, DType):
        raise PickleError(f"a storage of type {getattr(kind, 'name', kind)!r}")
    if type(count) is not int or not 0 <= count < 2**60:
        raise PickleError("a storage without a size")
    return Storage(kind.name, count), str(key)


def _same(storages: dict[str, Storage], key: str, storage: Storage) -> Storage:
    """The record kept for `key`, so that tensors that share memory keep sharing it."""
    known = storages.setdefault(key, storage)
    if (known.dtype, known.count) != (storage.dtype, storage.count):
        raise PickleError(f"storage {key} is described in two ways")
    return known


# -- safetensors: a length, a header in JSON, the bytes


def open_safetensors(path: Path, data: mmap.mmap, start: int = 0) -> Content:
    """The header's tensors by name, in the file's order, and its metadata; the file begins at byte `start`."""
    here = len(data) - start
    (length,) = struct.unpack("<Q", data[start : start + 8])
    if length > LARGEST_HEADER_BYTES or 8 + length > here:
        raise DamagedError(f"its header of {length:,} bytes does not fit in the {here:,} bytes that are here")
    first = start + 8 + length
    try:
        header = json.loads(data[start + 8 : first].decode("utf-8"), object_pairs_hook=_once)
        metadata = dict(header.pop("__metadata__", {}))
        tensors = {name: _described(entry, first, data) for name, entry in header.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, PickleError) as error:
        raise DamagedError(f"its header cannot be read ({error})") from error
    return Content(path, data, "safetensors", tensors, metadata=metadata)


def _described(entry: Any, start: int, data: mmap.mmap) -> Stored:
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    dtype = SAFETENSORS_TYPES.get(entry["dtype"])
    if dtype is None:
        raise DamagedError(f"it holds numbers of type {entry['dtype']}, which is not supported")
    here = len(data) - start
    if not 0 <= begin <= end <= here:
        raise DamagedError(f"a tensor lies at bytes {begin:,} to {end:,} of the {here:,} that are here")
    count = math.prod(shape)
    if count * SIZES[dtype] != end - begin:
        raise DamagedError(f"a tensor of shape {shape} has {end - begin:,} bytes")
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return Stored(Storage(dtype, count, start + begin, data), dtype, shape, strides)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name comes twice")
    return names
