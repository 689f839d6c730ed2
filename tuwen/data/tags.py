"""Parts of speech in captions ("男人/n 骑/v 马/n"), as segmented copies of published sets have them."""

from __future__ import annotations

import re

SHARE = 0.5  # of the words of a text
_TAG = re.compile(r"(?<=\S)/[a-z]{1,3}(?=\s|$)")
_BETWEEN_CHINESE = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\s+(?=[\u3000-\u9fff\uff00-\uffef])")


def is_tagged(text: str) -> bool:
    """Whether half of the words of a text, at least, carry a part of speech."""
    return "/" in text and len(_TAG.findall(text)) >= max(1, SHARE * len(text.split()))


def without_tags(text: str) -> str:
    """A tagged text without its tags, Chinese words together again; any other as it is."""
    return _BETWEEN_CHINESE.sub("", _TAG.sub("", text)).strip() if is_tagged(text) else text
