"""A data file through the towers into cross_modal_embeddings.out, and the numbers of that file."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

from tests.golden.case import Case, Expected
from tests.golden.kinds.ernie_vil.towers import load
from tuwen.data.inputs import find
from tuwen.evaluate.original.eval_retri import numbers, table
from tuwen.models.ernie_vil2 import outputs
from tuwen.tasks import embed, original


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
    check_numbers(expected, image, text)


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


def check_numbers(expected: Expected, images: np.ndarray, texts: np.ndarray) -> None:
    """Of the recorded vectors: what the original's evaluation finds and prints."""
    found = numbers(images, texts)
    expected.close_value("metrics", found)
    expected.equal("eval_stdout", table(found))
    expected.equal("eval_error", None)
