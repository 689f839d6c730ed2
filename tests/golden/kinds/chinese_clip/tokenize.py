"""Texts to ids: the original's API, its data loaders, and transformers' tokenizer on the same vocabulary."""

from __future__ import annotations

from tests.golden.case import Case, Expected
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.wordpiece import WordPiece, straight_quotes

CONTEXT_LENGTH = 52  # of every number whose name does not say another


def check(case: Case, expected: Expected) -> None:
    vocabulary = case.path / "vocab.txt"
    keep = WordPiece.from_vocab(vocabulary)
    straight = WordPiece.from_vocab(vocabulary, quotes="straight")
    for key in expected.keys("ids."):
        length = int(key.removeprefix("ids."))
        expected.equal(key, processor(keep, length).texts(case.texts, length).ids)
    texts = processor(straight, CONTEXT_LENGTH).texts(case.texts, CONTEXT_LENGTH)
    expected.equal("dataset_ids", texts.ids)
    expected.equal("single_string", processor(keep, CONTEXT_LENGTH).texts(case.texts[:1], CONTEXT_LENGTH).ids)
    expected.equal("tokens", [keep.tokens(text) for text in case.texts])
    expected.equal("tokens_dataset", [straight.tokens(text) for text in case.texts])
    expected.same(
        "tokens_dataset by hand",
        [keep.tokens(straight_quotes(text)) for text in case.texts],
        expected.value("tokens_dataset"),
    )
    expected.equal("join", [keep.join(keep.tokens(text)) for text in case.texts])
    expected.equal("vocab_size", keep.vocabulary_size)
    special = {
        "[PAD]": keep.pad_id,
        "[UNK]": keep.unknown_id,
        "[CLS]": keep.start_id,
        "[SEP]": keep.end_id,
        "[MASK]": keep.mask_id,
    }
    expected.equal("special", special)
    theirs = WordPiece.from_vocab(vocabulary, style="transformers")
    expected.same("hf.input_ids", theirs.ids(case.texts, CONTEXT_LENGTH), expected.value("hf")["input_ids"])


def processor(tokenizer: WordPiece, length: int) -> Processor:
    return Processor(tokenizer, ImagePipeline(size=(1, 1)), context_length=length)
