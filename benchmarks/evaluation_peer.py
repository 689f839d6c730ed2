"""What Chinese-CLIP's three evaluation scripts do, written plainly: features from JSON lines, one text at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

BATCH = 32_768  # pictures whose scores are computed at a time, the scripts' default
TOP = 10


@dataclass(frozen=True)
class Gallery:
    """Pictures as the second script holds them."""

    ids: list[int]
    features: np.ndarray[Any, Any]


def read_gallery(path: Path) -> Gallery:
    """Every line parsed by the standard library, then one array."""
    ids, rows = [], []
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line.strip())
            ids.append(row["image_id"])
            rows.append(row["feature"])
    return Gallery(ids, np.array(rows, dtype=np.float32))


def predict(gallery: Gallery, texts: Path, output: Path, first: int, last: int) -> None:
    """Texts first to last of a file: for each a pair of id and score of every picture, and a sort of them all."""
    with texts.open(encoding="utf-8") as file, output.open("w", encoding="utf-8") as out:
        for number, line in enumerate(file):
            if first <= number < last:
                row = json.loads(line.strip())
                best = _best(gallery, torch.tensor([row["feature"]], dtype=torch.float))
                out.write(json.dumps({"text_id": row["text_id"], "image_ids": best}) + "\n")


def _best(gallery: Gallery, text: torch.Tensor) -> list[int]:
    scored: list[tuple[int, float]] = []
    for start in range(0, len(gallery.ids), BATCH):
        part = torch.from_numpy(gallery.features[start : start + BATCH])
        scores = (text @ part.t()).squeeze(0).tolist()
        scored.extend(zip(gallery.ids[start : start + BATCH], scores, strict=True))
    return [image_id for image_id, _ in sorted(scored, key=lambda pair: pair[1], reverse=True)[:TOP]]


def score(gold: Path, predictions: Path, output: Path) -> None:
    """Recall at 1, 5 and 10 in percent, and their mean."""
    with gold.open(encoding="utf-8") as file:
        right = {row["text_id"]: row["image_ids"] for row in map(json.loads, file)}
    with predictions.open(encoding="utf-8") as file:
        found = {row["text_id"]: row["image_ids"] for row in map(json.loads, file)}
    shares = []
    for cut in (1, 5, 10):
        hits = sum(any(image_id in found[text_id][:cut] for image_id in set(ids)) for text_id, ids in right.items())
        shares.append(hits * 1.0 / len(right))
    mean = sum(shares) / 3.0
    parts = {name: share * 100 for name, share in zip(("r1", "r5", "r10"), shares, strict=True)}
    content = {"score": mean * 100, "mean_recall": mean * 100, **parts}
    text = json.dumps({"success": True, "score": mean * 100, "scoreJson": content})
    output.write_text(text, encoding="utf-8")
