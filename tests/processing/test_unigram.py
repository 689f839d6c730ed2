"""Unigram: pieces as recorded from sentencepiece 0.2.3, the rest as transformers' slow tokenizer has it."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.processing import pieces
from tuwen.errors import InputError, UsageError
from tuwen.processing.sentencepiece import parse
from tuwen.processing.unigram import Unigram

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
# Model: text: pieces
RECORDED = {
    "table": {
        "  the   dogs  ": "▁the ▁dog s",
        "": "",
        " \u200b": "",
        "ﬁe\u0301\tthe": "▁ fi é ▁the",
        "Ａ▁dog": "▁ A ▁dog",
        "eee dogs!!!!!": "▁ e ee ▁dog s !! ! !!",
        "abababa": "▁a b ab aba",
        "zq中x": "▁ zq 中 x",
        " ▁ a▁": "▁a",
    },
    "none": {
        "ﬁe\u0301 the": "▁ ﬁ e \u0301 ▁the",
        "Ａ▁dog": "▁ Ａ ▁dog",
        "▁dog": "▁ ▁dog",
        " ▁ a▁": "▁ ▁ ▁a",
        "\u200b": "▁ \u200b",
    },
    "loose": {"  the   dog  ": "▁ ▁the ▁ ▁ ▁dog ▁ ▁", "the": "th e", "eee": "e ee", "  ": "▁ ▁"},
}
MODELS = {
    "table": pieces.model(charsmap=pieces.table(pieces.CHARACTERS)),
    "none": pieces.model(),
    "loose": pieces.model(normaliser={3: 0, 4: 0}),
}


@pytest.fixture(scope="module")
def unigram() -> Unigram:
    return Unigram(parse(MODELS["table"]))


def numbers(unigram: Unigram, text: str) -> list[int]:
    """Ids of pieces written with spaces between them; what is no piece is unknown."""
    known = {piece: number for number, piece in enumerate(unigram.vocabulary)}
    return [known.get(piece, unigram.unknown_id) for piece in text.split(" ") if piece]


@pytest.mark.parametrize("name", RECORDED)
def test_pieces_are_as_recorded(name: str) -> None:
    unigram = Unigram(parse(MODELS[name]))
    for text, expected in RECORDED[name].items():
        assert " ".join(unigram.tokens(text)) == expected, ascii(text)
        assert unigram.ids([text]) == [[1, *numbers(unigram, expected), 2]], ascii(text)


def test_the_two_searches_agree_where_no_order_of_equal_pieces_matters() -> None:
    unigram = Unigram(parse(MODELS["none"]))
    draw = Random(7)
    letters = ["the", "dog", "s", "e", "a", "b", "中", "z", "q", "[", "!", " ", " "]
    texts = ["".join(draw.choices(letters, k=draw.randrange(1, 20))) for _ in range(400)]
    plain = [text for text in map(unigram.model.normalise, texts) if text]
    for text in plain:
        run = unigram._search(text)
        assert "".join(run.tokens) == text
        other = unigram._rules.encode(text)
        same = (other.ids, other.tokens) == (run.ids, run.tokens)
        assert same or sorted(other.tokens) == sorted(run.tokens), text


def test_many_texts_give_what_each_gives_alone(unigram: Unigram) -> None:
    texts = ["the dogs", "", "a [MASK] dog", "eee", "[SEP]", "中 dog"]
    assert unigram.ids(texts) == [unigram.ids([text])[0] for text in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [MASK] dog", "▁a [MASK] ▁dog"),
        ("a[MASK]dog", "▁a [MASK] ▁dog"),
        ("[MASK][MASK]", "[MASK] [MASK]"),
        ("[CLS] \u2028 [SEP]\x1ca\n[PAD]", "[CLS] [SEP] ▁a [PAD]"),
        ("[UNK].", "[UNK] ▁ ."),
        ("[mask]", "▁ [ m a s k ]"),
        ("[ MASK]", "▁ [ ▁ MASK ]"),
    ],
    ids=ascii,
)
def test_special_tokens_in_a_text_are_themselves(unigram: Unigram, text: str, expected: str) -> None:
    assert " ".join(unigram.tokens(text)) == expected
    assert unigram.ids([text])[0][1:-1] == numbers(unigram, expected)


def test_no_text_spells_a_control_piece() -> None:
    words = pieces.WORDS | {"C": -9.0, "L": -9.0, "S": -9.0}
    wide = pieces.table({"［": "[", "］": "]"})
    unigram = Unigram(parse(pieces.model(words, charsmap=wide)))
    assert unigram.tokens("［CLS］ dog") == ["▁", "[", "C", "L", "S", "]", "▁dog"]


def test_the_mask_comes_after_the_last_piece() -> None:
    unigram = Unigram(parse(MODELS["table"]))
    assert unigram.mask_id == len(pieces.WORDS) + 4 == unigram.vocabulary_size - 1
    assert unigram.vocabulary[-1] == unigram.entries()[-1] == unigram.mask_token == "[MASK]"
    inside = Unigram(parse(pieces.model(special=[("[MASK]", 0.0, 3), *pieces.SPECIAL])))
    assert (inside.mask_id, inside.vocabulary_size) == (0, len(pieces.WORDS) + 5)
    more = Unigram(parse(MODELS["table"]), {"<new>": len(pieces.WORDS) + 4})
    assert more.vocabulary[-2:] == ["<new>", "[MASK]"]
    assert more.tokens("the<new> dog") == ["▁the", "<new>", "▁dog"]


def test_half_a_character_is_unknown(unigram: Unigram) -> None:
    assert unigram.ids(["a \ud83d dog"]) == [[1, *numbers(unigram, "▁a ▁ ? ▁dog"), 2]]


def test_a_long_text_loses_its_end_and_keeps_its_separator(unigram: Unigram) -> None:
    assert unigram.ids(["the dogs", "a"], 4) == [
        [1, *numbers(unigram, "▁the ▁dog"), 2],
        [1, *numbers(unigram, "▁a"), 2],
    ]
    with pytest.raises(UsageError, match="context_length is 1, expected at least 2"):
        unigram.ids(["a"], 1)


@pytest.mark.parametrize(
    ("first", "second", "length", "kept"),
    [
        ("a a a", "the the", None, (3, 2)),
        ("a a a", "the the", 8, (3, 2)),
        ("a a a", "the the", 7, (2, 2)),
        ("a a a", "the the", 6, (2, 1)),  # of equals the second loses its last
        ("a a", "the the the", 6, (2, 1)),
        ("a a", "the the the", 7, (2, 2)),
        ("a a a a", "the", 6, (2, 1)),
        ("", "the the", 4, (0, 1)),
        ("a a", "", 4, (1, 0)),
        ("a", "the", 3, (0, 0)),
    ],
    ids=str,
)
def test_of_a_pair_the_longer_text_is_cut_first(
    unigram: Unigram, first: str, second: str, length: int | None, kept: tuple[int, int]
) -> None:
    (a, the) = numbers(unigram, "▁a ▁the")
    (ids,), (segments,) = unigram.pair_ids([first], [second], length)
    assert ids == [1, *[a] * kept[0], 2, *[the] * kept[1], 2]
    assert segments == [0] * (kept[0] + 2) + [1] * (kept[1] + 1)


def test_pairs_need_as_many_first_as_second_texts(unigram: Unigram) -> None:
    with pytest.raises(UsageError, match="found 2 and 1 texts"):
        unigram.pair_ids(["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("text", "whole", "plain"),
    [
        ("the dogs.", "[CLS] the dogs.[SEP]", "the dogs."),
        ("", "[CLS][SEP]", ""),
        ("a zq dog", "[CLS] a [UNK] dog[SEP]", "a  dog"),
        ("a [MASK] dog", "[CLS]a [MASK] dog[SEP]", "a dog"),  # text before an added token is put together by itself
        ("a [SEP] dog", "[CLS] a[SEP] dog[SEP]", "a dog"),
        ("a .", "[CLS] a .[SEP]", "a ."),
    ],
    ids=ascii,
)
def test_ids_become_text_again(unigram: Unigram, text: str, whole: str, plain: str) -> None:
    (ids,) = unigram.ids([text])
    assert unigram.decode(ids) == whole
    assert unigram.decode(ids, skip_special=True) == plain
    assert unigram.decode(ids, skip_special=True, clean=True) == plain.replace(" .", ".")


def test_an_id_outside_the_vocabulary_is_refused(unigram: Unigram) -> None:
    with pytest.raises(UsageError, match="id 999 is outside the vocabulary"):
        unigram.decode([1, 999])


@pytest.mark.parametrize("name", MODELS)
def test_saving_and_loading_changes_nothing(tmp_path: Path, name: str) -> None:
    unigram = Unigram(parse(MODELS[name]), {"<new>": len(pieces.WORDS) + 4})
    unigram.save(tmp_path / "tokenizer.json")
    loaded = Unigram.from_json(tmp_path / "tokenizer.json")
    texts = [*RECORDED[name], "a [MASK] <new> dog", "［CLS］", "\u0301e\u0301"]
    assert loaded.fingerprint() == unigram.fingerprint() == pickle.loads(pickle.dumps(unigram)).fingerprint()
    assert loaded.ids(texts) == unigram.ids(texts)
    assert [loaded.tokens(text) for text in texts] == [unigram.tokens(text) for text in texts]
    assert loaded.entries() == unigram.entries()


def test_the_saved_file_works_without_us(unigram: Unigram, tmp_path: Path) -> None:
    unigram.save(tmp_path / "tokenizer.json")
    alone = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = ["the dogs", "", " a  [MASK]  dog ", "ﬁ\tthe", "zq", "a▁"]
    assert [encoding.ids for encoding in alone.encode_batch(texts)] == unigram.ids(texts)
    pair = alone.encode("the", "dogs")
    assert ([pair.ids], [pair.type_ids]) == unigram.pair_ids(["the"], ["dogs"])


def test_the_file_of_the_fast_tokenizer_gives_the_ids_of_the_slow_one(unigram: Unigram, tmp_path: Path) -> None:
    unigram.save(tmp_path / "tokenizer.json")
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    table = content["normalizer"]["normalizers"][0]
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    content["normalizer"] = {"type": "Sequence", "normalizers": [table, spaces]}
    content["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    (tmp_path / "fast.json").write_text(json.dumps(content), encoding="utf-8")
    assert Unigram.from_json(tmp_path / "fast.json").fingerprint() == unigram.fingerprint()


def test_fingerprints_tell_tokenizers_apart() -> None:
    others = [Unigram(parse(model)) for model in MODELS.values()]
    others.append(Unigram(parse(pieces.model(pieces.WORDS | {"▁a": -2.625}))))
    others.append(Unigram(parse(MODELS["none"]), {"<new>": len(pieces.WORDS) + 4}))
    assert len({unigram.fingerprint() for unigram in others}) == len(others)


def test_a_published_folder_is_read_with_its_settings(unigram: Unigram, tmp_path: Path) -> None:
    path = pieces.write(tmp_path)
    assert Unigram.from_model(path).fingerprint() == unigram.fingerprint()
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[MASK]": unigram.mask_id}))
    names: dict[str, Any] = {"cls_token": "[CLS]", "unk_token": {"content": "[UNK]", "lstrip": False}}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(names))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert Unigram.from_model(path).fingerprint() == unigram.fingerprint()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("added_tokens.json", {"[MASK]": 99}, r"\[MASK\] has id 99, expected 31, the next"),
        ("added_tokens.json", ["[MASK]"], "a JSON list, expected an object"),
        ("special_tokens_map.json", {"cls_token": "<s>"}, r"<s> as cls_token, expected \[CLS\]"),
        ("tokenizer_config.json", {"do_lower_case": True}, "sets do_lower_case"),
        ("tokenizer_config.json", {"split_by_punct": True}, "sets split_by_punct"),
    ],
    ids=range(5),
)
def test_settings_that_cannot_be_followed_are_refused(tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = pieces.write(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        Unigram.from_model(path)


def test_files_that_hold_no_such_tokenizer_are_named(tmp_path: Path) -> None:
    path = pieces.write(tmp_path, pieces.model(special=[("<unk>", 0.0, 2)]))
    with pytest.raises(InputError, match=r"spm\.model: .* has no \[PAD\], \[CLS\], \[SEP\], \[UNK\]"):
        Unigram.from_model(path)
    for content in ("{", "[]", '{"model": {"type": "BPE"}, "normalizer": null, "added_tokens": []}'):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(InputError, match=r"tokenizer\.json is not the tokenizer\.json of a unigram tokenizer"):
            Unigram.from_json(tmp_path / "tokenizer.json")
