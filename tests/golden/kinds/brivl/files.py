"""The input files of a case: a jsonl through the model into np_img.npy and np_text.npy, and the two lists."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.golden.case import Case, Expected
from tuwen.data.brivl_jsonl import read_lists
from tuwen.data.folder import Failure
from tuwen.data.inputs import find
from tuwen.model import Model
from tuwen.models.brivl import outputs
from tuwen.tasks import embed, original


def check_files(case: Case, expected: Expected, model: Model) -> None:
    """What `tuwen embed --format original` writes: `np_img`, `np_text`, and how they lie in their files."""
    found = find(case.path / case.settings["data"], case.path)
    expected.same("failures", found.failures, [])
    with tempfile.TemporaryDirectory() as folder:
        planned = embed.plan(model, found, Path(folder) / "out")
        embed.compute(model, planned, 3, "fail")
        described: dict[str, Any] = {}
        for path in original.write(planned, found, outputs, model.embedding):
            vectors = np.load(path, allow_pickle=False)
            expected.close(path.stem, torch.from_numpy(vectors), "in the file")
            fortran = bool(vectors.flags.fnc)
            described[path.name] = {"dtype": str(vectors.dtype), "shape": list(vectors.shape), "fortran": fortran}
    expected.equal("npy", described)


def check_lists(case: Case, expected: Expected) -> None:
    """images.csv and texts.csv name the pictures and texts of the case."""
    failures: list[Failure] = []
    lists = read_lists(case.path / "input_data", failures.append)
    expected.same("failures", failures, [])
    expected.same("texts.csv", [text for _, text in lists.texts], [text.strip() for text in case.texts])
    pictures = [(case.path / name).resolve() for name in case.settings["images"]]
    expected.same("images.csv", [path for _, path in lists.images], pictures)
