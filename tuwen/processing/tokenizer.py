"""What a tokenizer offers to the rest of the house, and how one is found in published files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

from tuwen.errors import InputError, UnsupportedTask
from tuwen.processing.byte_bpe import MERGES_FILE, VOCABULARY_FILE, ByteBPE
from tuwen.processing.encoding import Rows, read_text
from tuwen.processing.unigram import MODEL_FILE, Unigram
from tuwen.processing.wordpiece import WordPiece, is_numbered

RULES_FILE, WORDS_FILE = "tokenizer.json", "vocab.txt"
EXPECTED = f"{MODEL_FILE}, {RULES_FILE}, {VOCABULARY_FILE} with {MERGES_FILE}, or {WORDS_FILE}"


class Tokenizer(Protocol):
    """Texts to ids and back. `vocabulary[id]` is the entry of an id; `mask_token` is how a text spells a gap."""

    vocabulary: list[str]
    pad_id: int
    unknown_id: int
    start_id: int
    end_id: int
    mask_id: int | None
    mask_token: str

    @property
    def vocabulary_size(self) -> int:
        """How many rows the word table needs at least."""
        ...

    def ids(self, texts: Sequence[str], context_length: int | None = None) -> Rows:
        """Ids of each text with those that frame it; at most `context_length` where one is given, the end cut."""
        ...

    def pair_ids(
        self, first: Sequence[str], second: Sequence[str], context_length: int | None = None
    ) -> tuple[Rows, Rows]:
        """Ids of each pair of texts as one sequence, the longer text cut first; and the segment of each id."""
        ...

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text as strings, without those that frame it, not cut."""
        ...

    def decode(self, ids: Sequence[int], skip_special: bool = False, clean: bool = False) -> str:
        """Readable text, with or without special tokens; `clean` takes away spaces before punctuation."""
        ...

    def entries(self) -> list[str]:
        """The entry of every id."""
        ...

    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids."""
        ...

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json` that `open_tokenizer` reads."""
        ...


class NoTokenizer:
    """In the place of a tokenizer where a model takes pictures alone: every text is an UnsupportedTask."""

    pad_id = unknown_id = start_id = end_id = 0
    mask_id: int | None = None
    mask_token = ""
    vocabulary_size = 0

    def __init__(self) -> None:
        self.vocabulary: list[str] = []

    def ids(self, texts: Sequence[str], context_length: int | None = None) -> NoReturn:
        raise UnsupportedTask("this model takes pictures alone: load a file that holds its text tower too")

    def pair_ids(self, first: Sequence[str], second: Sequence[str], context_length: int | None = None) -> NoReturn:
        self.ids(first)

    def tokens(self, text: str) -> NoReturn:
        self.ids([text])

    def decode(self, ids: Sequence[int], skip_special: bool = False, clean: bool = False) -> NoReturn:
        self.ids([])

    def entries(self) -> list[str]:
        """None."""
        return []

    def fingerprint(self) -> str:
        """Equal to that of every other of its kind."""
        return "no tokenizer"

    def save(self, path: str | Path) -> None:
        """Nothing is written."""


FROM_RULES: dict[str, Callable[[Path], Tokenizer]] = {
    "WordPiece": WordPiece.from_json,
    "BPE": ByteBPE.from_json,
    "Unigram": Unigram.from_json,
}


def open_tokenizer(place: str | Path, style: str | None = None) -> Tokenizer:
    """The tokenizer of a folder, or of one of its files.

    What lies in a folder decides, in this order: a sentencepiece model, a tokenizer.json, a vocab.json with its
    merges.txt, a vocab.txt. style: of a vocab.txt, see `WordPiece`; where none is given, "ernie" for one that numbers
    its entries, else "cn_clip". InputError names what was found where it is none of these.
    """
    place = Path(place)
    found = _file_of(place) if place.is_dir() else place
    if found.suffix == ".model":
        return Unigram.from_model(found)
    if found.name == VOCABULARY_FILE:
        return ByteBPE.from_vocab(found, _beside(found, MERGES_FILE))
    if found.name == MERGES_FILE:
        return ByteBPE.from_vocab(_beside(found, VOCABULARY_FILE), found)
    if found.suffix == ".json":
        return FROM_RULES[_kind_of(found)](found)
    if style is None:
        style = "ernie" if is_numbered(read_text(found).split("\n", 1)) else "cn_clip"
    return WordPiece.from_vocab(found, style)


def _file_of(folder: Path) -> Path:
    for name in (MODEL_FILE, RULES_FILE, VOCABULARY_FILE, WORDS_FILE):
        needed = (name, MERGES_FILE) if name == VOCABULARY_FILE else (name,)
        if all((folder / other).is_file() for other in needed):
            return folder / name
    names = sorted(entry.name for entry in folder.iterdir())
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    raise InputError(f"{folder} holds no tokenizer, expected {EXPECTED}; found {listed or 'nothing'}")


def _beside(path: Path, name: str) -> Path:
    if not path.with_name(name).is_file():
        raise InputError(f"{path} needs {name} beside it, or a {RULES_FILE} in place of both: neither is there")
    return path.with_name(name)


def _kind_of(path: Path) -> str:
    """The kind of model in a tokenizer.json."""
    try:
        kind = json.loads(read_text(path))["model"]["type"]
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a tokenizer.json: {error}") from error
    if kind not in FROM_RULES:
        raise InputError(f"{path} holds a {kind} tokenizer, expected {', '.join(FROM_RULES)}")
    return str(kind)
