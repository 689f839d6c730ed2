"""A vocabulary for a model trained from scratch: small, and without unknown words on the texts it is made from."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from tuwen.processing.wordpiece import END, MASK, PAD, START, UNKNOWN

ENDINGS = ("s", "es", "ed", "ing", "er", "y", "ly")


def build(texts: Iterable[str]) -> list[str]:
    """WordPiece entries, [PAD] first: ASCII characters alone and as continuations, every other character, and English
    words.

    A word that is another word of the texts plus one of the common endings is left out: it is written with two entries.
    """
    lowered = [text.lower() for text in texts]
    words = {word for text in lowered for word in re.findall(r"[a-z]{2,}", text)}
    whole = sorted(word for word in words if not any(_is_inflected(word, ending, words) for ending in ENDINGS))
    letters = string.ascii_lowercase + string.digits
    others = sorted(
        {character for text in lowered for character in text if ord(character) > 127 and not character.isspace()}
    )
    continuations = [f"##{piece}" for piece in (*letters, *(ending for ending in ENDINGS if len(ending) > 1))]
    entries = [PAD, UNKNOWN, START, END, MASK, *string.punctuation, *letters, *continuations, *others, *whole]
    return list(dict.fromkeys(entries))


def _is_inflected(word: str, ending: str, words: set[str]) -> bool:
    return word.endswith(ending) and word.removesuffix(ending) in words and len(word) - len(ending) > 1
