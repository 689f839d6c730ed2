"""`tuwen eval two-stage`: two towers find candidates, a fusion model orders them; recall against time."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import console, eval_options, eval_run, options
from tuwen.cli.eval_options import Asked
from tuwen.cli.eval_run import Needs, Outcome, Watch
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.evaluate.scored import Scored, Table
    from tuwen.model import Model


class Direction(StrEnum):
    """What asks for what."""

    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_TO_TEXT = "image_to_text"
    BOTH = "both"


@eval_options.command("protocol", "strip_pos", "first")
def command(
    asked: Asked,
    rerank: Annotated[
        str | None,
        typer.Option("--rerank", metavar="MODEL", help="The fusion model, else the same / 重排模型，默认同一个"),
    ] = None,
    rerank_tokenizer: Annotated[
        Path | None, typer.Option("--rerank-tokenizer", help="For its weight file, where it needs one / 重排模型的词表")
    ] = None,
    depth: Annotated[
        str, typer.Option("--depth", help="Candidates to order, several compare / 重排深度，逗号分隔")
    ] = "0,16,32,64,128",
    direction: Annotated[Direction, typer.Option("--direction", help="Who asks / 检索方向")] = Direction.BOTH,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.svg", help="Draw recall against time / 画出召回率与耗时的曲线"),
    ] = None,
    batch_size: options.BatchSize = 32,
) -> None:
    """Recall with two towers, rerank with a fusion model / 两阶段检索评测：召回率与耗时"""
    depths = _depths(depth, asked.original)
    directions = ["text_to_image", "image_to_text"] if direction is Direction.BOTH else [direction.value]
    if asked.original and direction is not Direction.BOTH:
        raise UsageError("the original's protocol is for both directions at once: leave out --direction")
    if plot is not None:
        _check_plot(plot, asked)
    settings = {"depth": depths, "directions": directions}
    asked = replace(asked, settings=settings, tokenizers={rerank: rerank_tokenizer} if rerank else {})

    from tuwen.data.dataset import PAIRS

    def check(models: list[Model], dataset: Dataset) -> None:
        models[0].need("embed")
        models[-1].need("match")

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import two_stage

        finder, judge = models[0], models[-1]
        told = (batch_size, asked.features, watch.on_error, watch.advance)
        if asked.original:
            return Outcome(two_stage.original(finder, judge, dataset, depths[0], *told))
        scored = two_stage.two_stage(finder, judge, dataset, depths, directions, *told)
        return Outcome(scored, show=lambda: _show(scored))

    groups = [[one, rerank] if rerank else [one] for one in asked.models]
    draw = None if plot is None else partial(_draw, plot, asked.quiet)
    eval_run.run(
        "two_stage", asked, evaluate, Needs(PAIRS, check=check), groups, total=lambda of: len(of.pictures), draw=draw
    )


def _check_plot(path: Path, asked: Asked) -> None:
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--plot {path} ends in {path.suffix!r}: it is written as .svg")
    if len(asked.models) > 1:
        raise UsageError("--plot draws the depths of one model: pass one")
    if asked.original:
        raise UsageError("--plot draws several depths, the original's protocol has one: leave out one of the two")


def _draw(path: Path, quiet: bool, queries: dict[str, Table]) -> None:
    from tuwen.evaluate import sweep

    sweep.write(path, queries["depths"])
    console.note(f"-> {path}", quiet)


def _depths(given: str, original: bool) -> list[int]:
    try:
        depths = sorted({int(part) for part in given.replace("，", ",").split(",")})
    except ValueError:
        raise UsageError(f"--depth is {given!r}: expected whole numbers, e.g. 0,16,64") from None
    if original and given == "0,16,32,64,128":
        return [128]  # the original's k_test for Flickr30k
    if original and len(depths) != 1:
        raise UsageError("the original's protocol has one depth, 128 for Flickr30k and 256 for COCO: --depth 128")
    return depths


def _show(scored: Scored) -> None:
    """A line for each depth: milliseconds of one search, and the shares found."""
    table = scored.queries["depths"]
    names = [name for name in table if name != "id"]
    rows = []
    for values in zip(*(table[name] for name in names), strict=True):
        depth, *times = values[:3]
        rows.append([int(depth), *(f"{time:.1f}" for time in times), *(f"{100 * share:.1f}" for share in values[3:])])
    short = {"milliseconds": "ms", "text_to_image": "t2i", "image_to_text": "i2t"}
    for long, brief in short.items():
        names = [name.replace(long, brief) for name in names]
    print()
    console.table(names, rows, names)
