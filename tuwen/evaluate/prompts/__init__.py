"""Texts that names of classes are put into: sets for every kind of pictures, in Chinese and English, or one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tuwen.data.folder import read_lines
from tuwen.errors import InputError, UsageError
from tuwen.tasks.classify import wordings

LANGUAGES = ("zh", "en")
GENERAL = "photos"

# Known sets of pictures -> the kind of them; every other is of the kind "photos".
KINDS = {
    "cars196": "cars",
    "country211": "places",
    "dtd": "textures",
    "eurosat": "satellite",
    "eurosat_clip": "satellite",
    "fer-2013": "faces",
    "fgvc-aircraft": "aircraft",
    "fgvc-aircraft-2013b-variants102": "aircraft",
    "flowers-102": "flowers",
    "food-101": "food",
    "gtsrb": "signs",
    "kitti-distance": "distances",
    "mnist": "digits",
    "oxford-flower-102": "flowers",
    "oxford-iiit-pets": "animals",
    "patch-camelyon": "slides",
    "resisc45": "satellite",
    "resisc45_clip": "satellite",
    "scenes": "drawings",
    "stanford-cars": "cars",
}

# Which list of a file of lists, by the names that Chinese-CLIP gives them, belongs to a set; "openai" to every other.
ORIGINAL = {
    "country211": "country211",
    "eurosat_clip": "eurosat",
    "fgvc-aircraft-2013b-variants102": "aircraft",
    "food-101": "food",
    "oxford-flower-102": "flower",
    "resisc45_clip": "eurosat",
}
ORIGINAL_GENERAL = "openai"


def prompts(given: str | Path, language: str, dataset: str = "") -> tuple[str, ...]:
    """The texts to use, each with {} where the name of a class goes.

    given: "auto", the kind of the named `dataset`, or a kind ("photos", "flowers", ...), in `language`; or a file with
    a JSON list, a text per line, or a JSON object of lists, of which the one for the dataset is taken: by its own name,
    by its kind, or by the name that Chinese-CLIP's code has for it. A text that comes twice counts twice.
    UsageError for an unknown kind or language, InputError for a file that is none of these.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return _of_file(path, dataset)
    if language not in LANGUAGES:
        raise UsageError(
            f"there are no prompts in {language!r}, only in {' and '.join(LANGUAGES)}: pass a file of them"
        )
    kind = kind_of(dataset) if given == "auto" else str(given)
    known = sets(language)
    if kind not in known:
        raise UsageError(f"there are no prompts {kind!r}: name a file, or auto, or one of {', '.join(known)}")
    return known[kind]


def kind_of(dataset: str) -> str:
    """The kind of the pictures of a set by its name."""
    return KINDS.get(dataset.lower(), GENERAL)


@cache
def sets(language: str) -> dict[str, tuple[str, ...]]:
    """Every kind that comes with tuwen -> its texts."""
    content = json.loads((Path(__file__).parent / f"{language}.json").read_text(encoding="utf-8"))
    return {kind: tuple(texts) for kind, texts in content.items()}


def _of_file(path: Path, dataset: str) -> tuple[str, ...]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError:
        content = [text for _, text in read_lines(path)]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    if isinstance(content, Mapping):
        content = _list_for(content, path, dataset)
    if not isinstance(content, list) or not content or not all(isinstance(text, str) for text in content):
        raise InputError(f"{path} holds no texts: expected a JSON list of them, or one per line")
    try:
        return wordings(content)
    except UsageError as error:
        raise InputError(f"{path}: {error}") from None


def _list_for(lists: Mapping[str, Any], path: Path, dataset: str) -> Any:
    names = [dataset, kind_of(dataset), ORIGINAL.get(dataset, ORIGINAL_GENERAL)]
    for name in names:
        if name in lists:
            return lists[name]
    raise InputError(f"{path} has lists for {', '.join(lists) or 'nothing'}, expected one of {', '.join(names)}")
