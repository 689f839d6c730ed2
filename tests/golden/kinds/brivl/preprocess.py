"""Rows of the original's jsonl to what its data set yields: pixels, boxes and ids."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tuwen.processing import boxes
from tuwen.processing.decode import size_of
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import open_tokenizer

SHOWN_WHOLE = 64  # pixels; of larger pictures every 19th row and column is recorded
STEP = 19


def check(case: Case, expected: Expected) -> None:
    lines = (case.path / case.settings["data"]).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    sums: dict[str, list[float]] = {}
    for size in case.settings["sizes"]:
        for number, row in enumerate(rows):
            sums[f"{size}.{number}"] = check_picture(case, expected, size, number, row)
    check_sums(expected, sums)
    check_texts(case, expected, [dict(row["sentences"])["sur_text"] for row in rows])
    counts = {str(number): kept(row, case.settings["max_img_len"]) for number, row in enumerate(rows)}
    expected.equal("img_len", counts)
    expected.equal("errors", {})


def check_picture(case: Case, expected: Expected, size: int, number: int, row: dict[str, Any]) -> list[float]:
    """-> sum of all normalised pixels, and of their squares."""
    path = case.path / row["image_id"]
    pixels = prepared(ImagePipeline.brivl(size), path)
    step = 1 if size <= SHOWN_WHOLE else STEP
    expected.close(f"pixels.{size}.{number}", pixels[:, ::step, ::step])
    length = case.settings["max_img_len"]
    found, _ = boxes.padded([boxes.fitted(boxes.read_boxes(row), *size_of(path), size, length)], length)
    expected.close(f"boxes.{size}.{number}", found[0])
    exact = pixels.double()
    return [exact.sum().item(), (exact * exact).sum().item()]


def prepared(pipeline: ImagePipeline, path: Any) -> Tensor:
    """(3, S, S), normalised."""
    return pipeline.normalise(torch.from_numpy(pipeline.pixels(path))[None])[0]


def kept(row: dict[str, Any], length: int) -> int:
    """How many boxes of a row are real, the whole picture among them."""
    _, mask = boxes.prepare([row], [(100, 100)], 10, length)
    return int(mask.sum())


def check_sums(expected: Expected, ours: dict[str, list[float]]) -> None:
    """Sums of many pixels, which stand for those that are not recorded."""
    theirs = expected.value("checksum")
    expected.same("checksum", sorted(ours), sorted(theirs))
    for key, numbers in theirs.items():
        what = f"checksum.{key}"
        found, wanted = (torch.tensor(sums, dtype=torch.float64) for sums in (ours[key], numbers))
        expected.compare(what, found, wanted, expected.atol, expected.rtol)


def check_texts(case: Case, expected: Expected, texts: list[str]) -> None:
    length = case.settings["max_text_len"]
    tokenizer = open_tokenizer(case.path / case.settings["encoder"], "transformers")
    found = Processor(tokenizer, ImagePipeline((1, 1)), length).texts(texts, length)
    for number, ids in enumerate(found.ids):
        expected.equal(f"input_ids.{number}", ids)
    expected.equal("text_len", {str(number): int(mask.sum()) for number, mask in enumerate(found.mask)})
