"""A DeepSpeed folder: every way to name it gives the tensors that zero_to_fp32.py writes, in its order."""

from __future__ import annotations

from tests.golden.case import Case, Expected
from tuwen import checkpoint


def check(case: Case, expected: Expected) -> None:
    folder = case.path / "ckpt"
    inner = folder / case.settings["tag"]
    weights = checkpoint.find_weights(folder)
    expected.same("the file to begin with", weights is not None and weights.parent, inner)
    for path in (folder, inner, weights or folder):
        read = checkpoint.read(path)
        expected.same("container", read.container, "deepspeed")
        expected.equal("order", list(read.tensors), path.name)
        for name in expected.value("order"):
            expected.equal(name, read.tensors[name], path.name)
        looked = checkpoint.look(path)
        expected.same("looked", (looked.kind, list(looked.shapes)), ("deepspeed", list(read.tensors)))
