"""Chinese-CLIP's make_topk_predictions.py and make_topk_predictions_tr.py: the k best of each query as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from tuwen.checkpoint import replacing
from tuwen.errors import InputError
from tuwen.evaluate.original.feature_files import FeatureFile, Id, read
from tuwen.search.exact import top_k

# what is asked with -> the keys of a line
KEYS = {"text": ("text_id", "image_ids"), "image": ("image_id", "text_ids")}


def topk(images: Path, texts: Path, output: Path, k: int = 10, query: str = "text") -> list[str]:
    """Files of features -> a file of predictions, a line for each query in the order of its file; what is printed.

    query: "text" finds pictures, "image" finds texts (the script with _tr). Scores are inner products; equal ones stand
    in the order of the file. InputError where the widths of both sides differ.
    """
    image, text = read(images, "image"), read(texts, "text")
    write(output, image, text, k, query)
    return [f"Top-{k} predictions are saved in {output}", "Done!"]


def write(
    output: Path, image: FeatureFile, text: FeatureFile, k: int = 10, query: str = "text"
) -> dict[Any, list[Any]]:
    """The same for features that are at hand; gives what it has written, by the id of the query."""
    if image.vectors.shape[1] != text.vectors.shape[1]:
        widths = f"{image.vectors.shape[1]} numbers each, those of texts {text.vectors.shape[1]}"
        raise InputError(f"features of pictures have {widths}: they are not of one model")
    asked, found = (text, image) if query == "text" else (image, text)
    _, rows = top_k(torch.from_numpy(asked.vectors.copy()), found.vectors, k)
    best = [[found.ids[row] for row in line] for line in rows.tolist()]
    write_predictions(output, query, asked.ids, best)
    return dict(zip(asked.ids, best, strict=True))


def write_predictions(output: Path, query: str, ids: Iterable[Id], found: Iterable[Sequence[Id]]) -> None:
    """Lines {"text_id": 1, "image_ids": [...]}, or {"image_id", "text_ids"}; the file appears whole."""
    one, many = KEYS[query]
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary, temporary.open("x", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps({one: id_, many: list(best)}) + "\n" for id_, best in zip(ids, found, strict=True))
