"""Read a sentencepiece model file: its pieces, and how it normalises a text before it looks for them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tuwen.errors import InputError

SPACE = "▁"  # how a piece spells a space

# Kinds of pieces, as numbered in the file.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM = 1  # of the algorithms that a file may be for, as numbered there


class Replacements:
    """The replacements of characters that a model carries: of several that fit at one place, the longest counts.

    The file holds them as the array of a double-array trie (darts-clone) over UTF-8 bytes, after four bytes with its
    size, and then the replacements, each with a zero byte at its end.
    """

    def __init__(self, charsmap: bytes = b"") -> None:
        """charsmap: as in the file, empty for no replacements. ValueError if it is broken."""
        size = int.from_bytes(charsmap[:4], "little")
        units = np.frombuffer(charsmap[4 : 4 + size - size % 4], "<u4").astype(np.int64)
        if charsmap and not _is_whole(units, size, len(charsmap) - 4 - size, charsmap[-1]):
            raise ValueError(f"its table of characters, {len(charsmap)} bytes, is broken")
        self.charsmap = charsmap
        self.units: list[int] = units.tolist()
        self.texts = charsmap[4 + size :]
        self.simple = self._simple() if self.units else None

    def __call__(self, text: str) -> str:
        """The text with every replacement made, from left to right and once."""
        if not self.units:
            return text
        if self.simple is not None and text.isascii():
            return text.translate(self.simple)
        data = text.encode()
        parts: list[bytes] = []
        place = 0
        while place < len(data):
            length, found = self._longest(data, place)
            if found is None:
                length = _width(data[place])
                found = data[place : place + length]
            parts.append(found)
            place += length
        return b"".join(parts).decode()

    def _longest(self, data: bytes, place: int) -> tuple[int, bytes | None]:
        """Bytes that the longest fitting entry covers, and what replaces them; None if none fits."""
        node = _offset(self.units[0])
        covered, where = 0, -1
        for end in range(place, len(data)):
            node ^= data[end]
            unit = self.units[node]
            if unit & 0x800000FF != data[end]:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:
                covered, where = end + 1 - place, self.units[node] & 0x7FFFFFFF
        if where < 0:
            return 0, None
        return covered, self.texts[where : self.texts.index(0, where)]

    def _simple(self) -> dict[int, str] | None:
        """What replaces each ASCII character; None if pairs of them are entries too, so that one alone says nothing."""
        simple = {}
        for code in range(128):
            length, found = self._longest(bytes([code]), 0)
            if found is not None:
                simple[code] = found.decode()
            for other in range(128):
                if self._longest(bytes([code, other]), 0)[0] > max(length, 1):
                    return None
        return simple


@dataclass(frozen=True)
class SentencePieces:
    """What a model file says that decides about ids.

    pieces, scores, kinds: one of each for every id; scores are float32 values.
    replacements: of characters, before anything else.
    prefix: a space is put before the text; trim: spaces around it go, and of several inside it one stays.
    """

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[int, ...]
    replacements: Replacements
    prefix: bool = True
    trim: bool = True

    @property
    def unknown_id(self) -> int:
        return self.kinds.index(UNKNOWN)

    def normalise(self, text: str) -> str:
        """The text as pieces spell it, a `▁` for every space; "" where nothing is left."""
        spelled = self.replacements(text)
        if self.trim:
            spelled = " ".join(word for word in spelled.split(" ") if word)
        if self.prefix and text:
            spelled = f" {spelled}"
        spelled = spelled.replace(" ", SPACE)
        return spelled.rstrip(SPACE) if self.trim else spelled


def read(path: Path) -> SentencePieces:
    """A model file. InputError if it is none, or needs what no published model of ours uses."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return parse(content)
    except (ValueError, IndexError, struct.error) as error:
        raise InputError(f"{path} is not a sentencepiece model: {error}") from error


def parse(content: bytes) -> SentencePieces:
    """The bytes of a model file; field numbers are those of sentencepiece_model.proto. ValueError if they are none."""
    pieces: list[str] = []
    scores: list[float] = []
    kinds: list[int] = []
    trainer: dict[int, bytes | int] = {}
    normaliser: dict[int, bytes | int] = {}
    for field, value in _fields(content):
        if field == 1:
            piece = dict(_fields(_bytes(value)))
            pieces.append(_bytes(piece.get(1, b"")).decode())
            scores.append(struct.unpack("<f", _bytes(piece.get(2, bytes(4))))[0])
            kinds.append(int(piece.get(3, NORMAL)))
        elif field == 2:
            trainer.update(_fields(_bytes(value)))
        elif field == 3:
            normaliser.update(_fields(_bytes(value)))
    if trainer.get(3, UNIGRAM) != UNIGRAM:
        raise ValueError("it is not for the unigram algorithm, which is all that is supported")
    if trainer.get(24) or normaliser.get(5) == 0:
        raise ValueError("it spells spaces in another way than a ▁ before each word, which is not supported")
    if trainer.get(35) or any(kind in (USER_DEFINED, BYTE) for kind in kinds):
        raise ValueError("it has pieces for bytes or pieces defined by its user, which is not supported")
    if kinds.count(UNKNOWN) != 1:
        raise ValueError(f"{kinds.count(UNKNOWN)} of its {len(pieces)} pieces are the unknown piece, expected 1")
    return SentencePieces(
        tuple(pieces),
        tuple(scores),
        tuple(kinds),
        Replacements(_bytes(normaliser.get(2, b""))),
        bool(normaliser.get(3, True)),
        bool(normaliser.get(4, True)),
    )


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 0x200) >> 6)


def _is_whole(units: npt.NDArray[np.int64], size: int, texts: int, last: int) -> bool:
    """Whether no path through the table leads out of it; its blocks have 256 units, so a byte keeps to its block."""
    if not units.size or size != 1024 * (units.size // 256) or texts < 1 or last:
        return False
    values = units >> 31 == 1
    nodes = np.arange(units.size) ^ (units >> 10 << ((units & 0x200) >> 6))
    return bool((nodes[~values] < units.size).all() and ((units[values] & 0x7FFFFFFF) < texts).all())


def _width(byte: int) -> int:
    """Bytes of the UTF-8 character that begins with this one."""
    return 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4


def _bytes(value: bytes | int) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a field that should hold text or numbers of fixed size holds another kind of number")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of one protobuf message: number, and bytes (of text, of a message, of a float) or an integer."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"byte {place - 1} begins a field of unknown kind {kind}")
        if place + size > len(message):
            raise ValueError(f"it ends inside the field at byte {place}")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """An integer of seven bits a byte, lowest first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError(f"the number before byte {place} has no end")
