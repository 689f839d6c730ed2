"""`python -m benchmarks`: run every case and rewrite RESULTS.md; `python -m benchmarks captions tower`: print these."""

from __future__ import annotations

import argparse
import os
import warnings

from benchmarks import cases, evaluation, fusion, report
from benchmarks.cases import Row, start_up_s
from benchmarks.peer import LENGTH, rivals

NAMES = (*cases.CASES, *fusion.CASES, "states", "retrieval", "start-up")


def main() -> None:
    """Parse, measure, print; write the page only when everything was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed of tuwen against transformers.")
    parser.add_argument("cases", nargs="*", help=f"{', '.join(NAMES)}; all of them by default")
    parser.add_argument("--rounds", type=int, default=3, help="of every rival; 3 by default")
    asked = parser.parse_args()
    names = asked.cases or [*NAMES]
    unknown = sorted(set(names) - {*NAMES})
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    warnings.filterwarnings("ignore", module="transformers")
    print(report.machine())
    help_s = start_up_s(asked.rounds) if "start-up" in names else None
    if help_s is not None:
        print(f"tuwen --help: {help_s:.2f} s", flush=True)
    towers = _towers([name for name in names if name in cases.CASES], asked.rounds)
    fusions = _fusions([name for name in names if name in fusion.CASES], asked.rounds)
    states = fusion.stored() if "states" in names else []
    for stored in states:
        print(report.stored_line(stored), flush=True)
    retrieval = evaluation.run(asked.rounds) if "retrieval" in names else []
    for compared in retrieval:
        print(report.compared_line(compared), flush=True)
    if not asked.cases and help_s is not None:
        report.write(towers, fusions, states, retrieval, help_s, LENGTH, asked.rounds)
        print(f"written: {os.path.relpath(report.PAGE)}")


def _towers(chosen: list[str], rounds: int) -> list[Row]:
    if not chosen:
        return []
    with rivals() as both:
        return [_printed(row) for name in chosen for row in cases.CASES[name](both, rounds)]


def _fusions(chosen: list[str], rounds: int) -> list[Row]:
    return [_printed(row) for name in chosen for row in fusion.CASES[name](rounds)]


def _printed(row: Row) -> Row:
    print(report.line(row), flush=True)
    return row


if __name__ == "__main__":
    main()
