"""Texts to ids by the tokenizers of both releases, each from its own vocabulary."""

from __future__ import annotations

import torch

from tests.golden.case import Case, Expected
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import Tokenizer, open_tokenizer

IDS = "input_ids"


def check(case: Case, expected: Expected) -> None:
    if case.settings["format"] == "baidu_vocab_tsv":
        check_release(case, expected)
    else:
        check_port(case, expected)


def check_release(case: Case, expected: Expected) -> None:
    tokenizer = open_tokenizer(case.path)
    expected.equal("tokens", [tokenizer.tokens(text) for text in case.texts])
    expected.equal("ids", [row[1:-1] for row in tokenizer.ids(case.texts)])
    expected.equal("vocab_size", len(set(tokenizer.vocabulary)))  # an entry that is there twice counts once
    expected.equal("dollar_id", tokenizer.ids(["$"])[0][1])
    for key in expected.keys(f"{IDS}."):
        length = int(key.removeprefix(f"{IDS}."))
        expected.equal(key, padded(tokenizer, case.texts, length))
        expected.equal(f"position_ids.{length}", positions(tokenizer, case.texts, length))


def check_port(case: Case, expected: Expected) -> None:
    tokenizer = open_tokenizer(case.path / case.settings["files"]["folder"], "paddlenlp")
    expected.equal("tokens", [tokenizer.tokens(text) for text in case.texts])
    expected.equal("ids", tokenizer.ids(case.texts))
    expected.equal(IDS, padded(tokenizer, case.texts))
    for key in expected.keys(f"{IDS}.max_length."):
        expected.equal(key, padded(tokenizer, case.texts, int(key.rpartition(".")[2])))
    theirs = expected.value("pair")
    cut = theirs.index(tokenizer.end_id)
    first, second = (tokenizer.decode(ids, skip_special=True) for ids in (theirs[:cut], theirs[cut:]))
    expected.equal("pair", tokenizer.pair_ids([first], [second])[0][0])


def positions(tokenizer: Tokenizer, texts: list[str], length: int) -> torch.Tensor:
    """(N, T): of real tokens what the model gets with packed texts; the original counts on in padding."""
    counted = torch.arange(length).repeat(len(texts), 1)
    packed, order = Processor(tokenizer, ImagePipeline((1, 1)), length).packed(tokenizer.ids(texts, length))
    for row, part in zip(order, torch.tensor_split(packed.positions, packed.starts[1:]), strict=True):
        counted[row, : len(part)] = part
    return counted


def padded(tokenizer: Tokenizer, texts: list[str], length: int | None = None) -> torch.Tensor:
    """(N, T), to `length` or to the longest."""
    return Processor(tokenizer, ImagePipeline((1, 1)), length).texts(texts, length).ids
