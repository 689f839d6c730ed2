"""`tuwen data build --to NAME`: the Arrow tables that BridgeTower's and VLE's data scripts make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tuwen.cli import console
from tuwen.errors import MissingExtra

if TYPE_CHECKING:
    from tuwen.data.building import Built
    from tuwen.data.options import Options, Writing


def build(
    tool: str,
    raw: Path,
    output: Path | None,
    options: Options,
    writing: Writing,
    seed: int | None,
    visual_genome: Path | None,
) -> Built:
    """Run one of `building.TOOLS`; tables lie in RAW/arrow, splits of Visual Genome in RAW/vgqa, but for `output`."""
    try:
        from tuwen.data import building
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tuwen"):
            raise
        raise MissingExtra(f"building Arrow tables needs {error.name}: pip install 'tuwen[data]'") from None
    target = output or raw / ("vgqa" if tool == "vgqa-split" else "arrow")
    return building.build(tool, raw, target, options, writing, seed, visual_genome)


def show(built: Built, writing: Writing, quiet: bool) -> None:
    """What was made, and what could not be used, with which the exit code is 1."""
    for note in writing.notes:
        console.note(note, quiet)
    if built.tables:
        console.table(["table", "rows"], [[name, f"{rows:,}"] for name, rows in built.tables.items()], ["rows"])
    for part, counts in built.pictures.items():
        print(f"{part}: {counts.used:,} of {counts.named:,} pictures used, {counts.files:,} files in their folders")
    for what, count in built.counts.items():
        print(f"{what}: {count:,}" if isinstance(count, int) else f"{what}: {_listed(count)}")
    failed = [(failure.id, failure.reason) for failure in (*built.failures, *writing.failures)]
    console.failures(failed)
    if failed:
        raise typer.Exit(1)


def _listed(counts: dict[object, int]) -> str:
    return ", ".join(f"{_name(name)} {count:,}" for name, count in counts.items())


def _name(name: object) -> str:
    """A split, or how often a question has each of its known answers: "2+1 times"."""
    return f"{'+'.join(map(str, name))} times" if isinstance(name, tuple) else str(name)
