"""Byte-level BPE against transformers' RoBERTa tokenizer, from every form of its files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from tuwen.errors import InputError, UsageError
from tuwen.processing.byte_bpe import ByteBPE

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
MERGES = ["Ġ t", "h e", "Ġt he", "i n", "Ġ d", "o g", "Ġd og", "a a", "' s", "Ġ Ġ", "# #", "Ã ©"]
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
VOCABULARY = [*SPECIAL, *LETTERS, *(merge.replace(" ", "") for merge in MERGES), "<mask>"]
PARTS = [
    *SPECIAL,
    "<mask>",
    " ",
    "  ",
    "\t",
    "\n",
    "the",
    " dogs",
    "in",
    "aaa",
    "It's",
    "###",
    "é",
    "中",
    "🐱",
    ".",
    "1",
]


def write(folder: Path, merges: str = "#version: 0.2\n{}\n") -> Path:
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text(merges.format("\n".join(MERGES)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> ByteBPE:
    folder = write(tmp_path_factory.mktemp("roberta"))
    return ByteBPE.from_vocab(folder / "vocab.json", folder / "merges.txt")


def test_ids_and_pairs_equal_those_of_transformers(bpe: ByteBPE, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    bpe.save(tmp_path / "tokenizer.json")
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), mask_token="<mask>", **names)
    draw = Random(2)
    texts = ["".join(draw.choices(PARTS, k=draw.randrange(12))) for _ in range(300)]
    assert bpe.ids(texts) == theirs(texts)["input_ids"]
    assert bpe.ids(texts, 9) == theirs(texts, truncation=True, max_length=9)["input_ids"]
    for length in (4, 11, 12, 13):
        ours, segments = bpe.pair_ids(texts, [*texts[1:], "x"], length)
        for first, second, row in zip(texts, [*texts[1:], "x"], ours, strict=True):
            assert row == theirs(first, second, truncation="longest_first", max_length=length)["input_ids"]
        assert segments == [[0] * len(row) for row in ours]
    for row in bpe.ids(texts):
        for skip in (False, True):
            decoded = theirs.decode(row, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
            assert bpe.decode(row, skip_special=skip) == decoded


def test_vocabulary_and_merges_give_what_roberta_gives(bpe: ByteBPE, tmp_path: Path) -> None:
    from transformers import RobertaTokenizer

    folder = write(tmp_path)
    theirs = RobertaTokenizer.from_pretrained(str(folder))
    draw = Random(4)
    texts = ["".join(draw.choices(PARTS, k=draw.randrange(12))) for _ in range(300)]
    texts = [text for text in texts if "<mask>" not in text]  # its newest version forgets the space before it
    assert bpe.ids(texts) == theirs(texts)["input_ids"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("the dog's in", "t he Ġdog 's Ġ in"),
        (" the", "Ġthe"),
        ("a  <mask> dog", "a <mask> Ġdog"),
        ("a\n\u3000<mask>", "a <mask>"),
        ("<mask><mask>", "<mask> <mask>"),
        ("x</s> <pad>y", "x </s> Ġ <pad> y"),
        ("<MASK>", "< M A S K >"),
        ("é", "Ã©"),
        ("", ""),
        ("###", "## #"),
    ],
    ids=ascii,
)
def test_tokens_are_those_of_the_description(bpe: ByteBPE, text: str, tokens: str) -> None:
    assert " ".join(bpe.tokens(text)) == tokens
    assert bpe.ids([text]) == [[0, *(VOCABULARY.index(token) for token in tokens.split()), 2]]


def content_of(bpe: ByteBPE) -> dict[str, Any]:
    return dict(json.loads(bpe.rules.to_str()))


def test_every_form_of_the_files_gives_the_same_ids(bpe: ByteBPE, tmp_path: Path) -> None:
    content = content_of(bpe)
    assert isinstance(content["model"]["merges"][0], list)
    forms = {"pairs": content, "strings": content | {"model": content["model"] | {"merges": MERGES}}}
    added = [token | {"lstrip": False} for token in content["added_tokens"]]
    forms["forgotten"] = content | {"added_tokens": added, "truncation": None}
    forms["bare"] = content | {"added_tokens": []}
    forms["cutting"] = content | {
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    }
    texts = ["the dogs in a <mask>.", "x</s>y", "###", "é " * 20]
    for name, form in forms.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(form))
        read = ByteBPE.from_json(tmp_path / f"{name}.json")
        assert (read.ids(texts), read.fingerprint()) == (bpe.ids(texts), bpe.fingerprint()), name
    for merges in ("{}", "{}\n\n", "#version: 0.2\n{}"):
        folder = write(tmp_path, merges)
        read = ByteBPE.from_vocab(folder / "vocab.json", folder / "merges.txt")
        assert read.fingerprint() == bpe.fingerprint()


def test_special_tokens_have_the_ids_of_the_files(bpe: ByteBPE) -> None:
    ids = (bpe.start_id, bpe.pad_id, bpe.end_id, bpe.unknown_id, bpe.mask_id)
    assert ids == (0, 1, 2, 3, len(VOCABULARY) - 1)
    assert bpe.vocabulary_size == len(VOCABULARY) and bpe.entries() == VOCABULARY
    assert bpe.vocabulary[bpe.mask_id or 0] == bpe.mask_token


def test_a_long_text_loses_its_end_and_keeps_its_separator(bpe: ByteBPE) -> None:
    assert bpe.ids(["in in in", "in"], 4) == [[*bpe.ids(["in in"])[0][:3], 2], bpe.ids(["in"])[0]]
    with pytest.raises(UsageError, match="context_length is 3, expected at least 4"):
        bpe.pair_ids(["a"], ["b"], 3)


def test_decoding_puts_bytes_together_and_cleans_when_asked(bpe: ByteBPE) -> None:
    (ids,) = bpe.ids(["the dog 's é , 🐱 <mask> ."])
    assert bpe.decode(ids) == "<s>the dog 's é , 🐱<mask> .</s>"
    assert bpe.decode(ids, skip_special=True) == "the dog 's é , 🐱 ."
    assert bpe.decode(ids, skip_special=True, clean=True) == "the dog's é, 🐱."
    assert bpe.decode([VOCABULARY.index("Ã")]) == "\ufffd"
    with pytest.raises(UsageError, match=f"id {len(VOCABULARY)} is outside the vocabulary"):
        bpe.decode([0, len(VOCABULARY)])


def test_half_a_character_does_not_stop_the_rest(bpe: ByteBPE) -> None:
    assert bpe.ids(["in \ud83d", "in"])[1] == bpe.ids(["in"])[0]


def test_saving_and_loading_changes_nothing(bpe: ByteBPE, tmp_path: Path) -> None:
    bpe.save(tmp_path / "tokenizer.json")
    loaded = ByteBPE.from_json(tmp_path / "tokenizer.json")
    assert loaded.fingerprint() == bpe.fingerprint() == pickle.loads(pickle.dumps(bpe)).fingerprint()
    alone = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = ["the dogs  <mask>", "", "é"]
    assert [encoding.ids for encoding in alone.encode_batch(texts)] == bpe.ids(texts) == loaded.ids(texts)


def test_fingerprints_tell_tokenizers_apart(bpe: ByteBPE) -> None:
    content = content_of(bpe)
    spaced = content["pre_tokenizer"] | {"add_prefix_space": True}
    others = [
        content | {"model": content["model"] | {"merges": MERGES[:-1]}},
        content | {"pre_tokenizer": spaced},
        content | {"model": content["model"] | {"vocab": content["model"]["vocab"] | {"new": len(VOCABULARY)}}},
    ]
    assert len({bpe.fingerprint(), *(ByteBPE(other).fingerprint() for other in others)}) == 4


def test_files_that_hold_no_such_tokenizer_are_named(bpe: ByteBPE, tmp_path: Path) -> None:
    content = content_of(bpe)
    path = tmp_path / "tokenizer.json"
    few = {"vocab": {"<s>": 0, "a": 1}, "merges": []}
    for wrong, message in (
        ("{", "is not a tokenizer.json"),
        ("{}", "is not a tokenizer.json: 'model'"),
        (json.dumps(content | {"pre_tokenizer": None}), "holds a BPE tokenizer, expected byte-level BPE"),
        (json.dumps(content | {"model": content["model"] | few, "added_tokens": []}), "has no <pad>, </s>"),
        (json.dumps(content | {"model": content["model"] | {"merges": ["q q"]}}), "tokenizer.json: .*out of vocab"),
    ):
        path.write_text(wrong)
        with pytest.raises(InputError, match=message) as raised:
            ByteBPE.from_json(path)
        assert str(path) in str(raised.value)
    (tmp_path / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(LETTERS)}))
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(InputError, match=r"vocab\.json with merges\.txt: .*has no <s>, <pad>, </s>, <unk>, <mask>"):
        ByteBPE.from_vocab(tmp_path / "vocab.json", tmp_path / "merges.txt")
    (tmp_path / "vocab.json").write_text("[1]")
    with pytest.raises(InputError, match=r"vocab\.json is not a vocabulary"):
        ByteBPE.from_vocab(tmp_path / "vocab.json", tmp_path / "merges.txt")
