"""WordPiece over the `tokenizers` library: the ids of the original BERT tokenizer, or of Hugging Face's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from tuwen.errors import InputError, UsageError
from tuwen.processing import encoding
from tuwen.processing.encoding import Rows

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


class WordPiece:
    """Texts to ids.

    style "cn_clip" is the original BERT tokenizer as cn_clip carries it: special tokens in a text are plain characters
    and a word may have 200 characters. style "transformers" is Hugging Face's `BertTokenizer`: special tokens in a text
    are kept, a word may have 100 characters.

    quotes "keep" encodes as `cn_clip.clip.tokenize` does: “ and ” are not in the vocabulary and become [UNK]. It is the
    default, because the published API works so. quotes "straight" encodes as the original's training and evaluation
    data loaders and zero-shot templates do: “ and ” become " first. ‘ and ’ are never replaced.
    """

    mask_token = MASK

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
        lines = encoding.read_text(path).split("\n")
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
        text = encoding.read_text(path)
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
        encoding.write(self.rules, Path(path))

    def entries(self) -> list[str]:
        """The lines of a vocab.txt that gives the same ids; numbers that no entry has become [unused...]."""
        numbers = self.rules.get_vocab(with_added_tokens=True)
        lines = [f"[unused{place}]" for place in range(self.vocabulary_size)]
        for token, number in numbers.items():
            lines[number] = token
        return lines

    def ids(self, texts: Sequence[str], context_length: int | None = None) -> Rows:
        """[CLS] ... [SEP] for each text, at most `context_length` ids: a long text loses its end, never its [SEP]."""
        room = encoding.room(context_length, 2)
        return [[self.start_id, *pieces[:room], self.end_id] for pieces in self._encode(texts)]

    def pair_ids(
        self, first: Sequence[str], second: Sequence[str], context_length: int | None = None
    ) -> tuple[Rows, Rows]:
        """[CLS] A [SEP] B [SEP] of each pair, the longer text cut first; and segments, 0 for A and 1 for B."""
        encoding.check_pairs(first, second)
        room = encoding.room(context_length, 3)
        left, right = self._encode(first), self._encode(second)
        kept = [encoding.longest_first(len(one), len(other), room) for one, other in zip(left, right, strict=True)]
        return encoding.pairs(left, right, self.start_id, [self.end_id], self.end_id, kept)

    def tokens(self, text: str) -> list[str]:
        """The pieces of one text, without [CLS] and [SEP], not truncated."""
        return [self.vocabulary[number] for number in self._encode([text])[0]]

    def join(self, tokens: Sequence[str]) -> str:
        """Pieces back to readable text: ## parts joined to their word, no space before a full stop."""
        return encoding.tidy(" ".join(tokens).replace(" ##", ""))

    def decode(self, ids: Sequence[int], skip_special: bool = False, clean: bool = False) -> str:
        """Readable text; `clean` takes away spaces before punctuation, as `join` does."""
        encoding.check_ids(ids, len(self.vocabulary))
        special = (PAD, UNKNOWN, START, END, MASK) if skip_special else ()
        tokens = [self.vocabulary[number] for number in ids if self.vocabulary[number] not in special]
        return self.join(tokens) if clean else " ".join(tokens).replace(" ##", "")

    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids, whatever file they came from."""
        described = [self.style, self.quotes, sorted(self.rules.get_vocab(with_added_tokens=True).items())]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()

    def _encode(self, texts: Sequence[str]) -> Rows:
        return [found.ids for found in encoding.encode(self.rules, encoding.checked(texts))]


def straight_quotes(text: str) -> str:
    """What the original's data loaders and zero-shot templates do to a text first: lower case, “ and ” become ".

    For one text at a time with a tokenizer that keeps them; `WordPiece(quotes="straight")` gives the same ids.
    """
    return text.lower().replace("“", '"').replace("”", '"')


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
