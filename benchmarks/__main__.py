"""`python -m benchmarks`: run every case and rewrite RESULTS.md; `python -m benchmarks captions tower`: print these."""

from __future__ import annotations

import argparse
import os
import warnings

from benchmarks import report
from benchmarks.cases import CASES, Row, start_up_s
from benchmarks.peer import LENGTH, rivals


def main() -> None:
    """Parse, measure, print; write the page only when everything was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed of tuwen against transformers.")
    parser.add_argument("cases", nargs="*", help=f"{', '.join(CASES)}, start-up; all of them by default")
    parser.add_argument("--rounds", type=int, default=3, help="of every rival; 3 by default")
    asked = parser.parse_args()
    names = asked.cases or [*CASES, "start-up"]
    unknown = sorted(set(names) - {*CASES, "start-up"})
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}: choose from {', '.join(CASES)}, start-up")
    warnings.filterwarnings("ignore", module="transformers")
    print(report.machine())
    help_s = start_up_s(asked.rounds) if "start-up" in names else None
    if help_s is not None:
        print(f"tuwen --help: {help_s:.2f} s", flush=True)
    rows: list[Row] = []
    chosen = [name for name in names if name in CASES]
    if chosen:
        with rivals() as both:
            for name in chosen:
                for row in CASES[name](both, asked.rounds):
                    print(report.line(row), flush=True)
                    rows.append(row)
    if not asked.cases and help_s is not None:
        report.write(rows, help_s, LENGTH, asked.rounds)
        print(f"written: {os.path.relpath(report.PAGE)}")


if __name__ == "__main__":
    main()
