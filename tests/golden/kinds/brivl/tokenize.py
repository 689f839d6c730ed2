"""Texts to ids of a fixed length, as the text encoder's own tokenizer gives them."""

from __future__ import annotations

from tests.golden.case import Case, Expected
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import open_tokenizer


def check(case: Case, expected: Expected) -> None:
    tokenizer = open_tokenizer(case.path / case.settings["encoder"], "transformers")
    expected.equal("class", "BertTokenizerFast")
    expected.equal("tokens", [tokenizer.tokens(text) for text in case.texts])
    same = []
    for length in case.settings["max_text_len"]:
        found = Processor(tokenizer, ImagePipeline((1, 1)), length).texts(case.texts, length)
        expected.equal(f"input_ids.{length}", found.ids)
        expected.equal(f"attention_mask.{length}", found.mask.long())
        same.append([True] * len(case.texts))
    expected.equal("slow_equals_fast", same)  # of theirs: there is one answer to be compared with
