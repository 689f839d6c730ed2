"""Sentencepiece model files in miniature, written byte by byte: nothing here can train one."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

UNKNOWN, CONTROL = 2, 3
SPECIAL = (("[PAD]", 0.0, CONTROL), ("[CLS]", 0.0, CONTROL), ("[SEP]", 0.0, CONTROL), ("[UNK]", 0.0, UNKNOWN))
SCORES = """
    ▁ -2.25   ▁a -2.5   ▁the -2.75   ▁dog -3.5   ▁do -5.0   s -3.625   e -3.7   ee -4.3   g -5.1   a -3.1   b -3.3
    ab -4.9   aba -6.2   th -6.5   d -6.7   o -6.8   t -6.9   h -7.0   . -3.9   [ -7.1   ] -7.2   é -7.3   fi -7.4
    c -7.5   中 -8.5   ! -8.7   !! -9.1
""".split()
WORDS = dict(zip(SCORES[::2], map(float, SCORES[1::2]), strict=True))
# As in NFKC, a few: a character, or several, and what stands for them.
CHARACTERS = {
    "\t": " ",
    "\n": " ",
    "\u3000": " ",
    "▁": " ",
    "\u200b": "",
    "ﬁ": "fi",
    "e\u0301": "é",
    "Ａ": "A",
    "é": "é",
}


def model(
    words: Mapping[str, float] | None = None,
    special: Iterable[tuple[str, float, int]] = SPECIAL,
    charsmap: bytes = b"",
    trainer: Mapping[int, int] | None = None,
    normaliser: Mapping[int, int] | None = None,
) -> bytes:
    """A model file; trainer and normaliser: further settings by field number."""
    entries = [*special, *((word, score, 1) for word, score in (WORDS if words is None else words).items())]
    pieces = [_text(1, word.encode()) + _real(2, score) + _whole(3, kind) for word, score, kind in entries]
    how = _text(1, b"small") + (_text(2, charsmap) if charsmap else b"")
    return b"".join(
        [
            *(_text(1, piece) for piece in pieces),
            _text(2, b"".join(_whole(field, value) for field, value in {3: 1, **(trainer or {})}.items())),
            _text(3, how + b"".join(_whole(field, value) for field, value in (normaliser or {}).items())),
        ]
    )


def write(folder: Path, content: bytes | None = None) -> Path:
    """`spm.model` in a folder: the given bytes, or a model that replaces characters."""
    path = folder / "spm.model"
    path.write_bytes(model(charsmap=table(CHARACTERS)) if content is None else content)
    return path


def table(replacements: Mapping[str, str]) -> bytes:
    """The compiled form: a double-array trie in which every node has a block of 256 units of its own."""
    tree: dict[int, Any] = {}  # byte: node; -1: where the replacement begins
    texts = b""
    for key, value in replacements.items():
        node = tree
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[-1] = len(texts)
        texts += value.encode() + b"\0"
    units = [0] * 256
    _place(tree, 0, units)
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + texts


def _place(node: dict[int, Any], index: int, units: list[int]) -> None:
    block = len(units)
    units += [1] + [0] * 255  # an empty place must not say that it is for byte 0
    units[index] |= (index ^ block) << 10 | (0x100 if -1 in node else 0)
    for byte, child in node.items():
        if byte < 0:
            units[block] = child | 0x80000000
        else:
            units[block ^ byte] |= byte
            _place(child, block ^ byte, units)


def _whole(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value)


def _real(field: int, value: float) -> bytes:
    return _number(field << 3 | 5) + struct.pack("<f", value)


def _text(field: int, value: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(value)) + value


def _number(value: int) -> bytes:
    low = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(byte | 0x80 for byte in low[:-1]), low[-1]])
