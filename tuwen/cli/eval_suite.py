"""`tuwen eval suite`: every evaluator on the bundled scenes, in one table with a chart."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import console, eval_line, eval_options, eval_run, options
from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.evaluate.runs import Run
    from tuwen.evaluate.suite import Column

SCENES = "scenes"
WIDE = 40  # characters of a full bar
EIGHTHS = " ▏▎▍▌▋▊▉█"


def command(
    name: Annotated[str, typer.Argument(metavar="SUITE", help="scenes, the bundled pictures / 自带的场景图片")],
    model: eval_options.Models,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="PART", help="retrieval, things, three, match, vqa, vcr, ground / 只评测这些部分"
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option("--language", metavar="zh|en", help="zh or en, by default all the model knows / 只评测这种语言"),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="test or validation / 数据集划分")] = "test",
    count: Annotated[int, typer.Option("--count", min=10, help="Scenes, fewer for slow parts / 场景数")] = 1000,
    output: eval_options.Output = None,
    skip_existing: eval_options.SkipExisting = False,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Every evaluator on the bundled scenes, as far as each model can / 在自带场景上运行全部评测

    Retrieval, things by their names among 794, captions against copies with one mistake, questions, choices, grounding:
    in Chinese and English. Nothing of the test split is in any training of ours. Exit code 1 where a model could not
    do a part that its tasks promise, for one because texts are too long for it; the others are done.
    """
    if name != SCENES:
        raise UsageError(f"there is no suite {name!r}: it is called {SCENES}")
    asked = eval_options.Asked(
        set=name,
        models=model,
        split=split,
        output=output,
        skip_existing=skip_existing,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
    )
    if skip_existing and output is None:
        raise UsageError("--skip-existing looks into the folder of runs: name it with -o")
    start = time.perf_counter()
    done: list[Run] = []
    failed: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as kept:
        cache = output / "features" if output else Path(kept)
        for one in asked.models:
            done += _of_model(one, asked, only or [], language or [], count, cache, failed)
    if as_json:
        console.result([eval_run.plain(run) for run in done])
    elif done:
        show(done)
        console.note(f"{time.perf_counter() - start:.0f} s", quiet)
    console.failures(failed)
    if failed:
        raise typer.Exit(1)


def _of_model(
    name: str,
    asked: eval_options.Asked,
    only: Sequence[str],
    languages: Sequence[str],
    count: int,
    cache: Path,
    failed: list[tuple[str, str]],
) -> list[Run]:
    """Its runs; parts that it cannot do after all are put to the failed ones, with the reason."""
    from tuwen.cli.ready import described, ready
    from tuwen.evaluate import runs, suite

    model = ready(name, asked.device, asked.dtype, asked.tokenizer, asked.config)
    console.header("eval suite scenes", asked.split, described(name, model), quiet=asked.quiet)
    about = runs.of_model(model, eval_run.called(name), name)
    done = []
    for part, language in suite.planned(model, only, languages):
        dataset = suite.dataset_of(part, language, asked.split, count)
        if asked.skip_existing and asked.output is not None:
            stem = runs.stem(
                part.task, suite.set_name(part, language), dataset.split, [about], runs.of_data(dataset), {}
            )
            there = asked.output / f"{stem}.json"
            if there.is_file():
                console.note(f"{there} is there already / 已有结果", asked.quiet)
                done.append(runs.read(there))
                continue
        pictures, texts = len(dataset.pictures), len(dataset.texts)
        total = {"retrieval": pictures + texts, "zeroshot": pictures}.get(part.task, texts)  # what `advance` is told
        with console.bar(total, "", asked.quiet) as bar:
            bar.set_description(f"{part.name} {language}")
            try:
                result = suite.evaluate(model, about, part, language, dataset, cache, None, bar.update)
            except InputError as error:
                failed.append((f"{eval_run.called(name)} {part.name} {language}", str(error)))
                continue
        run = result.run
        if asked.output is not None:
            run = eval_run.kept(asked.output, run, result.scored, dataset, quiet=True)
        done.append(run)
    return done


def show(done: Sequence[Run]) -> None:
    """A bar for each figure, and a table of all models where there are several."""
    from tuwen.evaluate import figures, suite

    columns = suite.overview(done)
    models = suite.models(columns, done)
    wide = max(console.width(column.name) for column in columns)
    longest = max(map(console.width, models))
    for column in columns:
        shown = column.name
        for model in filter(column.runs.__contains__, models):
            value = column.runs[model].figures[column.figure]
            said = f"{figures.written(column.figure, value)}{eval_line.half(column.runs[model], column.figure)}"
            who = f"  {_padded(model, longest)}" if len(models) > 1 else ""
            print(f"{_padded(shown, wide)}{who}  {bar(value)}  {said}")
            shown = ""
    if len(models) > 1:
        print()
        rows = [[column.name, *(_cell(column, model) for model in models)] for column in columns]
        console.table(["per cent", *models], rows, models)


def _padded(text: str, wide: int) -> str:
    return text + " " * (wide - console.width(text))


def _cell(column: Column, model: str) -> str:
    from tuwen.evaluate import figures

    run = column.runs.get(model)
    if run is None:
        return "-"
    return f"{figures.written(column.figure, run.figures[column.figure])}{eval_line.half(run, column.figure)}"


def bar(share: float, wide: int = WIDE) -> str:
    """A share between 0 and 1 as a bar of blocks, of the same width always."""
    eighths = round(max(0.0, min(1.0, share)) * wide * 8)
    drawn = "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    return drawn + "·" * (wide - len(drawn))
