"""Texts and pairs to ids and back, and pictures to pixels, as VLE's processor does both."""

from __future__ import annotations

from typing import Any

from tests.golden.case import Case, Expected
from tests.golden.kinds.vle.processor_pixels import check_pixels
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import Tokenizer, open_tokenizer
from tuwen.processing.unigram import Unigram

CUT, PAIR_CUT = 12, 9  # ids of the truncated texts and pairs
NAMES = ["input_ids", "token_type_ids", "attention_mask", "pixel_values"]


def check(case: Case, expected: Expected) -> None:
    tokenizer = Unigram.from_model(case.path / "checkpoint" / "spm.model")
    expected.equal("vocab_size", len(tokenizer.model.pieces))
    expected.equal("len", tokenizer.vocabulary_size)
    special = {"pad": tokenizer.pad_id, "cls": tokenizer.start_id, "sep": tokenizer.end_id, "mask": tokenizer.mask_id}
    special |= {"unk": tokenizer.unknown_id, "bos": tokenizer.start_id, "eos": tokenizer.end_id}
    expected.equal("special_ids", special)
    check_texts(case, expected, tokenizer)
    check_pairs(case, expected, tokenizer)
    check_names(expected)
    check_pixels(case, expected)


def check_texts(case: Case, expected: Expected, tokenizer: Tokenizer) -> None:
    """Alone, decoded, cut, padded; from the folder the same."""
    for number, record in enumerate(expected.value("texts")):
        (ids,) = tokenizer.ids([record["text"]])
        ours: dict[str, Any] = {
            "text": case.texts[number],
            "tokens": tokenizer.tokens(record["text"]),
            "input_ids": ids,
            "token_type_ids": [0] * len(ids),
        }
        if "decoded" in record:
            ours["decoded"] = tokenizer.decode(ids, clean=True)
        if "decoded_skip_special" in record:
            ours["decoded_skip_special"] = tokenizer.decode(ids, skip_special=True, clean=True)
        expected.same(f"texts[{number}]", ours, record)
    processor = Processor(open_tokenizer(case.path / "checkpoint"), ImagePipeline((1, 1)), None)
    cut = processor.texts(case.texts, CUT)
    ours = {"input_ids": cut.ids.tolist(), "attention_mask": cut.mask.long().tolist()}
    expected.equal("truncated", ours | {"token_type_ids": (cut.ids * 0).tolist()})
    lengths = [max(CUT, len(row)) for row in processor.ids(case.texts)]
    expected.equal("padded_no_truncation_lengths", lengths)
    both = expected.tensor("both.input_ids")
    expected.compare("both.input_ids", processor.texts(case.texts[: len(both)]).ids, both, 0, 0)
    middle = len(expected.value("special_tokens_mask")) - 2
    expected.equal("special_tokens_mask", [1, *[0] * middle, 1])


def check_pairs(case: Case, expected: Expected, tokenizer: Tokenizer) -> None:
    """Whole, and cut one id at a time from the longer text."""
    first, second = zip(*case.settings["pairs"], strict=True)
    for key, length in (("pairs", None), ("truncated_pairs", PAIR_CUT)):
        ids, segments = tokenizer.pair_ids(first, second, length)
        rows = [
            {"input_ids": row, "token_type_ids": types, "attention_mask": [1] * len(row)}
            for row, types in zip(ids, segments, strict=True)
        ]
        named = [{"pair": list(pair)} for pair in zip(first, second, strict=True)]
        expected.equal(key, [name | row for name, row in zip(named, rows, strict=True)] if length is None else rows)


def check_names(expected: Expected) -> None:
    """The published names of what comes out, in their order."""
    expected.equal("model_input_names", NAMES)
    expected.equal("keys", {"images_only": NAMES[3:], "text_only": NAMES[:3], "both": NAMES})
