"""Whatever tokenizer lies in a folder is found, opened and told apart; all of them offer the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processing import pieces, test_byte_bpe
from tuwen.errors import InputError, UsageError
from tuwen.processing.byte_bpe import ByteBPE
from tuwen.processing.tokenizer import Tokenizer, open_tokenizer
from tuwen.processing.unigram import Unigram
from tuwen.processing.wordpiece import WordPiece

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "##s", ".", "mask", "[", "]"]


def words(folder: Path) -> Path:
    path = folder / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


WRITERS: dict[type, Callable[[Path], Path]] = {
    WordPiece: words,
    ByteBPE: lambda folder: test_byte_bpe.write(folder) / "vocab.json",
    Unigram: pieces.write,
}


@pytest.fixture(params=WRITERS, ids=lambda kind: kind.__name__)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    return open_tokenizer(WRITERS[request.param](tmp_path))


@pytest.mark.parametrize("kind", WRITERS, ids=lambda kind: kind.__name__)
def test_a_folder_a_file_and_what_was_saved_open_alike(tmp_path: Path, kind: type) -> None:
    path = WRITERS[kind](tmp_path)
    saved = tmp_path / "saved"
    saved.mkdir()
    by_file, by_folder = open_tokenizer(path), open_tokenizer(str(tmp_path))
    by_file.save(saved / "tokenizer.json")
    (saved / "tokenizer_config.json").write_text("{}")
    again = open_tokenizer(saved)
    assert {type(one) for one in (by_file, by_folder, again)} == {kind}
    assert len({one.fingerprint() for one in (by_file, by_folder, again)}) == 1


def test_merges_stand_for_their_vocabulary(tmp_path: Path) -> None:
    test_byte_bpe.write(tmp_path)
    assert isinstance(open_tokenizer(tmp_path / "merges.txt"), ByteBPE)


def test_a_style_is_that_of_a_vocabulary(tmp_path: Path) -> None:
    words(tmp_path)
    assert open_tokenizer(tmp_path).ids(["[MASK]"]) == [[2, 10, 9, 11, 3]]
    assert open_tokenizer(tmp_path, "transformers").ids(["[MASK]"]) == [[2, 4, 3]]


def test_a_vocabulary_that_numbers_its_entries_is_ernies(tmp_path: Path) -> None:
    entries = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "mask", "¥", "##1", "1", "[", "]", "[UNK]"]
    lines = [f"{entry}\t{number}" for number, entry in enumerate(entries)]
    (tmp_path / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")
    assert open_tokenizer(tmp_path).ids(["[MASK] ¥1"]) == [[1, 8, 4, 9, 5, 6, 2]]
    assert open_tokenizer(tmp_path / "vocab.txt", "paddlenlp").ids(["[MASK] ¥1"]) == [[1, 3, 5, 7, 2]]
    (tmp_path / "vocab.txt").write_text("\n".join(entries), encoding="utf-8")
    assert open_tokenizer(tmp_path, "paddlenlp").ids(["[MASK] ¥1"]) == [[1, 3, 5, 7, 2]]


def test_the_original_file_counts_before_one_converted_from_it(tmp_path: Path) -> None:
    pieces.write(tmp_path)
    words(tmp_path)
    test_byte_bpe.write(tmp_path)
    open_tokenizer(tmp_path / "vocab.txt").save(tmp_path / "tokenizer.json")
    found = []
    for name in ("spm.model", "tokenizer.json", "merges.txt", "vocab.txt"):
        found.append(type(open_tokenizer(tmp_path)))
        (tmp_path / name).unlink()
    assert found == [Unigram, WordPiece, ByteBPE, WordPiece]


def test_all_offer_the_same(opened: Tokenizer) -> None:
    texts = ["the dogs", "", f"the {opened.mask_token} ."]
    rows = opened.ids(texts)
    assert all(row[0] == opened.start_id and row[-1] == opened.end_id for row in rows)
    assert opened.ids(texts, 3) == [[*row[: min(2, len(row) - 1)], opened.end_id] for row in rows]
    assert (opened.mask_id in rows[2]) == (
        not isinstance(opened, WordPiece)
    )  # the style "cn_clip" has no tokens in texts
    assert [opened.vocabulary[number] for number in rows[0][1:-1]] == opened.tokens("the dogs")
    assert opened.decode(rows[0], skip_special=True) == "the dogs"
    ids, segments = opened.pair_ids(["the dogs"], ["the"])
    assert ids[0][: len(rows[0])] == rows[0] and len(ids[0]) == len(segments[0])
    assert opened.entries() == opened.vocabulary and opened.vocabulary_size == len(opened.vocabulary)
    assert opened.vocabulary[opened.mask_id or -1] == opened.mask_token
    assert max(map(max, rows)) < opened.vocabulary_size


@pytest.mark.parametrize(
    ("texts", "message"),
    [([], "empty list"), ("a dog", "single string"), (["a", 3], "text 2 of 2 is int"), ([b"a"], "is bytes")],
    ids=str,
)
def test_texts_of_the_wrong_kind_are_refused(opened: Tokenizer, texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        opened.ids(texts)


def test_a_folder_without_a_tokenizer_says_what_is_there_and_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no tokenizer, expected spm\.model, .*; found nothing"):
        open_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(InputError, match=r"vocab\.json with merges\.txt, .*; found config\.json, vocab\.json"):
        open_tokenizer(tmp_path)
    with pytest.raises(InputError, match=r"vocab\.json needs merges\.txt beside it"):
        open_tokenizer(tmp_path / "vocab.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a tokenizer.json"),
        ("{}", "is not a tokenizer.json: 'model'"),
        (json.dumps({"model": {"type": "WordLevel"}}), "holds a WordLevel tokenizer, expected WordPiece, BPE, Unigram"),
    ],
    ids=range(3),
)
def test_rules_of_another_kind_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=message):
        open_tokenizer(tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("spm.model", "tokenizer.json", "vocab.txt"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            open_tokenizer(tmp_path / name)
