"""Byte-level BPE over the `tokenizers` library: the ids of RoBERTa's tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tuwen.errors import InputError
from tuwen.processing import encoding
from tuwen.processing.encoding import Rows

START, PAD, END, UNKNOWN, MASK = SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
VOCABULARY_FILE, MERGES_FILE = "vocab.json", "merges.txt"


class ByteBPE:
    """Texts to ids: case and spaces are kept, a first word has no space before it unless the file says so.

    Special tokens in a text are themselves. `<mask>` takes the white space on its left with it, whatever file it comes
    from: models learned it so, although some tokenizer files have lost that.
    """

    mask_token = MASK

    def __init__(self, content: Mapping[str, Any]) -> None:
        """content: a `tokenizer.json` as read. InputError if it is not one of RoBERTa's."""
        model = content["model"]
        if model["type"] != "BPE" or '"ByteLevel"' not in json.dumps(content.get("pre_tokenizer")):
            raise InputError(f"it holds a {model['type']} tokenizer, expected byte-level BPE")
        added = [token | {"lstrip": True} if token["content"] == MASK else token for token in content["added_tokens"]]
        known = {**model["vocab"], **{token["content"]: token["id"] for token in added}}
        missing = [token for token in SPECIAL if token not in known]
        if missing:
            raise InputError(f"a vocabulary of {len(known)} entries has no {', '.join(missing)}: it is not RoBERTa's")
        added += [_special(token, known[token]) for token in SPECIAL if token not in {one["content"] for one in added}]
        added.sort(key=lambda token: int(token["id"]))
        own = {"added_tokens": added, "truncation": None, "padding": None}
        try:
            self.rules = Tokenizer.from_str(json.dumps({**content, **own}))
        except Exception as error:  # the library raises a bare Exception
            raise InputError(str(error)) from error
        numbers = self.rules.get_vocab(with_added_tokens=True)
        self.vocabulary = [""] * (max(numbers.values()) + 1)
        for token, number in numbers.items():
            self.vocabulary[number] = token
        self.start_id, self.pad_id, self.end_id = numbers[START], numbers[PAD], numbers[END]
        self.unknown_id = numbers[UNKNOWN]
        self.mask_id: int | None = numbers[MASK]

    @property
    def vocabulary_size(self) -> int:
        """How many rows the word table needs: one for every id up to the highest."""
        return len(self.vocabulary)

    @classmethod
    def from_vocab(cls, vocabulary: str | Path, merges: str | Path) -> ByteBPE:
        """Read a `vocab.json` and the `merges.txt` that belongs to it."""
        path = Path(vocabulary)
        try:
            numbers = {str(token): int(number) for token, number in json.loads(encoding.read_text(path)).items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{path} is not a vocabulary, a JSON object of token and id: {error}") from error
        lines = encoding.read_text(Path(merges)).split("\n")
        try:
            return cls(_published(numbers, [line for line in lines if line and not line.startswith("#version")]))
        except InputError as error:
            raise InputError(f"{path} with {Path(merges).name}: {error}") from error

    @classmethod
    def from_json(cls, path: str | Path) -> ByteBPE:
        """Read a `tokenizer.json`, ours or Hugging Face's; no file of merges is needed beside it."""
        path = Path(path)
        try:
            return cls(json.loads(encoding.read_text(path)))
        except InputError as error:
            raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not a tokenizer.json: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json` that the `tokenizers` library reads on its own."""
        encoding.write(self.rules, Path(path))

    def ids(self, texts: Sequence[str], context_length: int | None = None) -> Rows:
        """<s> ... </s> for each text, of at most `context_length` ids: the end is cut, </s> stays."""
        room = encoding.room(context_length, 2)
        return [[self.start_id, *ids[:room], self.end_id] for ids in self._ids(texts)]

    def pair_ids(
        self, first: Sequence[str], second: Sequence[str], context_length: int | None = None
    ) -> tuple[Rows, Rows]:
        """<s> A </s></s> B </s> of each pair, the longer text cut first; and segments, 0 everywhere.

        An empty second text is none, as transformers has it: <s> A </s>.
        """
        encoding.check_pairs(first, second)
        room = encoding.room(context_length, 4)
        left, right = self._ids(first), self._ids(second)
        kept = [encoding.longest_first(len(one), len(other), room) for one, other in zip(left, right, strict=True)]
        rows, _ = encoding.pairs(left, right, self.start_id, [self.end_id, self.end_id], self.end_id, kept)
        for place, other in enumerate(second):
            if not other:
                rows[place] = self.ids([first[place]], context_length)[0]
        return rows, [[0] * len(row) for row in rows]  # RoBERTa knows one segment only

    def tokens(self, text: str) -> list[str]:
        """The tokens of one text, without <s> and </s>; each byte is one of 256 printable letters."""
        return [self.vocabulary[number] for number in self._ids([text])[0]]

    def decode(self, ids: Sequence[int], skip_special: bool = False, clean: bool = False) -> str:
        """Readable text; `clean` takes away spaces before punctuation, as transformers did until its version 4."""
        encoding.check_ids(ids, len(self.vocabulary))
        text = self.rules.decode(list(ids), skip_special_tokens=skip_special)
        return encoding.tidy(text) if clean else text

    def entries(self) -> list[str]:
        """The token of every id; "" for an id that none has."""
        return list(self.vocabulary)

    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids, whatever file they came from."""
        content = json.loads(self.rules.to_str())
        merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in content["model"]["merges"]]
        added = [[token[name] for name in ("content", "lstrip", "rstrip")] for token in content["added_tokens"]]
        steps = [content["normalizer"], _without_offsets(content["pre_tokenizer"])]
        return hashlib.sha256(json.dumps([self.vocabulary, merges, added, steps]).encode()).hexdigest()

    def _ids(self, texts: Sequence[str]) -> Rows:
        return [found.ids for found in encoding.encode(self.rules, encoding.checked(texts))]


def _published(numbers: Mapping[str, int], merges: Sequence[str]) -> dict[str, Any]:
    """The `tokenizer.json` that the published vocabulary and merges stand for."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "added_tokens": [_special(token, numbers[token]) for token in SPECIAL if token in numbers],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, numbers.get(END, 0)],
            "cls": [START, numbers.get(START, 0)],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        "decoder": level,
        "model": {"type": "BPE", "vocab": dict(numbers), "merges": list(merges)},
    }


def _special(token: str, number: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": token == MASK, "rstrip": False, "normalized": True, "special": True}
    return {"id": number, "content": token, **flags}


def _without_offsets(step: Any) -> Any:
    """A step without its setting about offsets, which ids do not depend on."""
    return {name: value for name, value in step.items() if name != "trim_offsets"} if isinstance(step, dict) else step
