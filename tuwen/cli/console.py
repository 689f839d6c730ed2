"""What commands show: one header line, one progress bar, one closing table."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:
    from tqdm import tqdm

SHOWN_FAILURES = 20


def header(*parts: str, quiet: bool = False) -> None:
    """The first line of a command, on stderr; empty parts are left out."""
    if not quiet:
        from tuwen import __version__

        print(" · ".join([f"tuwen {__version__}", *filter(None, parts)]), file=sys.stderr)


def bar(total: int, unit: str, quiet: bool = False, done: int = 0) -> tqdm[Any]:
    """A progress bar on stderr: rate, time left, and what `set_postfix` adds."""
    from tqdm import tqdm

    return tqdm(
        total=total, initial=done, unit=unit, disable=quiet, file=sys.stderr, dynamic_ncols=True, mininterval=0.2
    )


def note(text: str, quiet: bool = False) -> None:
    """A line for people, on stderr."""
    if not quiet:
        print(text, file=sys.stderr)


def failures(failed: Sequence[tuple[str, str]]) -> None:
    """What failed and why, on stderr even when quiet; beyond twenty only how many."""
    for name, reason in failed[:SHOWN_FAILURES]:
        print(f"failed / 失败: {reason if name in reason else f'{name}: {reason}'}", file=sys.stderr)
    if len(failed) > SHOWN_FAILURES:
        print(f"... and {len(failed) - SHOWN_FAILURES} more / 以及更多", file=sys.stderr)


def result(data: Any) -> None:
    """Data as JSON, on stdout."""
    print(json.dumps(data, indent=1, ensure_ascii=False))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()) -> None:
    """Rows under their headings, on stdout; columns named in `right` end, instead of begin, at the same place."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(width, [name, *(row[i] for row in cells)])) for i, name in enumerate(columns)]
    print(_line(columns, widths, columns, right))
    print("  ".join("─" * wide for wide in widths))
    for row in cells:
        print(_line(row, widths, columns, right))


def _line(cells: Sequence[str], widths: Sequence[int], columns: Sequence[str], right: Sequence[str]) -> str:
    padded = []
    for cell, wide, name in zip(cells, widths, columns, strict=True):
        space = " " * (wide - width(cell))
        padded.append(space + cell if name in right else cell + space)
    return "  ".join(padded).rstrip()


def width(text: str) -> int:
    """Columns that a text takes on a terminal: two for a Chinese character, none for an accent on its own."""
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def screen() -> int:
    """Columns that a line may take: those of the terminal, any number where stdout is none (COLUMNS overrules both)."""
    return shutil.get_terminal_size((1_000_000, 24)).columns


def amount(number: int, one: str, many: str | None = None) -> str:
    """1 picture, 1,200 pictures."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
