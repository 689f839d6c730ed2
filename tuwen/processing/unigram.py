"""Unigram over the `tokenizers` library: the pieces and ids of transformers' slow `DebertaV2Tokenizer`."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Encoding, Regex, Tokenizer, decoders, models, normalizers, processors

from tuwen.errors import InputError
from tuwen.processing import encoding, sentencepiece
from tuwen.processing.encoding import Rows
from tuwen.processing.sentencepiece import CONTROL, NORMAL, SPACE, UNKNOWN, UNUSED, Replacements, SentencePieces

PAD, START, END, UNKNOWN_TOKEN, MASK = SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
MODEL_FILE, ADDED_FILE = "spm.model", "added_tokens.json"
NAMES_FILE, SETTINGS_FILE = "special_tokens_map.json", "tokenizer_config.json"
UNKNOWN_PENALTY = 10  # below the worst score: what an unknown character costs
# Only a text that holds something like `aaa` or `ababa` can be made of the same pieces in two orders.
REPEATED = re.compile(r"(.)(.{0,15})\1\2\1", re.DOTALL)


class Run(NamedTuple):
    """Ids and pieces of a stretch of text, as the library's `Encoding` names them."""

    ids: list[int]
    tokens: list[str]


class Unigram:
    """Texts to ids.

    Special tokens in a text, written exactly, are themselves; white space beside them goes, and each stretch of text
    between them is encoded on its own. [MASK] has the number after the last piece where no file says another.
    """

    mask_token = MASK

    def __init__(self, model: SentencePieces, added: Mapping[str, int] | None = None) -> None:
        """added: tokens beside the pieces, with ids. InputError if they leave gaps or a special token is missing."""
        self.model = model
        self.vocabulary = [*model.pieces]
        beside = {token: number for token, number in (added or {}).items() if token not in model.pieces}
        if MASK not in model.pieces:
            beside.setdefault(MASK, len(self.vocabulary) + len(beside))
        for token, number in sorted(beside.items(), key=lambda item: item[1]):
            if number != len(self.vocabulary):
                raise InputError(f"added token {token} has id {number}, expected {len(self.vocabulary)}, the next")
            self.vocabulary.append(token)
        numbers = {token: number for number, token in enumerate(self.vocabulary)}
        missing = [token for token in SPECIAL if token not in numbers]
        if missing:
            raise InputError(f"a vocabulary of {len(numbers)} pieces has no {', '.join(missing)}: it is not DeBERTa's")
        self.pad_id, self.start_id, self.end_id = numbers[PAD], numbers[START], numbers[END]
        self.mask_id: int | None = numbers[MASK]
        self.unknown_id = model.unknown_id
        self.beside = frozenset(beside)
        self._numbers = numbers
        whole = sorted({*SPECIAL, *beside}, key=len, reverse=True)
        self._whole = re.compile(f"({'|'.join(map(re.escape, whole))})")
        self._rules = _rules(model)
        self._search = _Search(model)

    @property
    def vocabulary_size(self) -> int:
        """Pieces and added tokens, which is how many rows the word table needs."""
        return len(self.vocabulary)

    @classmethod
    def from_model(cls, path: str | Path) -> Unigram:
        """Read an `spm.model` and, where they lie beside it, added_tokens.json and the tokenizer's settings."""
        path = Path(path)
        settings, names = _settings(path.with_name(SETTINGS_FILE)), _settings(path.with_name(NAMES_FILE))
        for key in ("do_lower_case", "split_by_punct"):
            if settings.get(key):
                raise InputError(f"{path.with_name(SETTINGS_FILE)} sets {key}, which is not supported")
        for role, token in zip(("pad", "cls", "sep", "unk", "mask"), SPECIAL, strict=True):
            name = names.get(f"{role}_token", token)
            if (name.get("content") if isinstance(name, dict) else name) != token:
                raise InputError(f"{path.with_name(NAMES_FILE)} has {name} as {role}_token, expected {token}")
        try:
            return cls(sentencepiece.read(path), _settings(path.with_name(ADDED_FILE)))
        except InputError as error:
            raise error if str(path) in str(error) else InputError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, path: str | Path) -> Unigram:
        """Read a `tokenizer.json`, ours or Hugging Face's: its pieces and its table of characters; the ids are those
        that sentencepiece gives with them."""
        path = Path(path)
        text = encoding.read_text(path)
        try:
            content = json.loads(text)
            return cls(*_from_rules(content))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is not the tokenizer.json of a unigram tokenizer: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json`, which the `tokenizers` library reads on its own.

        Read that way it gives the same ids, but for its own handling of marks on letters and of characters that are
        replaced in groups: `from_json` gives the same ids always.
        """
        encoding.write(_standalone(self), Path(path))

    def ids(self, texts: Sequence[str], context_length: int | None = None) -> Rows:
        """[CLS] ... [SEP] for each text, of at most `context_length` ids: the end is cut, [SEP] stays."""
        room = encoding.room(context_length, 2)
        return [[self.start_id, *ids[:room], self.end_id] for ids in self._ids(texts)]

    def pair_ids(
        self, first: Sequence[str], second: Sequence[str], context_length: int | None = None
    ) -> tuple[Rows, Rows]:
        """[CLS] A [SEP] B [SEP] of each pair, and 0 for A and 1 for B; the longer text is cut first, one id at a time,
        and of equals the second."""
        encoding.check_pairs(first, second)
        room = encoding.room(context_length, 3)
        left, right = self._ids(first), self._ids(second)
        kept = [_one_by_one(len(one), len(other), room) for one, other in zip(left, right, strict=True)]
        return encoding.pairs(left, right, self.start_id, [self.end_id], self.end_id, kept)

    def tokens(self, text: str) -> list[str]:
        """The pieces of one text, without [CLS] and [SEP]; an unknown piece is the text that it stands for."""
        return [token for run in self._runs([text], spelled=True)[0] for token in run.tokens]

    def decode(self, ids: Sequence[int], skip_special: bool = False, clean: bool = False) -> str:
        """Readable text; `clean` takes away spaces before punctuation, as transformers did until its version 4."""
        encoding.check_ids(ids, len(self.vocabulary))
        parts: list[str] = []
        tokens: list[str] = []
        for number in ids:
            token = self.vocabulary[number]
            if skip_special and token in SPECIAL:
                continue
            if token in self.beside:
                parts += [self._join(tokens)] * bool(tokens) + [token]
                tokens = []
            else:
                tokens.append(token)
        text = " ".join(parts + [self._join(tokens)] * bool(tokens))
        return encoding.tidy(text) if clean else text

    def entries(self) -> list[str]:
        """The piece or token of every id."""
        return list(self.vocabulary)

    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids, whatever file they came from."""
        model = self.model
        described = [self.vocabulary, model.scores, model.kinds, model.replacements.charsmap.hex()]
        return hashlib.sha256(json.dumps([*described, model.prefix, model.trim]).encode()).hexdigest()

    def _ids(self, texts: Sequence[str]) -> Rows:
        return [[number for run in row for number in run.ids] for row in self._runs(texts)]

    def _runs(self, texts: Sequence[str], spelled: bool = False) -> list[list[Run | Encoding]]:
        parts = [list(self._parts(encoding.mended(text))) for text in encoding.checked(texts)]
        plain = [part for row in parts for part in row if isinstance(part, str)]
        found = iter(encoding.encode(self._rules, plain, spelled) if plain else [])
        return [[self._exact(part, next(found)) if isinstance(part, str) else part for part in row] for row in parts]

    def _parts(self, text: str) -> Iterator[Run | str]:
        """Special tokens, and between them the stretches of text, normalised; no empty ones."""
        whole = self._whole.split(text) if self._whole.search(text) else [text]  # text, token, text, token, ..., text
        for place, part in enumerate(whole):
            if place % 2:
                yield Run([self._numbers[part]], [part])
                continue
            part = part.lstrip() if place > 0 else part
            part = part.rstrip() if place < len(whole) - 1 else part
            part = self.model.normalise(part)
            if part:
                yield part

    def _exact(self, text: str, found: Encoding) -> Run | Encoding:
        return self._search(text) if REPEATED.search(text) else found

    def _join(self, tokens: Sequence[str]) -> str:
        """Pieces to text, special tokens as they are, a space before each that follows an ordinary piece."""
        text, pieces = "", []
        after_special = False
        for token in tokens:
            if token not in SPECIAL:
                pieces.append(token)
            else:
                text += ("" if after_special else " ") + self._spell(pieces) + token
                pieces = []
            after_special = token in SPECIAL
        return (text + self._spell(pieces)).strip()

    def _spell(self, pieces: Sequence[str]) -> str:
        text = ""
        for place, piece in enumerate(pieces):
            if (place == 0 and self.model.prefix) or (not text and self.model.trim):
                piece = piece.removeprefix(SPACE)
            text += piece.replace(SPACE, " ")
        return text


class _Search:
    """The best pieces of a text, added up as sentencepiece does, in float32. Among orders of the same pieces the
    rounding of the sums decides, and the library, which keeps more digits, may choose another."""

    def __init__(self, model: SentencePieces) -> None:
        known = [number for number, kind in enumerate(model.kinds) if kind == NORMAL]
        self.pieces = {model.pieces[number]: (number, model.scores[number]) for number in known}
        self.longest = max(map(len, self.pieces), default=1)
        self.unknown = (model.unknown_id, _worst(model) - UNKNOWN_PENALTY)

    def __call__(self, text: str) -> Run:
        size = len(text)
        best = array("f", bytes(4 * (size + 1)))  # sum of the scores of the best way to each place
        begins, numbers = [-1] * (size + 1), [-1] * (size + 1)  # where its last piece begins, and its id
        rounded = array("f", [0.0])
        for begin in range(size):
            for end in range(begin + 1, min(size, begin + self.longest) + 1):
                number, score = self.pieces.get(text[begin:end]) or (self.unknown if end == begin + 1 else (-1, 0.0))
                rounded[0] = best[begin] + score
                if number >= 0 and (begins[end] < 0 or rounded[0] > best[end]):
                    best[end], begins[end], numbers[end] = rounded[0], begin, number
        return self._trace(text, begins, numbers)

    def _trace(self, text: str, begins: list[int], numbers: list[int]) -> Run:
        """From the end back to the start; unknown neighbours are one piece."""
        ids: list[int] = []
        tokens: list[str] = []
        end = len(text)
        while end > 0:
            piece = text[begins[end] : end]
            if ids and ids[-1] == numbers[end] == self.unknown[0]:
                tokens[-1] = piece + tokens[-1]
            else:
                ids.append(numbers[end])
                tokens.append(piece)
            end = begins[end]
        return Run(ids[::-1], tokens[::-1])


def _one_by_one(first: int, second: int, room: int | None) -> tuple[int, int]:
    """How many ids of each half of a pair are kept; of both too long, half of each, and the odd one for the first."""
    if room is None or first + second <= room:
        return first, second
    if min(first, second) <= room // 2:
        return (first, room - first) if first <= second else (room - second, second)
    return room - room // 2, room // 2


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(encoding.read_text(path))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a JSON {type(content).__name__}, expected an object")
    return content


def _hidden(model: SentencePieces, kinds: tuple[int, ...]) -> list[str]:
    """The pieces; those of other kinds get a space, which no normalised text has, so that no text can spell them."""
    return [piece if kind in kinds else f" {piece}" for piece, kind in zip(model.pieces, model.kinds, strict=True)]


def _worst(model: SentencePieces) -> float:
    return min((score for score, kind in zip(model.scores, model.kinds, strict=True) if kind == NORMAL), default=0.0)


def _rules(model: SentencePieces) -> Tokenizer:
    """Normalised text to pieces."""
    worst = _worst(model)
    scores = [max(score, worst) for score in model.scores]  # the library takes the worst of all for unknown characters
    return Tokenizer(models.Unigram(list(zip(_hidden(model, (NORMAL,)), scores, strict=True)), model.unknown_id))


def _standalone(tokenizer: Unigram) -> Tokenizer:
    """The same as rules of the library alone, from text to framed ids."""
    model = tokenizer.model
    pieces = _hidden(model, (NORMAL, CONTROL, UNKNOWN))
    rules = Tokenizer(models.Unigram(list(zip(pieces, model.scores, strict=True)), model.unknown_id))
    charsmap = model.replacements.charsmap
    steps: list[normalizers.Normalizer] = [normalizers.Precompiled(charsmap)] if charsmap else []
    if model.trim:
        steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Replace(Regex(r"\A | \z"), "")]
    if model.prefix:
        steps.append(normalizers.Prepend(" "))
    steps.append(normalizers.Replace(" ", SPACE))
    if model.trim:
        steps.append(normalizers.Replace(Regex(rf"{SPACE}+\z"), ""))
    rules.normalizer = normalizers.Sequence(steps)
    whole = [token for token in tokenizer.vocabulary if token in SPECIAL or token in tokenizer.beside]
    rules.add_special_tokens([AddedToken(token, lstrip=True, rstrip=True, normalized=False) for token in whole])
    rules.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        pair=f"{START} $A {END} $B:1 {END}:1",
        special_tokens=[(START, tokenizer.start_id), (END, tokenizer.end_id)],
    )
    rules.decoder = decoders.Metaspace()
    return rules


def _from_rules(content: Mapping[str, Any]) -> tuple[SentencePieces, dict[str, int]]:
    """Pieces and added tokens of a `tokenizer.json`. ValueError, KeyError or TypeError if it holds others."""
    model, normalizer = content["model"], json.dumps(content["normalizer"])
    if model["type"] != "Unigram" or model.get("byte_fallback"):
        raise ValueError(f"it holds a {model['type']} tokenizer{' with bytes' * bool(model.get('byte_fallback'))}")
    steps = [content["normalizer"] or {}, *((content["normalizer"] or {}).get("normalizers") or [])]
    charsmap = b"".join(
        base64.b64decode(step["precompiled_charsmap"]) for step in steps if step.get("type") == "Precompiled"
    )
    before = content.get("pre_tokenizer") or {}
    spaced = before.get("prepend_scheme", "always") != "never" and before.get("add_prefix_space", True)
    prefix = any(step.get("type") == "Prepend" for step in steps) or (before.get("type") == "Metaspace" and spaced)
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    pieces, kinds = [], []
    for number, (piece, _) in enumerate(model["vocab"]):
        unknown, control = number == model["unk_id"], piece in added
        kinds.append(UNKNOWN if unknown else CONTROL if control else UNUSED if piece[:1] == " " else NORMAL)
        pieces.append(piece.removeprefix(" "))
    scores = tuple(float(score) for _, score in model["vocab"])
    if UNKNOWN not in kinds:
        raise ValueError("none of its pieces is the unknown one")
    read = SentencePieces(tuple(pieces), scores, tuple(kinds), Replacements(charsmap), prefix, " {2,}" in normalizer)
    return read, {token: number for token, number in added.items() if number >= len(pieces)}
