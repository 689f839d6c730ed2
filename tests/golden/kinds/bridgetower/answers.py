"""The original's normal form of answers."""

from __future__ import annotations

from tests.golden.case import Case, Expected
from tuwen.data.answers import normalize


def check(case: Case, expected: Expected) -> None:
    records = expected.value("records")
    assert records, f"{case} has no answers"
    for record in records:
        expected.same(repr(record["answer"]), normalize(record["answer"]), record["normalized"])
