"""Splits of Visual Genome for its questions, so that none sees a picture that another has through COCO."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path

from tuwen.errors import InputError

SIZE = 5000  # pictures of val, and of test


def split_visual_genome(
    pictures: Iterable[tuple[int, int | None]], karpathy: Mapping[str, set[int]], size: int = SIZE, seed: int = 0
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """(those linked to COCO, all): split -> ids of pictures, so that no split sees a picture of another of COCO's.

    pictures: (id, id in COCO or None); karpathy: train, val and test -> ids in COCO; size: how many pictures val and
    test are filled up to, from the others in an order drawn with `seed`. InputError where there are not enough.
    """
    linked: dict[str, list[int]] = {split: [] for split in ("train", "val", "test")}
    others: list[int] = []
    for id, coco in pictures:
        split = next((split for split in linked if coco and coco in karpathy[split]), None)
        (others if split is None else linked[split]).append(id)
    random.Random(seed).shuffle(others)
    everything = {split: list(ids) for split, ids in linked.items()}
    for split in ("test", "val"):
        missing = size - len(everything[split])
        if missing > len(others):
            raise InputError(f"there are {len(others)} pictures left, {split} needs {missing}")
        everything[split] += [others.pop() for _ in range(missing)]
    everything["train"] += others
    return _sorted(linked), _sorted(everything)


def _sorted(ids: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {split: sorted(found) for split, found in ids.items()}


def coco_numbers(path: Path) -> set[int]:
    """The numbers in names such as COCO_val2014_000000000042.jpg, one per line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return {int(line.partition(".")[0].rpartition("_")[2]) for line in lines if line.strip()}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as names of COCO's pictures: {error}") from None
