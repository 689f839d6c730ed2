"""WordPiece against a plain telling of Google's algorithm, and against Hugging Face's tokenizer."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from random import Random

import pytest
from tokenizers import Tokenizer

from tuwen.errors import InputError, UsageError
from tuwen.processing.wordpiece import LONGEST_WORD, WordPiece, straight_quotes

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCABULARY = [
    *SPECIAL,
    *(chr(code) for code in range(33, 127) if not chr(code).isupper()),
    *(f"##{letter}" for letter in [*LETTERS, *"0123456789σς"]),
    *"一只猫的照片中国高级。，？！“《》αβσς",
    "hello",
    "photo",
    "##s",
    "##graph",
    "un",
    "##aff",
    "##able",
]
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


PADDLENLP_SYMBOLS = (0x00AD, 0x00B2, 0x00BA, 0x3007, 0x00B5, 0x00D8, 0x014B, 0x01B1)  # its own, beside Unicode's


def reference_words(text: str, style: str = "cn_clip") -> list[str]:
    """The basic tokenizer as its description says, one character at a time."""
    cleaned = ""
    dropped = ("Cc", "Cf") if style == "cn_clip" else ("Cc", "Cf", "Co", "Cn")
    for char in "".join(map(str.lower, text)) if style == "paddlenlp" else text:
        if char in " \t\n\r" or unicodedata.category(char) == "Zs":
            cleaned += " "
        elif char in "\0\ufffd" or unicodedata.category(char) in dropped:
            continue
        elif any(first <= ord(char) <= last for first, last in IDEOGRAPHS):
            cleaned += f" {char} "
        else:
            cleaned += char
    words = []
    for piece in cleaned.split():
        decomposed = unicodedata.normalize("NFD", piece.lower())
        word = ""
        for char in decomposed:
            if unicodedata.category(char) == "Mn":
                continue
            symbol = char.isascii() and char.isprintable() and not char.isalnum() and char != " "
            if style == "paddlenlp":
                symbol |= unicodedata.category(char).startswith("S") or ord(char) in PADDLENLP_SYMBOLS
            if symbol or unicodedata.category(char).startswith("P"):
                words += [word, char]
                word = ""
            else:
                word += char
        words.append(word)
    return " ".join(words).split()


def reference_pieces(word: str, vocabulary: set[str], longest: int = 200) -> list[str]:
    """Greedy longest match first."""
    pieces: list[str] = []
    start = 0
    while len(word) <= longest and start < len(word):
        ends = range(len(word), start, -1)
        found = next((end for end in ends if ("##" if start else "") + word[start:end] in vocabulary), None)
        if found is None:
            return ["[UNK]"]
        pieces.append(("##" if start else "") + word[start:found])
        start = found
    return pieces or ["[UNK]"]


def words(wordpiece: WordPiece, text: str) -> list[str]:
    rules = wordpiece.rules
    assert rules.normalizer is not None and rules.pre_tokenizer is not None
    return [word for word, _ in rules.pre_tokenizer.pre_tokenize_str(rules.normalizer.normalize_str(text))]


def known(codes: range) -> list[str]:
    """Characters that this Python's Unicode knows: which later ones exist depends on the version of each side."""
    return [chr(code) for code in codes if unicodedata.category(chr(code)) not in ("Cn", "Cs")]


@pytest.mark.parametrize("style", ["ernie", "paddlenlp"])
def test_every_character_is_treated_as_in_ernie(style: str) -> None:
    ernie = WordPiece(VOCABULARY, style)
    private = [chr(code) for code in range(0xE000, 0xE100)]
    for first in (*range(0, 0x10000, 0x1000), 0x1F000):
        text = "".join(f"{char} a{char}b ΑΣ{char}" for char in [*known(range(first, first + 0x1000))[::3], *private])
        assert words(ernie, text) == reference_words(text, style)


@pytest.mark.parametrize("style", ["ernie", "paddlenlp"])
def test_mixed_strings_get_the_ids_of_ernie(style: str) -> None:
    draw = Random(style)
    tricky = "ΑΣσςİıǅßﬁÅé“” \t\n\r\x00\u200b\u2028\u3000\ufffd\ue000\u0301中國豈ガ한.,'$+<^¥€²ºµŋØƱ〇🐈©½"
    pools = [known(range(0x300)), list(tricky), ["hello", "photos", "unaffable", "一只猫的照片", "a" * 101, *SPECIAL]]
    texts = ["".join(draw.choice(draw.choice(pools)) for _ in range(draw.randrange(20))) for _ in range(1500)]
    numbers = {token: number for number, token in enumerate(VOCABULARY)}
    special = re.compile("|".join(map(re.escape, SPECIAL)) if style == "paddlenlp" else "(?!)")
    for text, ids in zip(texts, WordPiece(VOCABULARY, style).ids(texts), strict=True):
        pieces: list[str] = []
        parts = [*special.split(text), ""]
        for part, kept in zip(parts, [*special.findall(text), ""], strict=False):
            for word in reference_words(part, style):
                pieces += reference_pieces(word, set(VOCABULARY), 100)
            pieces += [kept] if kept else []
        assert ids == [numbers[token] for token in ["[CLS]", *pieces, "[SEP]"]], ascii(text)


def test_ernie_numbers_its_entries_and_of_equal_ones_the_later_line_counts(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    lines = ["[PAD]\t0", "[CLS]\t1", "[SEP]\t2", "[MASK]\t3", "$\t4", "猫\t5", "$\t7", " 狗 \t6", "b\t12", "a"]
    lines += ["b\t10", "[UNK]\t11", "ends\t13\there", "c\t14"]
    path.write_text("\n".join(lines), encoding="utf-8")
    for style in ("ernie", "paddlenlp"):
        ernie = WordPiece.from_vocab(path, style)
        assert (ernie.vocabulary_size, ernie.unknown_id, ernie.mask_id) == (13, 11, 3)
        assert ernie.ids(["$猫狗 a b c"]) == [[1, 7, 5, 6, 9, 10, 11, 2]]
        assert ernie.decode([4, 8, 12]) == "$ [unused8] [unused12]"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("猫\tfive", "line 5 gives '猫' the number 'five'"),
        ("猫\t-5", "'-5'"),
        ("猫\t99999999999", "expected one from 0"),
    ],
    ids=["word", "negative", "absurd"],
)
def test_a_number_that_is_none_is_refused_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\t0\n[CLS]\t1\n[SEP]\t2\n[UNK]\t3\n" + line, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        WordPiece.from_vocab(path, "ernie")


@pytest.fixture(scope="module")
def wordpiece() -> WordPiece:
    return WordPiece(VOCABULARY)


@pytest.mark.parametrize(("pattern", "step"), [("{0} a{0}b ", 1), ("ΑΣ{0}Α\u0301 中{0}Σ ", 3)])
def test_every_character_of_the_bmp_is_treated_as_in_the_original(
    wordpiece: WordPiece, pattern: str, step: int
) -> None:
    for first in range(0, 0x10000, 0x1000):
        text = "".join(pattern.format(char) for char in known(range(first, first + 0x1000))[::step])
        assert words(wordpiece, text) == reference_words(text)


def test_the_ideographs_outside_the_bmp_are_treated_as_in_the_original(wordpiece: WordPiece) -> None:
    text = "".join(f"a{char}b " for char in known(range(0x20000, 0x30000))[::7])
    assert words(wordpiece, text) == reference_words(text)


@pytest.mark.parametrize("quotes", ["keep", "straight"])
def test_mixed_strings_get_the_ids_of_the_original(quotes: str) -> None:
    wordpiece = WordPiece(VOCABULARY, quotes=quotes)
    draw = Random(quotes)
    tricky = "ΑΣσςİıǅßﬁÅé“”‘’ \t\n\r\x00\x01\u200b\u200d\u2028\x85\u3000\ufffd\u0301\u0345\u00ad[MASK]中国豈ガ한.,'$+<^"
    pools = [known(range(0x300)), known(range(0x2500)), list(tricky), ["hello", "photos", "unaffable", "一只猫的照片"]]
    texts = ["".join(draw.choice(draw.choice(pools)) for _ in range(draw.randrange(20))) for _ in range(3000)]
    numbers = {token: number for number, token in enumerate(VOCABULARY)}
    for text, ids in zip(texts, wordpiece.ids(texts, 512), strict=True):
        shown = straight_quotes(text) if quotes == "straight" else text
        pieces = [piece for word in reference_words(shown) for piece in reference_pieces(word, set(VOCABULARY))]
        assert ids == [numbers[token] for token in ["[CLS]", *pieces, "[SEP]"]], ascii(text)


def test_a_word_may_have_200_characters_and_not_one_more(wordpiece: WordPiece) -> None:
    assert wordpiece.tokens("a" * 200) == ["a", *["##a"] * 199]
    assert wordpiece.tokens("a" * 201) == ["[UNK]"]


def test_special_tokens_in_a_text_are_plain_characters(wordpiece: WordPiece) -> None:
    assert wordpiece.tokens("[MASK]") == ["[", "m", "##a", "##s", "##k", "]"]


def test_quotes_decides_about_curly_double_quotes_only(wordpiece: WordPiece) -> None:
    straight = WordPiece(VOCABULARY, quotes="straight")
    assert wordpiece.tokens("“高级”") == ["“", "高", "级", "[UNK]"]
    assert straight.tokens("“高级”") == ['"', "高", "级", '"']
    assert straight.tokens("‘高’") == ["[UNK]", "高", "[UNK]"]
    assert straight.tokens("“A”") == wordpiece.tokens(straight_quotes("“A”"))


def test_a_long_text_loses_its_end_and_keeps_its_separator(wordpiece: WordPiece) -> None:
    assert wordpiece.ids(["a b c d"], 4) == [[wordpiece.start_id, *ids_of(wordpiece, "a", "b"), wordpiece.end_id]]
    assert wordpiece.ids(["a b c d"], 2) == [[wordpiece.start_id, wordpiece.end_id]]


def test_an_empty_text_is_only_start_and_end(wordpiece: WordPiece) -> None:
    assert wordpiece.ids(["", " \n"], 52) == [[wordpiece.start_id, wordpiece.end_id]] * 2


def test_half_a_character_is_an_unknown_letter(wordpiece: WordPiece) -> None:
    assert wordpiece.tokens("a \ud83d b") == ["a", "[UNK]", "b"]


def test_joining_gives_readable_text(wordpiece: WordPiece) -> None:
    assert wordpiece.join(wordpiece.tokens("hello, photos!")) == "hello, photos!"
    assert wordpiece.join([]) == ""


def test_lines_of_a_vocabulary_are_stripped_and_of_equal_ones_the_last_counts(tmp_path: Path) -> None:
    lines = [*SPECIAL, "\u2028", "##\u2028", "a", " b ", "a", "\u2028", "c"]
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    wordpiece = WordPiece.from_vocab(path)
    assert wordpiece.vocabulary_size == len(lines)
    assert wordpiece.ids(["a b c"], 52) == [[2, 9, 8, 11, 3]]
    assert wordpiece.rules.token_to_id("") == 10 and wordpiece.rules.token_to_id("##") == 6
    assert WordPiece.from_vocab(path, style="transformers").ids(["a b"], 52) == [[2, 9, 1, 3]]


@pytest.mark.parametrize(
    ("style", "quotes"), [*((style, "keep") for style in LONGEST_WORD), ("cn_clip", "straight")], ids=str
)
def test_saving_and_loading_changes_nothing(tmp_path: Path, style: str, quotes: str) -> None:
    wordpiece = WordPiece(VOCABULARY, style, quotes)
    wordpiece.save(tmp_path / "tokenizer.json")
    loaded = WordPiece.from_json(tmp_path / "tokenizer.json")
    texts = ["“高级”的照片 [MASK] CAFÉ", "", "ΑΣ photos", "a" * 150]
    assert (loaded.style, loaded.quotes, loaded.vocabulary_size) == (style, quotes, len(VOCABULARY))
    assert loaded.fingerprint() == wordpiece.fingerprint()
    assert loaded.ids(texts, 52) == wordpiece.ids(texts, 52) == pickle.loads(pickle.dumps(loaded)).ids(texts, 52)
    alone = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert [encoding.ids for encoding in alone.encode_batch(texts)] == wordpiece.ids(texts, 512)


def test_fingerprints_tell_tokenizers_apart() -> None:
    tokenizers = [
        WordPiece(VOCABULARY),
        WordPiece(VOCABULARY, quotes="straight"),
        WordPiece(VOCABULARY, "transformers"),
        WordPiece(VOCABULARY, "ernie"),
        WordPiece(VOCABULARY, "paddlenlp"),
    ]
    tokenizers.append(WordPiece([*VOCABULARY, "dog"]))
    assert len({wordpiece.fingerprint() for wordpiece in tokenizers}) == len(tokenizers)


def test_the_transformers_style_equals_bert_tokenizer() -> None:
    from transformers import BertTokenizer

    theirs = BertTokenizer(vocab={token: number for number, token in enumerate(VOCABULARY)})
    ours = WordPiece(VOCABULARY, style="transformers")
    draw = Random(5)
    parts = [*SPECIAL, *"ΑΣéÅ “”‘’\x00\u200b\u2028\ufffd\ue000.,[]", "hello", "photos", "中国", "a" * 100, "b" * 101]
    texts = ["".join(draw.choices(parts, k=draw.randrange(12))) for _ in range(500)]
    expected = theirs(texts, truncation=True, max_length=52)["input_ids"]
    assert ours.ids(texts, 52) == expected


def test_pairs_and_decoding_equal_bert_tokenizer() -> None:
    from transformers import BertTokenizer

    theirs = BertTokenizer(vocab={token: number for number, token in enumerate(VOCABULARY)})
    ours = WordPiece(VOCABULARY, style="transformers")
    draw = Random(6)
    parts = [*SPECIAL, "hello", "photos", "中国", "a", "b", " ", "."]
    texts = ["".join(draw.choices(parts, k=draw.randrange(1, 9))) for _ in range(100)]
    for length in (3, 10, 11):
        ids, segments = ours.pair_ids(texts, texts[::-1], length)
        expected = theirs(texts, texts[::-1], truncation="longest_first", max_length=length)
        assert (ids, segments) == (expected["input_ids"], expected["token_type_ids"])
    for row in ours.ids(texts):
        for skip in (False, True):
            decoded = theirs.decode(row, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
            assert ours.decode(row, skip_special=skip, clean=True) == decoded
    with pytest.raises(UsageError, match="id -1 is outside the vocabulary"):
        ours.decode([-1])


@pytest.mark.parametrize(
    ("texts", "message"),
    [([], "empty list"), ("一只猫", "single string"), (["a", 3], "text 2 of 2 is int"), ([b"a"], "is bytes")],
    ids=str,
)
def test_texts_of_the_wrong_kind_are_refused(wordpiece: WordPiece, texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wordpiece.ids(texts, 52)


def test_wrong_settings_are_refused(wordpiece: WordPiece) -> None:
    with pytest.raises(UsageError, match="context_length is 1"):
        wordpiece.ids(["a"], 1)
    with pytest.raises(UsageError, match="style is 'google'"):
        WordPiece(VOCABULARY, style="google")
    with pytest.raises(UsageError, match="quotes is 'curly'"):
        WordPiece(VOCABULARY, quotes="curly")
    for style in ("transformers", "ernie", "paddlenlp"):
        with pytest.raises(UsageError, match="quotes is 'straight'"):
            WordPiece(VOCABULARY, style, "straight")


def test_files_that_hold_no_tokenizer_are_named(tmp_path: Path) -> None:
    missing, words_only, binary = tmp_path / "none.txt", tmp_path / "words.txt", tmp_path / "binary.txt"
    words_only.write_text("a\nb\n")
    binary.write_bytes(b"\xff\xfe\x00")
    for path, message in ((missing, "No such file"), (words_only, r"\[PAD\]"), (binary, "not UTF-8")):
        with pytest.raises(InputError, match=f"{path.name}.*{message}"):
            WordPiece.from_vocab(path)
    with pytest.raises(InputError, match=r"words\.txt is not a tokenizer\.json"):
        WordPiece.from_json(words_only)
    other = tmp_path / "other.json"
    other.write_text('{"model": {"type": "BPE", "vocab": {}, "merges": []}}')
    with pytest.raises(InputError, match=r"other\.json holds a BPE tokenizer, expected WordPiece"):
        WordPiece.from_json(other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_after_encoding_prints_no_warning() -> None:
    script = f"""
import os
from tuwen.processing.wordpiece import WordPiece
wordpiece = WordPiece({SPECIAL!r} + ["a"])
before = dict(os.environ)
wordpiece.ids(["a"] * 100, 52)
child = os.fork()
assert wordpiece.ids(["a"] * 100, 52) == [[2, 5, 3]] * 100
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert dict(os.environ) == before
"""
    environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
    environment["PYTHONWARNINGS"] = "ignore::DeprecationWarning"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def ids_of(wordpiece: WordPiece, *tokens: str) -> list[int]:
    return [wordpiece.vocabulary.index(token) for token in tokens]
