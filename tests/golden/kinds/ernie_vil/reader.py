"""Rows of a data file as the original reads them: the first column is the text, the last the picture."""

from __future__ import annotations

from tests.golden.case import LIST, Case, Expected
from tuwen.data import ernie_tsv


def check(case: Case, expected: Expected) -> None:
    found = [[row.text, row.picture] for name in case.settings["files"] for row in ernie_tsv.rows(case.path / name)]
    expected.equal(LIST, found)
