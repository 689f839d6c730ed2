"""Tokenizers written as published folders have them, and read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuwen.processing import sentencepiece
from tuwen.processing.tokenizer import NoTokenizer, Tokenizer, open_tokenizer
from tuwen.processing.vocabulary_files import model_file, published_files
from tuwen.processing.wordpiece import WordPiece

CASES = Path(__file__).parents[1] / "golden" / "cases"
BYTE_BPE = CASES / "bridgetower" / "tokenizer" / "checkpoint"
UNIGRAMS = [CASES / "vle" / name / "checkpoint" for name in ("processor", "pbc_base")]
TEXTS = ["a <mask> and  two dogs.", "naïve café 猫 [MASK] x", " Hello,\tWORLD!! ", "ababababa", "…½"]


def written(tokenizer: Tokenizer, folder: Path, form: str = "transformers") -> Path:
    folder.mkdir()
    for name, content in published_files(tokenizer, form).items():
        (folder / name).write_bytes(content)
    return folder


def same(one: Tokenizer, other: Tokenizer) -> None:
    assert one.fingerprint() == other.fingerprint()
    assert one.ids(TEXTS) == other.ids(TEXTS)


@pytest.mark.parametrize("form", ["transformers", "original"])
def test_byte_level_bpe_is_read_again_from_either_layout(form: str, tmp_path: Path) -> None:
    tokenizer = open_tokenizer(BYTE_BPE)
    folder = written(tokenizer, tmp_path / form, form)
    assert (folder / "tokenizer.json").is_file() == (form == "transformers")
    same(open_tokenizer(folder), tokenizer)
    assert open_tokenizer(folder / "vocab.json").ids(TEXTS) == tokenizer.ids(TEXTS)


@pytest.mark.parametrize("place", UNIGRAMS, ids=["normalizer", "identity"])
def test_a_unigram_is_read_again_from_a_model_file_of_ours(place: Path, tmp_path: Path) -> None:
    tokenizer = open_tokenizer(place)
    tokenizer.save(tmp_path / "tokenizer.json")
    own = open_tokenizer(tmp_path / "tokenizer.json")  # it has forgotten its spm.model
    folder = written(own, tmp_path / "theirs")
    same(open_tokenizer(folder), tokenizer)
    assert json.loads((folder / "added_tokens.json").read_text()) == {"[MASK]": tokenizer.mask_id}
    published = json.loads((place / "special_tokens_map.json").read_text())
    assert json.loads((folder / "special_tokens_map.json").read_text()) == published


@pytest.mark.parametrize("place", UNIGRAMS, ids=["normalizer", "identity"])
def test_a_model_file_of_ours_says_what_the_original_says(place: Path) -> None:
    read = sentencepiece.read(place / "spm.model")
    again = sentencepiece.parse(model_file(read))
    assert (again.pieces, again.scores, again.kinds) == (read.pieces, read.scores, read.kinds)
    assert (again.prefix, again.trim, again.replacements.charsmap) == (
        read.prefix,
        read.trim,
        read.replacements.charsmap,
    )


def test_a_unigrams_own_files_are_carried_over_byte_for_byte() -> None:
    files = published_files(open_tokenizer(UNIGRAMS[0]), source=UNIGRAMS[0])
    assert sorted(files) == ["added_tokens.json", "special_tokens_map.json", "spm.model", "tokenizer_config.json"]
    assert files == {name: (UNIGRAMS[0] / name).read_bytes() for name in files}
    assert published_files(open_tokenizer(UNIGRAMS[0]), source=UNIGRAMS[0] / "spm.model") == files


def test_a_wordpiece_vocabulary_is_a_list_of_its_entries_or_the_file_it_came_from(tmp_path: Path) -> None:
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "猫", "a"]
    path = tmp_path / "words.txt"
    path.write_bytes("\r\n".join(entries).encode())
    tokenizer = WordPiece(entries)
    assert published_files(tokenizer, "original") == {"vocab.txt": ("\n".join(entries) + "\n").encode()}
    assert published_files(tokenizer, "original", source=path) == {"vocab.txt": path.read_bytes()}
    assert "tokenizer_config.json" in published_files(tokenizer, "transformers")


def test_the_longest_text_is_said_where_there_is_one() -> None:
    settings = json.loads(published_files(open_tokenizer(BYTE_BPE), longest=512)["tokenizer_config.json"])
    assert settings["model_max_length"] == 512
    settings = json.loads(published_files(open_tokenizer(BYTE_BPE))["tokenizer_config.json"])
    assert settings["model_max_length"] > 10**20


# -- ERNIE-ViL 2.0 ----------------------------------------------------------------------------------------------------

ENTRIES = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "$", "a", "##b", "猫", "$", "¥", "[UNK]"]  # "$" twice, as published


def numbered() -> bytes:
    return "\n".join(f"{entry}\t{number}" for number, entry in enumerate(ENTRIES)).encode()


def plain() -> bytes:
    return "".join(f"{entry}\n" for entry in ENTRIES).encode()


@pytest.mark.parametrize(("style", "content"), [("ernie", numbered()), ("paddlenlp", plain())])
def test_ernies_vocabulary_is_written_numbered_for_the_release_and_plain_for_the_port(
    style: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    tokenizer = open_tokenizer(tmp_path, style)
    for source in (tmp_path, tmp_path / "vocab.txt", None):
        assert published_files(tokenizer, "original", source=source) == {"vocab.txt": numbered()}
        files = published_files(tokenizer, "paddlenlp", source=source)
        assert files["vocab.txt"] == plain()
    assert json.loads(files["special_tokens_map.json"])["unk_token"] == "[UNK]"
    assert json.loads(files["tokenizer_config.json"])["tokenizer_class"] == "ErnieViLTokenizer"


@pytest.mark.parametrize("style", ["ernie", "paddlenlp"])
def test_an_entry_that_our_own_file_forgot_changes_no_id(style: str, tmp_path: Path) -> None:
    tokenizer = WordPiece(ENTRIES, style)
    tokenizer.save(tmp_path / "tokenizer.json")
    own = open_tokenizer(tmp_path / "tokenizer.json")
    for form in ("original", "paddlenlp"):
        again = open_tokenizer(written(own, tmp_path / form, form), style)
        assert again.fingerprint() == tokenizer.fingerprint()
        assert again.ids(["$ a猫 [UNK] ab"]) == tokenizer.ids(["$ a猫 [UNK] ab"])


def test_where_there_is_no_tokenizer_nothing_is_written() -> None:
    assert not published_files(NoTokenizer(), "original")
