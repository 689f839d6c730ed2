"""`tuwen train`: from a recipe to a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.memory import keep_freed_memory
from tuwen.cli.ready import check_device
from tuwen.errors import InputError


def command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML file, or the name of one of ours / 训练配方")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change, e.g. steps=500 / 修改配置项"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run / 输出文件夹")] = Path("runs/run"),
    device: options.Device = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Train from a recipe; a stopped run goes on where it was / 按配方训练，中断后可继续"""
    keep_freed_memory()
    check_device(device)
    leads = os.environ.get("RANK", "0") == "0"  # under torchrun one process speaks for all
    quiet = quiet or not leads
    from tuwen.train import recipe as recipes

    settings = recipes.read(find_recipe(recipe), overrides or [])
    from tuwen.train.loop import train

    size = f"{settings.steps:,} steps of {settings.batch_size}"
    console.header("train", settings.family, size, str(output), quiet=quiet)
    evaluations: list[dict[str, Any]] = []
    with console.bar(settings.steps, " steps", quiet) as bar:

        def report(step: int, row: dict[str, float]) -> None:
            if bar.n == 0:  # a resumed run: the rate counts from where it went on
                bar.initial = bar.n = step - min(step, settings.log_every)
            bar.update(step - bar.n)
            if "loss" in row:
                bar.set_postfix(loss=f"{row['loss']:.3f}")
            else:
                evaluations.append({"step": step, **row})
                if not as_json:
                    bar.write(f"step {step:,}: " + ", ".join(f"{key} {value:.3f}" for key, value in row.items()))

        model = train(settings, output, device, report)
    if not leads:
        return
    last = evaluations[-1] if evaluations else {}
    if as_json:
        console.result({"output": str(output / "model"), "fingerprint": model.fingerprint, "evaluations": evaluations})
    else:
        console.table(["measure", "value"], [[key, _number(value)] for key, value in last.items()], ["value"])
    console.note(f"model / 模型: {output / 'model'} · log / 记录: {output / 'metrics.jsonl'}", quiet)


def find_recipe(given: Path) -> Path:
    """A file at that path, or one of the recipes that come with tuwen; InputError that lists those."""
    if given.is_file():
        return given
    package = Path(__file__).parents[1]
    shelves = [package / "recipes", package.parent / "recipes"]  # installed; in a clone
    for shelf in shelves:
        for name in (given.name, f"{given.name}.yaml"):
            if (shelf / name).is_file():
                return shelf / name
    known = sorted(path.name for shelf in shelves for path in shelf.glob("*.yaml"))
    raise InputError(
        f"there is no recipe {given}: name a YAML file" + (f", or one of {', '.join(known)}" if known else "")
    )


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
