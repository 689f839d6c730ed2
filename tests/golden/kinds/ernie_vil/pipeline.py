"""A data file through the towers into cross_modal_embeddings.out, and the numbers of that file."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.ernie_vil.towers import load
from tuwen.data.inputs import find
from tuwen.metrics import ranks
from tuwen.models.ernie_vil2 import outputs
from tuwen.tasks import embed, original

CUTS = (1, 5, 10)
LINES = {"text2image": "Text2Image", "image2text": "Image2Text"}  # in the printed table


def check(case: Case, expected: Expected) -> None:
    files = case.settings["files"]
    with tempfile.TemporaryDirectory() as folder:
        check_embedded(case, expected, Path(folder))
        recorded = case.path / files["embeddings"]
        image, text = outputs.read(recorded)
        outputs.write((Path(folder) / recorded.name,), image, text)
        written = (Path(folder) / recorded.name).read_bytes()
        expected.same("the recorded file written again", written, recorded.read_bytes())
    expected.equal("rows", len(text))
    check_numbers(expected, torch.from_numpy(image), torch.from_numpy(text))


def check_embedded(case: Case, expected: Expected, folder: Path) -> None:
    """What `tuwen embed --format original` writes."""
    settings = yaml.safe_load((case.path / case.settings["files"]["config"]).read_text(encoding="utf-8"))
    model = load(case, device="cpu")
    model.processor = replace(model.processor, context_length=settings["max_text_seqlen"])
    found = find(case.path / case.settings["files"]["data"])
    expected.same("failures", found.failures, [])
    planned = embed.plan(model, found, folder / "out")
    embed.compute(model, planned, settings["infer_batch_size"], "fail")
    (path,) = original.write(planned, found, outputs, model.embedding)
    expected.same("name of the file", path.name, "cross_modal_embeddings.out")
    image, text = outputs.read(path)
    expected.close("vision.embed", torch.from_numpy(image))
    expected.close("text.embed", torch.from_numpy(text))


def check_numbers(expected: Expected, image: Tensor, text: Tensor) -> None:
    """Of the recorded vectors: what the original's evaluation finds and prints."""
    scores = text @ image.T
    found = {"text2image": numbers(scores), "image2text": numbers(scores.T)}
    expected.close_value("metrics", found)
    lines = [[name, *printed(found[key])] for key, name in LINES.items()]
    mean = {key: (found["text2image"][key] + found["image2text"][key]) / 2 for key in found["text2image"]}
    lines.append(["MeanRecall", *printed(mean)])
    table = [line.replace("|", " ").split() for line in expected.value("eval_stdout").splitlines()]
    expected.same("eval_stdout", table[2:], lines)
    expected.equal("eval_error", None)


def numbers(scores: Tensor) -> dict[str, float]:
    place = ranks(scores)
    found = {f"r@{cut}": int((place < cut).sum()) / len(place) for cut in CUTS}
    found["mean_recall"] = sum(found.values()) / len(CUTS)
    found["mrr"] = sum(1 / (1 + rank) for rank in place.tolist()) / len(place)
    return found


def printed(found: dict[str, float]) -> list[str]:
    return [f"{round(100 * found[key], 2):.2f}" for key in (*(f"r@{cut}" for cut in CUTS), "mean_recall")]
