"""WordPiece over the `tokenizers` library: the ids of the original BERT tokenizer, or of Hugging Face's."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from tuwen.errors import InputError, UsageError

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
LONGEST_WORD = {"cn_clip": 200, "transformers": 100}  # characters; anything longer is one [UNK]

# The blocks that Google's tokenizer calls Chinese. Kana and Hangul are outside: they are written with spaces, it says.
IDEOGRAPHS = (
    "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f"
)
PUNCTUATION = r"\p{P}!-/:-@\[-`{-~"  # ASCII symbols such as $ + < ^ count, although Unicode files them elsewhere
DROPPED = "[\\p{Cc}\\p{Cf}\ufffd&&[^\t\n\r]]"  # \p{Cc} includes NUL
CASED = r"[\p{Cased}&&[^\p{Case_Ignorable}]]"
# Python lower-cases a sigma that ends a word to another letter than one inside it; `Lowercase` looks at single letters.
# Accents and points may stand between; without a bound on them every sigma would search the whole text before it.
FINAL_SIGMA = rf"(?<={CASED}\p{{Case_Ignorable}}{{0,30}})Σ(?!\p{{Case_Ignorable}}*{CASED})"
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: legal in a Python string, not in UTF-8


class WordPiece:
    """Texts to ids.

    style "cn_clip" is the original BERT tokenizer as cn_clip carries it: special tokens in a text are plain characters
    and a word may have 200 characters. style "transformers" is Hugging Face's `BertTokenizer`: special tokens in a text
    are kept, a word may have 100 characters.

    quotes "keep" encodes as `cn_clip.clip.tokenize` does: “ and ” are not in the vocabulary and become [UNK]. It is the
    default, because the published API works so. quotes "straight" encodes as the original's training and evaluation
    data loaders and zero-shot templates do: “ and ” become " first. ‘ and ’ are never replaced.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        style: str = "cn_clip",
        quotes: str = "keep",
        rules: Tokenizer | None = None,
    ) -> None:
        """vocabulary: row i of the embedding table belongs to vocabulary[i]; of equal entries the last one counts.

        rules: a tokenizer that was saved, used as it is instead of building one for `style` and `quotes`.
        """
        if style not in LONGEST_WORD:
            raise UsageError(f"style is {style!r}, expected 'cn_clip' or 'transformers'")
        if quotes not in ("keep", "straight") or (style, quotes) == ("transformers", "straight"):
            raise UsageError(f"quotes is {quotes!r}, expected 'keep' or, with style 'cn_clip' only, 'straight'")
        numbers = {token: number for number, token in enumerate(vocabulary)}
        missing = [token for token in (PAD, UNKNOWN, START, END) if token not in numbers]
        if missing:
            raise InputError(f"a vocabulary of {len(vocabulary)} entries has no {', '.join(missing)}: it is not BERT's")
        self.style = style
        self.quotes = quotes
        self.vocabulary = list(vocabulary)
        self.pad_id, self.unknown_id = numbers[PAD], numbers[UNKNOWN]
        self.start_id, self.end_id = numbers[START], numbers[END]
        self.mask_id = numbers.get(MASK)
        self.rules = rules if rules is not None else _rules(numbers, style, quotes)

    @property
    def vocabulary_size(self) -> int:
        """Entries, which is how many rows the word table needs."""
        return len(self.vocabulary)

    @classmethod
    def from_vocab(cls, path: str | Path, style: str = "cn_clip", quotes: str = "keep") -> WordPiece:
        """Read a `vocab.txt`, one entry per line. InputError if the file is missing, not UTF-8 or not BERT's."""
        path = Path(path)
        lines = _read(path).split("\n")
        if lines[-1] == "":
            lines.pop()
        if style == "cn_clip":
            lines = [line.strip() for line in lines]  # two lines of the published file become "" and "##"
        try:
            return cls(lines, style, quotes)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, path: str | Path) -> WordPiece:
        """Read a `tokenizer.json`, ours or Hugging Face's, and follow the rules written there."""
        path = Path(path)
        text = _read(path)
        try:
            content = json.loads(text)
            kind = content["model"]["type"]
            rules = Tokenizer.from_str(text)
        except Exception as error:  # the library raises a bare Exception
            raise InputError(f"{path} is not a tokenizer.json: {error}") from error
        if kind != "WordPiece":
            raise InputError(f"{path} holds a {kind} tokenizer, expected WordPiece")
        rules.no_padding()
        rules.no_truncation()
        numbers = rules.get_vocab(with_added_tokens=True)
        vocabulary = [""] * (max(numbers.values(), default=-1) + 1)
        for token, number in numbers.items():
            vocabulary[number] = token
        style = "transformers" if content["added_tokens"] else "cn_clip"
        quotes = "straight" if '"“"' in json.dumps(content["normalizer"], ensure_ascii=False) else "keep"
        try:
            return cls(vocabulary, style, quotes, rules)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json` that the `tokenizers` library reads on its own."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(self.rules.to_str(pretty=True), encoding="utf-8")
        partial.replace(path)

    def entries(self) -> list[str]:
        """The lines of a vocab.txt that gives the same ids; numbers that no entry has become [unused...]."""
        numbers = self.rules.get_vocab(with_added_tokens=True)
        lines = [f"[unused{place}]" for place in range(self.vocabulary_size)]
        for token, number in numbers.items():
            lines[number] = token
        return lines

    def ids(self, texts: Sequence[str], context_length: int) -> list[list[int]]:
        """[CLS] ... [SEP] for each text, at most `context_length` ids: a long text loses its end, never its [SEP]."""
        if context_length < 2:
            raise UsageError(
                f"context_length is {context_length}, expected at least 2: [CLS] and [SEP] need a place each"
            )
        room = context_length - 2
        return [[self.start_id, *pieces[:room], self.end_id] for pieces in self._encode(texts)]

    def tokens(self, text: str) -> list[str]:
        """The pieces of one text, without [CLS] and [SEP], not truncated."""
        return [self.vocabulary[number] for number in self._encode([text])[0]]

    def join(self, tokens: Sequence[str]) -> str:
        """Pieces back to readable text: ## parts joined to their word, no space before a full stop."""
        text = " ".join(tokens).replace(" ##", "")
        for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
            text = text.replace(spaced, spaced.strip())
        return text

    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids, whatever file they came from."""
        described = [self.style, self.quotes, sorted(self.rules.get_vocab(with_added_tokens=True).items())]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if isinstance(texts, str):
            raise UsageError(f"texts is the single string {texts[:40]!r}, expected a list of strings: put it in [ ]")
        texts = list(texts)
        if not texts:
            raise UsageError("texts is an empty list, expected at least one string")
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise UsageError(f"text {place + 1} of {len(texts)} is {type(text).__name__}, expected str")
        _calm_forks()
        try:
            encodings = self.rules.encode_batch_fast(texts, add_special_tokens=False)
        except (UnicodeEncodeError, TypeError):  # a lone surrogate somewhere; any unknown letter encodes the same
            texts = [SURROGATE.sub("\ue000", text) for text in texts]
            encodings = self.rules.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]


def straight_quotes(text: str) -> str:
    """What the original's data loaders and zero-shot templates do to a text first: lower case, “ and ” become ".

    For one text at a time with a tokenizer that keeps them; `WordPiece(quotes="straight")` gives the same ids.
    """
    return text.lower().replace("“", '"').replace("”", '"')


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text, byte {error.start} is {error.object[error.start]:#04x}") from error


def _rules(numbers: dict[str, int], style: str, quotes: str) -> Tokenizer:
    model = models.WordPiece(numbers, unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD[style])
    rules = Tokenizer(model)
    if style == "transformers":
        rules.normalizer = normalizers.BertNormalizer()
        rules.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        present = [token for token in (PAD, UNKNOWN, START, END, MASK) if token in numbers]
        rules.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in present])
    else:
        rules.normalizer = normalizers.Sequence([*_data_loader_steps(quotes), *_original_steps()])
        pieces = Regex(f"[{IDEOGRAPHS}{PUNCTUATION}]")
        rules.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(pieces, "isolated")]
        )
    rules.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, numbers[START]), (END, numbers[END])]
    )
    return rules


def _data_loader_steps(quotes: str) -> list[normalizers.Normalizer]:
    """What the original's data loaders do to a caption before the tokenizer sees it."""
    if quotes == "keep":
        return []
    return [*_lower(), normalizers.Replace("“", '"'), normalizers.Replace("”", '"')]


def _original_steps() -> list[normalizers.Normalizer]:
    """Google's cleaning, step by step: the library's `BertNormalizer` drops private-use and unassigned characters too,
    and follows an older Unicode."""
    return [
        normalizers.Replace(Regex(DROPPED), ""),
        *_lower(),
        normalizers.NFD(),
        normalizers.Replace(Regex(r"\p{Mn}"), ""),
    ]


def _lower() -> list[normalizers.Normalizer]:
    return [normalizers.Replace(Regex(FINAL_SIGMA), "ς"), normalizers.Lowercase()]


@cache
def _calm_forks() -> None:
    """The library prints a warning in every forked process, because its threads do not survive a fork, unless the
    environment says whether to use threads. So say it during a fork only: the child then encodes in one thread."""
    name = "TOKENIZERS_PARALLELISM"
    if not hasattr(os, "register_at_fork"):
        return
    chosen_by_us = []

    def before() -> None:
        if name not in os.environ:
            os.environ[name] = "false"
            chosen_by_us.append(True)

    def after_in_parent() -> None:
        if chosen_by_us:
            chosen_by_us.clear()
            os.environ.pop(name, None)

    os.register_at_fork(before=before, after_in_parent=after_in_parent)
