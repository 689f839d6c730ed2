"""What every `tuwen eval` command does around its evaluator: datasets and models in; tables, runs and files out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tuwen.cli import console, eval_line, options
from tuwen.cli.eval_options import Asked
from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.data.options import Options
    from tuwen.evaluate.known import Opened
    from tuwen.evaluate.pictures import OnError
    from tuwen.evaluate.runs import Run
    from tuwen.evaluate.scored import Scored, Table
    from tuwen.model import Model


@dataclass(frozen=True)
class Watch:
    """What an evaluator tells while it works."""

    on_error: OnError | None
    advance: Callable[[int], object]
    stem: str = ""  # of the run's files


@dataclass(frozen=True)
class Needs:
    """What an evaluator needs, so that all else is refused before anything is encoded.

    kind: of the dataset, one of dataset.KINDS; task: that every model can do; check: raises for models that do not go
    together, with each other or with the dataset.
    """

    kind: str
    task: str = ""
    check: Callable[[list[Model], Dataset], object] | None = None


@dataclass(frozen=True)
class Outcome:
    """What an evaluator gives back; submit writes the file for the judges, where there is one; show prints more for
    people."""

    scored: Scored
    submit: Callable[[Path], object] | None = None
    show: Callable[[], object] | None = None


Evaluate = Callable[["list[Model]", "Dataset", Watch], Outcome]


def run(
    task: str,
    asked: Asked,
    evaluate: Evaluate,
    needs: Needs,
    groups: Sequence[Sequence[str]] | None = None,
    given: Opened | None = None,
    total: Callable[[Dataset], int] = lambda dataset: len(dataset.texts),
    draw: Callable[[dict[str, Table]], object] | None = None,
) -> None:
    """Evaluate each group of models, by default one each, on the dataset; show, keep and submit what comes out.

    Models that cannot, and datasets of another kind, are refused before the first evaluation begins.

    task: as the evaluator calls it; total: how much there is to do, for the bar; draw: makes a picture of the rows per
    query of each run, also of one that was there already. Exit code 1 where rows or pictures cannot be used.
    """
    groups = [[one] for one in asked.models] if groups is None else groups
    if asked.submit is not None and len(groups) > 1:
        raise UsageError("--submit writes the answers of one model: pass one")
    if asked.skip_existing and asked.output is None:
        raise UsageError("--skip-existing looks into the folder of runs: name it with -o")
    given = given or opened(asked)
    dataset = given.dataset
    if dataset.failures and asked.on_error is options.OnError.FAIL:
        raise InputError(f"{dataset.failures[0].id}: {dataset.failures[0].reason}")
    _check(task, asked, given, needs)
    for names in groups[1:]:  # whose turn may be hours away
        _ready(names, asked, dataset, needs)
    more: list[Callable[[], object]] = []
    done = [_run(task, names, asked, given, evaluate, needs, total(dataset), more, draw) for names in groups]
    failed = {(name, reason) for each in done for name, reason in each.failures}
    if asked.as_json:
        console.result([plain(each) for each in done])
    else:
        show(done)
        for each in more:
            each()
    console.failures(sorted(failed))
    if failed:
        raise typer.Exit(1)


def opened(asked: Asked, given: Options | None = None) -> Opened:
    """The dataset that was asked for: a known set by its name, or any by its path."""
    from tuwen.data.options import Options
    from tuwen.evaluate.known import open_set

    options = given or Options(pictures=asked.pictures)
    return open_set(asked.set, asked.data, asked.split, asked.form, options, asked.strip_pos, asked.first)


def name_of(asked: Asked) -> str:
    """The set's name for people: that of a known set, as typed, or that of its folder or file."""
    from tuwen.evaluate.known import find

    path = Path(asked.set).expanduser()
    if asked.data is None and path.exists():
        return path.resolve().stem
    known = find(asked.set)
    return known.name if known else asked.set


def _check(task: str, asked: Asked, given: Opened, needs: Needs) -> None:
    """UsageError for a dataset that the evaluator cannot take, InputError for one that it would say nothing of."""
    from tuwen.evaluate import known

    dataset, name = given.dataset, task.replace("_", "-")
    if dataset.kind != needs.kind:
        wanted, (there, other) = known.HOLDS[needs.kind][0], known.HOLDS[dataset.kind]
        raise UsageError(f"eval {name} needs {wanted}, {dataset.path} holds {there}, which eval {other} takes")
    if asked.submit is not None and given.known is not None and given.known.folds:
        raise UsageError(
            f"{given.known.name} is evaluated in {given.known.folds} parts: there is no file for judges, leave out "
            "--submit"
        )
    if asked.submit is None and len(dataset.texts) and not known.labelled(dataset):
        raise InputError(known.unlabelled(given))


def _ready(names: Sequence[str], asked: Asked, dataset: Dataset, needs: Needs) -> list[Model]:
    """The models that work together. UnsupportedTask or UsageError where they cannot do what is asked for."""
    from tuwen.cli.ready import ready

    tokenizers = [asked.tokenizers.get(name, asked.tokenizer) for name in names]
    loaded = [
        ready(name, asked.device, asked.dtype, tokenizer, asked.config, asked.answers)
        for name, tokenizer in zip(names, tokenizers, strict=True)
    ]
    for model in loaded if needs.task else ():
        model.need(needs.task)
    if needs.check is not None:
        needs.check(loaded, dataset)
    return loaded


def _run(
    task: str,
    names: Sequence[str],
    asked: Asked,
    given: Opened,
    evaluate: Evaluate,
    needs: Needs,
    total: int,
    more: list[Callable[[], object]],
    draw: Callable[[dict[str, Table]], object] | None = None,
) -> Run:
    from tuwen.cli.ready import described
    from tuwen.evaluate import runs
    from tuwen.evaluate.known import reference, unlabelled

    dataset = given.dataset
    loaded = _ready(names, asked, dataset, needs)
    shown = [described(name, model) for name, model in zip(names, loaded, strict=True)]
    counts = f"{console.amount(len(dataset.pictures), 'picture')}, {console.amount(len(dataset.texts), 'text')}"
    console.header(f"eval {task.replace('_', '-')}", name_of(asked), dataset.split, counts, *shown, quiet=asked.quiet)
    models = [runs.of_model(model, called(name), name) for name, model in zip(names, loaded, strict=True)]
    data = runs.of_data(dataset)
    stem = runs.stem(task, name_of(asked), dataset.split, models, data, asked.options)
    if asked.skip_existing and asked.output is not None:
        there = asked.output / f"{stem}.json"
        if there.is_file():
            console.note(f"{there} is there already / 已有结果", asked.quiet)
            found = runs.read(there)
            if draw is not None:
                draw(found.queries())
            return found
    failures = [(failure.id, failure.reason) for failure in dataset.failures]
    start = time.perf_counter()
    with console.bar(total, "", asked.quiet) as bar:

        def skip(name: str, error: InputError) -> None:
            failures.append((name, str(error)))
            bar.set_postfix(failed=len(failures))

        watch = Watch(skip if asked.on_error is options.OnError.SKIP else None, bar.update, stem)
        outcome = _evaluated(evaluate, loaded, given, watch)
    seconds = time.perf_counter() - start
    if outcome.show is not None:
        more.append(outcome.show)
    if asked.submit is not None:
        if outcome.submit is None:
            raise UsageError(f"there is no file for the judges of {task}: leave out --submit")
        outcome.submit(asked.submit)
        console.note(f"-> {asked.submit}", asked.quiet)
    elif not outcome.scored.figures:
        raise InputError(unlabelled(given))
    if draw is not None:
        draw(outcome.scored.queries)
    scored = replace(outcome.scored, notes=[*given.notes, *outcome.scored.notes])
    published = reference(given, [model.name for model in loaded])
    name, split = name_of(asked), dataset.split
    made = runs.run_of(scored, models, data, name, split, asked.options, seconds, failures, published)
    if asked.output is None:
        return made
    return kept(asked.output, made, scored, dataset, asked.quiet)


def kept(folder: Path, run: Run, scored: Scored, dataset: Dataset, quiet: bool) -> Run:
    """The run with its files in the folder, and a page of its best and worst queries beside them."""
    from tuwen.evaluate import page, runs

    run = runs.write(folder, run, scored.queries)
    where = page.write_page(run, scored.queries, dataset)
    console.note(f"-> {run.path}, {where.name}", quiet)
    return run


def _evaluated(evaluate: Evaluate, models: list[Model], given: Opened, watch: Watch) -> Outcome:
    """What comes out, of sets that are evaluated in parts of all parts together."""
    if given.known is None or not given.known.folds:
        return evaluate(models, given.dataset, watch)
    from tuwen.evaluate.folds import folds, together

    outcomes = [evaluate(models, part, watch) for part in folds(given.dataset, given.known.folds)]
    return Outcome(together([outcome.scored for outcome in outcomes]))


def called(name: str) -> str:
    """A model for people: its name, or that of its file or folder."""
    path = Path(name).expanduser()
    return path.resolve().stem if path.exists() else name


# -- what is shown ----------------------------------------------------------------------------------------------------


def show(done: Sequence[Run]) -> None:
    """Figures down, models across, shares in percent with half the width of their intervals; then the notes."""
    names = list(dict.fromkeys(name for each in done for name in each.figures if "@" not in name))
    if names:
        rows = [[name, *(_figure(each, name) for each in done)] for name in names]
        columns = ["figure", *(each.model for each in done)]
        console.table(columns, rows, columns[1:])
    for each in done:
        print(eval_line.line(each, named=len(done) > 1))
    for note in dict.fromkeys(note for each in done for note in each.notes):
        console.note(f"note / 注意: {note}")


def _figure(run: Run, name: str) -> str:
    if name not in run.figures:
        return ""
    value, ends = run.figures[name], run.intervals.get(name)
    if "rank" in name:
        return f"{value:g}"
    return f"{100 * value:.1f}" + (f" ±{50 * (ends[1] - ends[0]):.1f}" if ends else "")


def plain(run: Run) -> dict[str, Any]:
    """A run as data, without its machine."""
    return {
        "model": run.model,
        "set": run.set,
        "split": run.split,
        "figures": run.figures,
        "intervals": run.intervals,
        "reference": run.reference,
        "notes": run.notes,
        "failed": run.failed,
        "failures": [{"id": name, "reason": reason} for name, reason in run.failures],
        "seconds": run.seconds,
        "file": str(run.path) if run.tables else None,
    }
