"""Files that Paddle itself wrote: every tensor bit for bit, its type, the table of names, and what lies beside."""

from __future__ import annotations

from tests.golden.case import Case, Expected
from tuwen import checkpoint
from tuwen.checkpoint.paddle import TABLE


def check(case: Case, expected: Expected) -> None:
    for file in case.settings["files"]:
        theirs = expected.value(file)
        nested = theirs["kind"] == "nested"
        start = "model." if nested else ""  # where a training run's file keeps the model
        seen, read = checkpoint.look(case.path / file), checkpoint.read(case.path / file)
        tensors = {start + name: tensor for name, tensor in read.tensors.items()}
        types = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()}
        expected.same(f"{file} is", (seen.kind, seen.container), ("checkpoint" if nested else "state-dict", "pdparams"))
        expected.same(f"{file} keys", list(tensors), theirs["keys"])
        expected.same(f"{file} keys, looked at", [start + name for name in seen.shapes], theirs["keys"])
        expected.same(f"{file} stored_dtype", types, theirs["stored_dtype"])
        expected.same(f"{file} name_table", read.extra.pop(TABLE, None), theirs["name_table"])
        expected.same(f"{file} other", read.extra or None, theirs["other"])
        expected.same(f"{file} notes", read.notes, [])
        expected.same(f"{file} tensors", {f"{file}::{name}" for name in tensors}, set(expected.keys(f"{file}::")))
        for name, tensor in tensors.items():
            expected.equal(f"{file}::{name}", tensor)
