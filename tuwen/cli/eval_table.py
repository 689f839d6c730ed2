"""`tuwen eval table`, `compare` and `sets`: runs side by side, two query by query, and what is known by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.evaluate.known import Known
    from tuwen.evaluate.runs import Run

Resamples = Annotated[int, typer.Option("--resamples", min=0, help="Of the bootstrap / 自助抽样次数")]


def table(
    folders: Annotated[list[Path], typer.Argument(metavar="RUNS", help="Folders or files of runs / 结果文件夹")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".md, .tex, .csv or .html / 输出文件")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every figure, not only the main ones / 全部指标")] = False,
    resamples: Resamples = 1000,
    quiet: options.Quiet = False,
) -> None:
    """Models down, figures across; the best in bold, † where others are surely worse / 汇总结果表"""
    from tuwen.evaluate import runs
    from tuwen.evaluate import table as tables

    if output is not None and output.suffix not in tables.FORMATS:
        raise UsageError(f"{output} ends in {output.suffix!r}: expected {', '.join(tables.FORMATS)}")
    found = tables.grids(runs.find(folders), every, resamples)
    if output is None:
        print(tables.markdown(found), end="")
        return
    tables.write(output, found)
    amount = sum(len(grid.runs) for grid in found)
    console.note(f"-> {output}, {console.amount(amount, 'run')}, {console.amount(len(found), 'table')}", quiet)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's .json, or a folder with one run / 结果文件")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another of the same set / 同一数据集的另一结果")],
    resamples: Resamples = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap / 自助抽样的随机种子")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """The first minus the second, query by query: interval and p of each figure / 成对比较两次结果"""
    from tuwen.evaluate import figures, runs

    one, other = _one(first), _one(second)
    if not resamples:
        raise UsageError("--resamples is 0: it must be at least 1 to compare")
    found = runs.compare(one, other, resamples, seed)
    if as_json:
        data: dict[str, Any] = {"first": one.model, "second": other.model, "set": one.set, "resamples": resamples}
        console.result({**data, "figures": {name: vars(difference) for name, difference in found.items()}})
        return
    print(f"{one.model} - {other.model}, {figures.of_set(one.set, one.split)}")
    rows = [
        [
            figures.title(name),
            figures.written(name, one.figures[name]),
            figures.written(name, other.figures[name]),
            figures.written(name, change.value, sign=True),
            f"{figures.written(name, change.low, sign=True)} .. {figures.written(name, change.high, sign=True)}",
            f"{change.p:.4f}",
        ]
        for name, change in found.items()
    ]
    columns = ["figure", "first", "second", "Δ", "95 %", "p"]
    console.table(columns, rows, columns[1:])


def _one(place: Path) -> Run:
    """The run of a file, or the only one of a folder."""
    from tuwen.evaluate import runs

    if not place.is_dir():
        return runs.read(place)
    found = runs.find([place])
    if len(found) > 1:
        raise UsageError(f"{place} holds {len(found)} runs: name one of them, e.g. {found[0].path}")
    return found[0]


def sets(
    name: Annotated[str, typer.Argument(metavar="SET", help="One set, by default all / 数据集名称")] = "",
    as_json: options.AsJson = False,
) -> None:
    """Sets that are known by name: their files, sizes, and published results / 按名称可用的数据集"""
    from tuwen.evaluate import known

    if name:
        one = known.find(name)
        if one is None:
            raise UsageError(f"there is no set {name!r}: expected one of {known.names()}")
        _set(one, as_json)
        return
    found = known.sets()
    if as_json:
        console.result({name: vars(one) for name, one in found.items()})
        return
    rows = [
        [one.name, one.kind, ", ".join(task.replace("_", "-") for task in one.tasks), ", ".join(one.splits), _size(one)]
        for one in found.values()
    ]
    console.table(["set", "kind", "tasks", "splits", "published on"], rows)


def _set(one: Known, as_json: bool) -> None:
    from tuwen.evaluate import figures, known

    results = known.results(one.name)
    if as_json:
        console.result({**vars(one), "published": results})
        return
    print(f"{one.name}: {one.title}, {one.kind}")
    print(f"  {one.expected(one.default)}, in {' or '.join(one.formats) or 'any format'}")
    for split, counts in one.splits.items():
        said = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number is not None)
        print(f"  {split}: {said}{' (no labels / 无标注)' if split in one.unlabelled else ''}")
    for note in one.notes:
        print(f"  {note}")
    rows = [
        [
            result["model"],
            result["split"] + (f", first {result['first']:,}" if "first" in result else ""),
            result["training"],
            " ".join(f"{figures.title(name)} {figures.written(name, v)}" for name, v in result["figures"].items()),
            result["source"],
        ]
        for result in results
    ]
    if rows:
        console.table(["model", "split", "training", "published", "source"], rows)


def _size(one: Known) -> str:
    counts = one.splits[one.default]
    said = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number is not None)
    first = f", first {one.first:,} pictures" if one.first else ""
    return f"{one.default}: {said}{first}"
