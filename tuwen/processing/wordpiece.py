"""WordPiece over the `tokenizers` library: the ids of the original BERT tokenizer, of Hugging Face's, of ERNIE's."""

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
# Characters; anything longer is one [UNK].
LONGEST_WORD = {"cn_clip": 200, "transformers": 100, "ernie": 100, "paddlenlp": 100}
KEEP_SPECIAL = ("transformers", "paddlenlp")
MOST_ENTRIES = 10_000_000  # of a vocabulary that numbers its entries itself

# The blocks that Google's tokenizer calls Chinese. Kana and Hangul are outside: they are written with spaces, it says.
IDEOGRAPHS = (
    "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f"
)
PUNCTUATION = r"\p{P}!-/:-@\[-`{-~"  # ASCII symbols such as $ + < ^ count, although Unicode files them elsewhere
DROPPED = "[\\p{Cc}\\p{Cf}\ufffd&&[^\t\n\r]]"  # \p{Cc} includes NUL
DROPPED_BY_ERNIE = "[\\p{C}\ufffd&&[^\t\n\r]]"  # private and unassigned characters too
# PaddleNLP's list of symbols beside Unicode's, as far as these can still be there after lower-casing and dropping.
SYMBOLS = r"\p{S}²ºµŋ〇"
CASED = r"[\p{Cased}&&[^\p{Case_Ignorable}]]"
# Python lower-cases a sigma that ends a word to another letter than one inside it; `Lowercase` looks at single letters.
# Accents and points may stand between; without a bound on them every sigma would search the whole text before it.
FINAL_SIGMA = rf"(?<={CASED}\p{{Case_Ignorable}}{{0,30}})Σ(?!\p{{Case_Ignorable}}*{CASED})"


class WordPiece:
    """Texts to ids.

    style "cn_clip" is the original BERT tokenizer as cn_clip carries it: special tokens in a text are plain characters
    and a word may have 200 characters. style "transformers" is Hugging Face's `BertTokenizer`: special tokens in a text
    are kept, a word may have 100 characters. style "ernie" is the tokenizer of ERNIE-ViL 2.0's research release: as
    "cn_clip", but a word may have 100 characters, and private and unassigned characters are dropped. style "paddlenlp"
    is PaddleNLP's of the same model: as "ernie", but special tokens in a text are kept, symbols such as ¥ and emoji are
    words of their own, and a sigma that ends a word is lower-cased like any other.

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
            raise UsageError(f"style is {style!r}, expected one of {', '.join(LONGEST_WORD)}")
        if quotes not in ("keep", "straight") or (quotes == "straight" and style != "cn_clip"):
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
        """Read a `vocab.txt`: one entry per line, or ERNIE's with its number behind a tab.

        InputError if the file is missing, not UTF-8 or not BERT's.
        """
        path = Path(path)
        lines = encoding.read_text(path).split("\n")
        if lines[-1] == "":
            lines.pop()
        if style == "cn_clip":
            lines = [line.strip() for line in lines]  # two lines of the published file become "" and "##"
        try:
            if style == "ernie" or (style == "paddlenlp" and is_numbered(lines)):
                lines = _numbered(lines)
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
        steps = json.dumps(content["normalizer"], ensure_ascii=False)
        quotes = "straight" if '"“"' in steps else "keep"
        if json.dumps(DROPPED_BY_ERNIE, ensure_ascii=False) in steps:
            style = "paddlenlp" if content["added_tokens"] else "ernie"
        else:
            style = "transformers" if content["added_tokens"] else "cn_clip"
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


def is_numbered(lines: Sequence[str]) -> bool:
    """Whether these are lines of ERNIE's vocabulary: an entry, a tab, a number."""
    first = lines[0].strip().split("\t") if lines else []
    return len(first) == 2 and first[1].isdecimal()


def _numbered(lines: Sequence[str]) -> list[str]:
    """Lines `entry<TAB>number` -> entries in the order of their numbers; numbers that no line has become [unused...].

    As the original reads them: a line without a tab is numbered by its place, one with more than two fields ends the
    vocabulary, and of equal entries the last line counts. InputError for a number that is none.
    """
    numbers: dict[str, int] = {}
    places: dict[int, str] = {}
    for row, line in enumerate(lines):
        fields = line.strip().split("\t")
        if len(fields) > 2:
            break
        number = fields[1].strip() if len(fields) == 2 else str(row)
        if not number.isdecimal() or int(number) >= MOST_ENTRIES:
            raise InputError(f"line {row + 1} gives {fields[0]!r} the number {number!r}, expected one from 0")
        numbers[fields[0].strip()] = int(number)
        places[int(number)] = fields[0].strip()
    entries = [places.get(number, f"[unused{number}]") for number in range(max(places, default=-1) + 1)]
    return [  # a later line may have the smaller number, but in the list the last of equal entries counts
        entry if place <= numbers.get(entry, place) else f"[unused{place}]" for place, entry in enumerate(entries)
    ]


def _rules(numbers: dict[str, int], style: str, quotes: str) -> Tokenizer:
    model = models.WordPiece(numbers, unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD[style])
    rules = Tokenizer(model)
    if style == "transformers":
        rules.normalizer = normalizers.BertNormalizer()
        rules.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        rules.normalizer = normalizers.Sequence([*_data_loader_steps(quotes), *_original_steps(style)])
        pieces = Regex(f"[{IDEOGRAPHS}{PUNCTUATION}{SYMBOLS if style == 'paddlenlp' else ''}]")
        rules.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(pieces, "isolated")]
        )
    if style in KEEP_SPECIAL:
        present = [token for token in (PAD, UNKNOWN, START, END, MASK) if token in numbers]
        rules.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in present])
    rules.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, numbers[START]), (END, numbers[END])]
    )
    return rules


def _data_loader_steps(quotes: str) -> list[normalizers.Normalizer]:
    """What the original's data loaders do to a caption before the tokenizer sees it."""
    if quotes == "keep":
        return []
    return [*_lower(), normalizers.Replace("“", '"'), normalizers.Replace("”", '"')]


def _original_steps(style: str) -> list[normalizers.Normalizer]:
    """Google's cleaning, step by step: the library's `BertNormalizer` drops private-use and unassigned characters too,
    and follows an older Unicode."""
    return [
        normalizers.Replace(Regex(DROPPED if style == "cn_clip" else DROPPED_BY_ERNIE), ""),
        # PaddleNLP lower-cases character by character, so that no sigma ends a word.
        *([normalizers.Lowercase()] if style == "paddlenlp" else _lower()),
        normalizers.NFD(),
        normalizers.Replace(Regex(r"\p{Mn}"), ""),
    ]


def _lower() -> list[normalizers.Normalizer]:
    return [normalizers.Replace(Regex(FINAL_SIGMA), "ς"), normalizers.Lowercase()]
