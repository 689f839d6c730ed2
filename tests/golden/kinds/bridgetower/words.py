"""Most likely words of a text, decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from tests.golden.case import Expected
from tuwen.model import Model


def check_decoded(
    expected: Expected, model: Model, texts: Sequence[str], images: Sequence[str], logits: Sequence[tuple[int, Tensor]]
) -> None:
    """`mlm_decode`: for every text its picture, the best id at each token, and those ids as text.

    logits: for every text the number of its picture and its scores (T, V).
    """
    tokenizer = model.processor.tokenizer
    theirs: list[dict[str, Any]] = expected.value("mlm_decode")
    for number, (text, (place, found), wanted) in enumerate(zip(texts, logits, theirs, strict=True)):
        ids = found.argmax(-1).tolist()
        ours = {"text": text, "image": images[place], "argmax_ids": ids, "decode": tokenizer.decode(ids)}
        if "decode_clean" in wanted:
            ours["decode_clean"] = tokenizer.decode(ids, clean=True)
        expected.same(f"mlm_decode[{number}]", ours, wanted)
