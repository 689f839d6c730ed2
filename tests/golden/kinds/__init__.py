"""The table: family and kind -> what compares a case of it with our numbers."""

from __future__ import annotations

from collections.abc import Callable

from tests.golden.case import Case, Expected
from tests.golden.kinds.chinese_clip import functions, hf, model, preprocess, tokenize

CHECKS: dict[tuple[str, str], Callable[[Case, Expected], None]] = {
    ("chinese_clip", "functions"): functions.check,
    ("chinese_clip", "hf"): hf.check,
    ("chinese_clip", "model"): model.check,
    ("chinese_clip", "preprocess"): preprocess.check,
    ("chinese_clip", "tokenize"): tokenize.check,
}
