"""Say so, once, when a model is asked in a language that it never learned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuwen.cli import console

if TYPE_CHECKING:
    from tuwen.model import Model

CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def warn_language(model: Model, texts: Sequence[str], quiet: bool = False) -> None:
    """One line on stderr if some of the texts are Chinese and the model knows no Chinese; the run goes on."""
    chinese = sum(1 for text in texts if CHINESE.search(text))
    if chinese and "zh" not in model.languages:
        known = ", ".join(model.languages)
        console.note(
            f"this model knows {known} only, {console.amount(chinese, 'text')} of {len(texts):,} are Chinese: expect "
            f"wrong results / 该模型只懂 {known}，{chinese} 条中文文本的结果不可靠",
            quiet,
        )
