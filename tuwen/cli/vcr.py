"""`tuwen vcr`: choose the answers, or the reasons, of annotated questions about pictures."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.ready import described, ready
from tuwen.errors import InputError

if TYPE_CHECKING:
    from tuwen.data.rows import Rows
    from tuwen.data.vcr import Item
    from tuwen.model import Model

COLUMNS = ["id", "image", "question", "choices", "probabilities", "prediction", "label", "correct"]


class Task(StrEnum):
    """What is chosen: the answer to a question, or the reason for the right answer."""

    Q2A = "q2a"
    QA2R = "qa2r"


class Mapping(StrEnum):
    """Which patches a box means."""

    WHOLE = "whole"
    CROP = "crop"


def command(
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="Official .jsonl / 官方标注文件")],
    images: Annotated[Path, typer.Option("--images", help="Folder of pictures and metadata / 图片与元数据文件夹")],
    model: options.Model = "vle/base-vcr-q2a",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a .csv, .jsonl or .parquet / 写入表格文件，可续跑")
    ] = None,
    task: Annotated[
        Task | None, typer.Option("--task", help="q2a or qa2r; by default what the model is for / 选答案或选理由")
    ] = None,
    mapping: Annotated[
        Mapping,
        typer.Option("--mapping", help="Patches of a box: as published, or of the centre crop / 框与图块的对应方式"),
    ] = Mapping.WHOLE,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin the output anew / 覆盖已有输出，重新开始")
    ] = False,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Choose answers (q2a) or reasons (qa2r) of VCR items; run again to go on / 视觉常识推理，可续跑"""
    from tuwen.data.vcr import read_vcr

    if output is not None:
        from tuwen.data.rows import check_ending

        check_ending(output)
    found = read_vcr(annotations, images)
    if not found.items and not found.failures:
        raise InputError(f"{annotations} holds no items: expected a JSON object per line")
    if found.failures and on_error is options.OnError.FAIL:
        raise InputError(f"{found.failures[0].id}: {found.failures[0].reason}")
    loaded = ready(model, device, dtype, tokenizer, config)
    from tuwen.data.rows import Rows
    from tuwen.tasks.choose import check_form

    task = task or Task(getattr(loaded.module.config, "choose", "q2a"))
    check_form(loaded, task is Task.QA2R)
    console.header("vcr", described(model, loaded), task, console.amount(len(found.items), "item"), quiet=quiet)
    settings = {"model": model, "fingerprint": loaded.fingerprint, "dtype": dtype, "task": task.value}
    settings |= {"mapping": mapping.value, "annotations": str(annotations.resolve()), "images": str(images.resolve())}
    with Rows(output, COLUMNS, ["id"], settings, overwrite) as rows:
        for failure in found.failures:
            rows.fail(failure.id, failure.reason)
        _run(loaded, found.items, annotations.name, task, mapping, rows, on_error, quiet)
        order = [(item.id,) for item in found.items]
        rows.finish(order)
        _show(rows, order, task, output, as_json, quiet)
    console.failures(rows.failures)
    if rows.failures:
        raise typer.Exit(1)


def _run(
    model: Model,
    items: list[Item],
    file: str,
    task: Task,
    mapping: Mapping,
    rows: Rows,
    on_error: options.OnError,
    quiet: bool,
) -> None:
    """Choose where there is no row yet; a bad item is remembered with its file and line."""
    start = time.perf_counter()
    with console.bar(len(items), " items", quiet) as bar:
        for item in items:
            try:
                stamp = item.stamp()
                if not rows.done((item.id,), stamp):
                    rows.add(choose_item(model, item, task, mapping), stamp)
            except InputError as error:
                if on_error is options.OnError.FAIL:
                    raise
                rows.fail(f"{file}:{item.line}", str(error))
                bar.set_postfix(failed=len(rows.failures))
            bar.update(1)
    if rows.failures and not len(rows):
        raise InputError(f"nothing could be chosen; the first: {rows.failures[0][0]}: {rows.failures[0][1]}")
    if rows.added:
        seconds = time.perf_counter() - start
        console.note(f"{rows.added:,} chosen in {seconds:.1f} s, {rows.added / seconds:.1f}/s", quiet)


def choose_item(model: Model, item: Item, task: Task, mapping: Mapping) -> dict[str, Any]:
    """The row of one item. InputError for choices or a right answer that the item lacks, a bad picture or box."""
    from tuwen.tasks.choose import choose

    answer = None
    choices, label = item.answers, item.label
    if task is Task.QA2R:
        if item.label is None:
            raise InputError("it has no answer_label: reasons are chosen for the right answer")
        answer, choices, label = item.answers[item.label], item.rationales, item.rationale_label
    if not choices:
        raise InputError(f"it has no {'rationale_choices' if task is Task.QA2R else 'answer_choices'}")
    chances = choose(model, item.image, item.question, choices, item.boxes(), item.objects, answer, mapping.value)
    prediction = int(chances.argmax())
    said = item.said(item.question) + (f" {item.said(answer)}" if answer is not None else "")
    values = [
        item.id,
        str(item.image),
        said,
        [item.said(choice) for choice in choices],
        [round(chance, 6) for chance in chances.tolist()],
        prediction,
        label,
        None if label is None else prediction == label,
    ]
    return dict(zip(COLUMNS, values, strict=True))


def _show(rows: Rows, order: list[tuple[str]], task: Task, output: Path | None, as_json: bool, quiet: bool) -> None:
    known = [row["correct"] for row in rows.ordered(order) if row["correct"] is not None]
    accuracy = sum(known) / len(known) if known else None
    failures = [{"id": name, "reason": reason} for name, reason in rows.failures]
    summary: dict[str, Any] = {"task": task.value, "items": len(rows), "failed": len(failures), "labelled": len(known)}
    if as_json:
        where = {"file": str(output)} if output else {"rows": list(rows.ordered(order))}
        console.result({**summary, "accuracy": accuracy, **where, "failures": failures})
        return
    if output is None:
        names = ["id", "prediction", "probability", "label", "choice"]
        console.table(names, [_line(row) for row in rows.ordered(order)], ["prediction", "probability", "label"])
        print()
    summary["accuracy"] = "" if accuracy is None else f"{accuracy:.1%}"
    if output is not None:
        summary["file"] = str(output)
        if not rows.added:
            console.note(f"{output} is up to date / 已是最新", quiet)
    console.table(list(summary), [list(summary.values())], ["items", "failed", "labelled", "accuracy"])


def _line(row: dict[str, Any]) -> list[Any]:
    prediction, label = row["prediction"], row["label"]
    chance = f"{row['probabilities'][prediction]:.1%}"
    return [row["id"], prediction, chance, "" if label is None else label, row["choices"][prediction]]
