"""The evaluation of pairs in cross_modal_embeddings.out: every number and the printed table."""

from __future__ import annotations

from tests.golden.case import Case, Expected
from tuwen.evaluate.original.eval_retri import MULTIPLE, numbers, table
from tuwen.models.ernie_vil2 import outputs


def check(case: Case, expected: Expected) -> None:
    for name in case.settings["files"]:
        images, texts = outputs.read(case.path / name)
        found = numbers(images, texts)
        if len(images) % MULTIPLE:  # the original stops, here it works
            expected.equal(name, {"stdout": "", "error": "AssertionError", "metrics": None})
        else:
            expected.equal(name, {"stdout": table(found), "error": None, "metrics": found})
        expected.same(f"{name} has numbers", all(0 <= one["r@1"] <= one["r@10"] <= 1 for one in found.values()), True)
