"""`tuwen models`: what can be loaded by name."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuwen.cli import console, options

COLUMNS = ("name", "params", "lang", "tasks", "image", "width", "here", "source")
RIGHT = ("params", "image", "width")
NARROWEST = 12  # of the tasks


def command(quiet: options.Quiet = False, as_json: options.AsJson = False) -> None:
    """List the models that can be loaded by name / 列出可按名称加载的模型"""
    rows = [*_bundled(), *_published()]
    if as_json:
        console.result(rows)
        return
    console.header("models", console.amount(len(rows), "model"), quiet=quiet)
    shown = [
        [
            row["name"],
            f"{row['parameters'] / 1e6:.1f} M",
            " ".join(row["languages"]),
            " ".join(row["tasks"]) or "-",
            row["image_size"],
            row["width"] or "-",
            "yes" if row["here"] else "no",
            row["source"],
        ]
        for row in rows
    ]
    console.table(*fitted(COLUMNS, shown, console.screen()), RIGHT)
    console.note(
        "A folder, a weight file or owner/name on a hub loads as well / 也可加载文件夹、权重文件或 hub 仓库", quiet
    )


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[object]], screen: int
) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    """Columns and rows of a table that is no wider than the screen: without the last column, the source, where there
    is no room for it, and with the tasks over several lines."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(console.width(cell) for cell in column) for column in zip(columns, *cells, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= screen:
        return columns, cells
    last, tasks = len(columns) - 1, list(columns).index("tasks")
    room = screen - sum(widths[:last]) - 2 * (last - 1) + widths[tasks]
    lines: list[list[str]] = []
    for row in cells:
        for number, part in enumerate(textwrap.wrap(row[tasks], max(room, NARROWEST), break_long_words=False)):
            around = row[:last] if number == 0 else [""] * last
            lines.append([*around[:tasks], part, *around[tasks + 1 :]])
    return columns[:last], lines


def _bundled() -> list[dict[str, Any]]:
    """The model that comes with tuwen, described by its own files."""
    import json
    import math

    from tuwen import hub
    from tuwen.checkpoint import look

    folder = hub.bundled("demo")
    if folder is None:
        return []
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    parameters = sum(math.prod(shape) for shape in look(folder).shapes.values())
    size, width = settings["config"]["image"]["image_size"], settings["config"]["embedding"]
    return [
        _row("demo", parameters, settings["languages"], ("embed", "search", "classify"), size, width, "bundled", folder)
    ]


def _published() -> list[dict[str, Any]]:
    from tuwen import hub
    from tuwen.models import PUBLISHED

    return [
        _row(name, p.parameters, p.languages, p.tasks, p.image_size, p.embedding, p.repo, hub.cached(p))
        for name, p in PUBLISHED.items()
    ]


def _row(
    name: str,
    parameters: int,
    languages: Any,
    tasks: Any,
    image_size: int,
    width: int,
    source: str,
    here: Path | None,
) -> dict[str, Any]:
    return {
        "name": name,
        "parameters": parameters,
        "languages": list(languages),
        "tasks": list(tasks),
        "image_size": image_size,
        "width": width or None,
        "source": source,
        "here": str(here) if here else None,
    }
