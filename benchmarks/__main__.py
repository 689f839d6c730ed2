"""`python -m benchmarks`: run every case and rewrite RESULTS.md; `python -m benchmarks captions tower`: print these.

All the cases of one section of the page, `python -m benchmarks brivl ernie`, renew that section.
"""

from __future__ import annotations

import argparse
import os
import warnings

from benchmarks import cases, data, evaluation, families, fusion, report
from benchmarks.cases import Row, start_up_s
from benchmarks.fusion import Stored
from benchmarks.peer import LENGTH, rivals

# The cases whose figures make a section of the page.
SECTIONS = {
    "towers": (*cases.CASES,),
    "families": (*families.CASES,),
    "fusion": (*fusion.CASES, "states"),
    "retrieval": ("retrieval",),
    "data": ("data",),
    "start-up": ("start-up",),
}
NAMES = tuple(name for names in SECTIONS.values() for name in names)


def main() -> None:
    """Parse, measure, print; write the sections of the page of which everything was measured."""
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
    measured = {
        section: text
        for section, needed in SECTIONS.items()
        if (text := _section(section, [name for name in needed if name in names], asked.rounds))
        and set(needed) <= set(names)
    }
    if measured and report.write(measured, LENGTH, asked.rounds):
        print(f"written: {', '.join(measured)} of {os.path.relpath(report.PAGE)}")


def _section(section: str, chosen: list[str], rounds: int) -> str:
    """Measure and print the chosen cases -> the section's text, empty where none was chosen."""
    if not chosen:
        return ""
    if section == "towers":
        return report.towers_section(_towers(chosen, rounds))
    if section == "families":
        return report.families_section([_printed(row) for name in chosen for row in families.CASES[name](rounds)])
    if section == "fusion":
        return report.fusion_section(_fusions(chosen, rounds), _states() if "states" in chosen else [])
    if section == "retrieval":
        retrieval = evaluation.run(rounds)
        print(*map(report.compared_line, retrieval), sep="\n", flush=True)
        return report.retrieval_section(retrieval)
    if section == "data":
        raced = data.run(rounds)
        print(*map(report.raced_line, raced), sep="\n", flush=True)
        return report.data_section(raced)
    help_s = start_up_s(rounds)
    print(f"tuwen --help: {help_s:.2f} s", flush=True)
    return report.start_up_section(help_s)


def _towers(chosen: list[str], rounds: int) -> list[Row]:
    with rivals() as both:
        return [_printed(row) for name in chosen for row in cases.CASES[name](both, rounds)]


def _fusions(chosen: list[str], rounds: int) -> list[Row]:
    return [_printed(row) for name in chosen if name in fusion.CASES for row in fusion.CASES[name](rounds)]


def _states() -> list[Stored]:
    states = fusion.stored()
    print(*map(report.stored_line, states), sep="\n", flush=True)
    return states


def _printed(row: Row) -> Row:
    print(report.line(row), flush=True)
    return row


if __name__ == "__main__":
    main()
