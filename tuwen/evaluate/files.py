"""Files for the judges of a benchmark: they appear whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tuwen.checkpoint import replacing


def write_text(path: Path, pieces: Iterable[str]) -> None:
    """UTF-8 text with line ends as they are; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("x", encoding="utf-8", newline="") as file:
        file.writelines(pieces)


def whole_number(id_: str) -> int | str:
    """An id as the number that it was in the file it came from; other ids stay texts."""
    return int(id_) if id_.isascii() and id_.isdigit() and str(int(id_)) == id_ else id_
