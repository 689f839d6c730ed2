"""The files that published folders hold for a tokenizer, from a tokenizer of ours."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from tuwen.processing.byte_bpe import MERGES_FILE, VOCABULARY_FILE, ByteBPE
from tuwen.processing.sentencepiece import UNIGRAM, SentencePieces
from tuwen.processing.tokenizer import RULES_FILE, WORDS_FILE, NoTokenizer, Tokenizer
from tuwen.processing.unigram import ADDED_FILE, MODEL_FILE, NAMES_FILE, SETTINGS_FILE, Unigram
from tuwen.processing.wordpiece import END, MASK, PAD, START, UNKNOWN, is_numbered

UNLIMITED = 1000000000000000019884624838656  # what transformers writes where a tokenizer has no longest text


def published_files(
    tokenizer: Tokenizer, form: str = "transformers", longest: int | None = None, source: Path | None = None
) -> dict[str, bytes]:
    """Name -> content.

    form: "transformers", "paddlenlp", or "original" for what the family's own code reads. longest: ids of a text at
    most. source: the file or folder that the tokenizer comes from, if it is one of a published model: what has to be
    kept byte for byte, a vocab.txt or an spm.model with its companions, is taken from there.
    """
    if isinstance(tokenizer, NoTokenizer):
        return {}
    if isinstance(tokenizer, ByteBPE):
        return _of_byte_bpe(tokenizer, form, longest)
    if isinstance(tokenizer, Unigram):
        return _of_unigram(tokenizer, longest, source)
    return _of_wordpiece(tokenizer, form, source)


def _of_wordpiece(tokenizer: Tokenizer, form: str, source: Path | None) -> dict[str, bytes]:
    """vocab.txt; for transformers and PaddleNLP with the settings that their tokenizers need."""
    found = source / WORDS_FILE if source is not None and source.is_dir() else source
    if found is not None and not (found.is_file() and found.suffix == ".txt"):
        found = None
    if getattr(tokenizer, "style", "") in ("ernie", "paddlenlp"):
        return _of_ernie(tokenizer, form, found)
    words = "".join(entry + "\n" for entry in tokenizer.entries()).encode() if found is None else found.read_bytes()
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    return {WORDS_FILE: words} | ({SETTINGS_FILE: _json(settings)} if form == "transformers" else {})


def _of_ernie(tokenizer: Tokenizer, form: str, found: Path | None) -> dict[str, bytes]:
    """The vocab.txt of ERNIE-ViL 2.0, numbered for the research release, plain for PaddleNLP, with its settings.

    An entry that the published file has twice keeps both lines. A number that no entry has, which is all that is left
    of the first of them in our own files, gets the last entry: of equal ones the last counts, so it stands for nothing.
    """
    lines = None if found is None else found.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if lines is not None and is_numbered(lines):
        fields = [line.split("\t") for line in lines]
        plain = all(len(field) == 2 and field[1].strip() == str(row) for row, field in enumerate(fields))
        lines = [field[0] for field in fields] if plain else None
    if lines is None:
        lines = [entry or tokenizer.vocabulary[-1] for entry in tokenizer.vocabulary]
    if form == "original":
        return {WORDS_FILE: "\n".join(f"{entry}\t{number}" for number, entry in enumerate(lines)).encode()}
    tokens = {"unk": UNKNOWN, "sep": END, "pad": PAD, "cls": START, "mask": MASK}
    names = {f"{role}_token": token for role, token in tokens.items()}
    settings = {"do_lower_case": True, **names, "tokenizer_class": "ErnieViLTokenizer"}
    return {
        WORDS_FILE: "".join(entry + "\n" for entry in lines).encode(),
        NAMES_FILE: json.dumps(names).encode(),  # in one line, as published
        SETTINGS_FILE: json.dumps(settings).encode(),
    }


def _of_byte_bpe(tokenizer: ByteBPE, form: str, longest: int | None) -> dict[str, bytes]:
    """vocab.json and merges.txt; for transformers also a tokenizer.json, in which <mask> takes the space before it."""
    content = json.loads(tokenizer.rules.to_str())
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    numbers = {token: number for number, token in enumerate(tokenizer.vocabulary) if token}
    files = {
        VOCABULARY_FILE: json.dumps(numbers, ensure_ascii=False).encode(),
        MERGES_FILE: "\n".join(["#version: 0.2", *merges, ""]).encode(),
    }
    if form == "original":
        return files
    settings = {
        "tokenizer_class": "RobertaTokenizer",
        "add_prefix_space": False,
        "model_max_length": longest or UNLIMITED,
    }
    return {RULES_FILE: tokenizer.rules.to_str().encode(), SETTINGS_FILE: _json(settings)} | files


def _of_unigram(tokenizer: Unigram, longest: int | None, source: Path | None) -> dict[str, bytes]:
    """spm.model with its companions, as `DebertaV2Tokenizer` has them."""
    folder = source if source is None or source.is_dir() else source.parent
    if folder is not None and (folder / MODEL_FILE).is_file():
        names = (MODEL_FILE, ADDED_FILE, NAMES_FILE, SETTINGS_FILE)
        return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    roles = {"bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]"}
    tokens = {f"{role}_token": token for role, token in {**roles, "mask": tokenizer.mask_token}.items()}
    settings = {
        **tokens,
        "tokenizer_class": "DebertaV2Tokenizer",
        "vocab_type": "spm",
        "do_lower_case": False,
        "split_by_punct": False,
        "model_max_length": longest or UNLIMITED,
    }
    added = {token: number for number, token in enumerate(tokenizer.vocabulary) if token in tokenizer.beside}
    return {
        MODEL_FILE: model_file(tokenizer.model),
        ADDED_FILE: _json(added),
        NAMES_FILE: _json(tokens),
        SETTINGS_FILE: _json(settings),
    }


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


# -- a sentencepiece model, as protobuf writes it ----------------------------------------------------------------------


def model_file(model: SentencePieces) -> bytes:
    """The bytes of a model file that says what `sentencepiece.read` reads; field numbers as in its .proto file."""
    pieces = [
        _field(1, piece.encode()) + _key(2, 5) + struct.pack("<f", score) + _field(3, kind)
        for piece, score, kind in zip(model.pieces, model.scores, model.kinds, strict=True)
    ]
    trainer = _field(3, UNIGRAM) + _field(4, len(pieces)) + _field(40, model.unknown_id)
    trainer += _field(45, model.pieces[model.unknown_id].encode())
    normaliser = [_field(2, model.replacements.charsmap), _field(3, model.prefix), _field(4, model.trim), _field(5, 1)]
    return b"".join([*(_field(1, piece) for piece in pieces), _field(2, trainer), _field(3, b"".join(normaliser))])


def _field(number: int, value: int | bytes) -> bytes:
    """A number, or bytes with their length before them."""
    if isinstance(value, bytes):
        return _key(number, 2) + _varint(len(value)) + value
    return _key(number, 0) + _varint(int(value))


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the highest bit says that more follow."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
