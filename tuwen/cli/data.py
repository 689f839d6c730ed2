"""`tuwen data`: look at datasets, build what the original tools build, convert between formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, data_writing, options
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.data.inspecting import Finding, Inspected, Looking

SHOWN_LETTERS = 80  # of a sample's text

app = typer.Typer(no_args_is_help=True, help="Look at, build and convert datasets / 查看、构建和转换数据集")


class Pictures(StrEnum):
    """How closely to look at pictures."""

    HEADER = "header"
    DECODE = "decode"
    SKIP = "skip"


@app.command("inspect", short_help="What a dataset is, and what is wrong with it / 数据集的内容与问题")
def inspect(
    path: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset in any format / 任意格式的数据集")],
    split: Annotated[
        str, typer.Option("--split", help="Only this split, by default all / 只看这个划分，默认全部")
    ] = "",
    form: data_writing.Form = "",
    against: Annotated[
        list[str] | None,
        typer.Option("--against", metavar="DATASET[:SPLIT]", help="Look for leaks into this / 检查与另一数据集的泄漏"),
    ] = None,
    show: Annotated[int, typer.Option("--show", min=0, help="Samples to show / 显示的样本数")] = 3,
    look: Annotated[
        Pictures,
        typer.Option("--check", help="header: is it a picture; decode: to its end; skip / 图片检查方式"),
    ] = Pictures.HEADER,
    context_length: Annotated[
        int | None, typer.Option("--context-length", min=2, help="Tokens that fit, else the model's / 文本最大长度")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Count tokens as it does / 按此模型统计词元")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="Or with this vocab.txt or tokenizer.json / 或使用该词表文件")
    ] = None,
    pictures: data_writing.PictureFolder = None,
    columns: data_writing.Columns = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Recognise a dataset, count it, show some of it, and list what is broken / 识别、统计、抽样并列出问题

    Exit code 1 where rows or pictures cannot be used, pictures are missing, captions carry parts of speech, or a split
    holds pictures of another. Texts and pictures that come twice within a split are told, too, but are no error.
    """
    from tuwen.data.formats import open_dataset, recognise, splits

    form = form or recognise(path)
    given = data_writing.reading_options(pictures, columns)
    names = [split] if split else splits(path, form) or [""]
    datasets = {name: open_dataset(path, name, form, given) for name in names}
    others = {name: _other(name) for name in against or []}
    console.header("data inspect", f"{path}", form, ", ".join(filter(None, names)), quiet=quiet)
    looking = _looking(look, model, tokenizer, context_length)
    inspected = {name: _inspect(name, one, looking, quiet) for name, one in {**datasets, **others}.items()}
    leaked = _leaks(form, {name: inspected[name] for name in names}, {name: inspected[name] for name in others})
    reports = {name: [*inspected[name].findings, *leaked[name]] for name in names}
    if as_json:
        plain = [_plain(inspected[name], reports[name], show) for name in names]
        console.result({"path": str(path), "format": form, "splits": plain})
    else:
        _show(path, {name: inspected[name] for name in names}, reports, show)
    if any(finding.problem for findings in reports.values() for finding in findings):
        raise typer.Exit(1)


def _other(given: str) -> Dataset:
    """A dataset given as PATH or PATH:SPLIT."""
    from tuwen.data.formats import open_dataset

    path, _, split = given.rpartition(":")
    if Path(given).expanduser().exists() or not path:
        return open_dataset(given)
    return open_dataset(path, split)


def _looking(look: Pictures, model: str | None, tokenizer: Path | None, context_length: int | None) -> Looking:
    from tuwen.data.inspecting import Looking

    count, limit = _counter(model, tokenizer, context_length)
    if look is Pictures.SKIP:
        return Looking(None, count, limit)
    from tuwen.processing.decode import decode, size_of

    return Looking(size_of if look is Pictures.HEADER else decode, count, limit)


def _counter(
    model: str | None, tokenizer: Path | None, context_length: int | None
) -> tuple[Callable[[Sequence[str]], list[int]] | None, int]:
    """(texts -> tokens of each, tokens that fit, 0 without a limit)."""
    if model is None and tokenizer is None:
        if context_length is not None:
            raise UsageError("--context-length counts tokens: name who cuts texts into them, -m MODEL or --tokenizer")
        return None, 0
    if model is not None:
        from tuwen.cli.ready import ready

        processor = ready(model, tokenizer=tokenizer).processor
        cut, limit = processor.tokenizer, context_length or processor.context_length or 0
    else:
        from tuwen.processing.tokenizer import open_tokenizer

        cut, limit = open_tokenizer(str(tokenizer)), context_length or 0
    return (lambda texts: [len(row) for row in cut.ids(texts)]), limit


def _inspect(name: str, dataset: Dataset, looking: Looking, quiet: bool) -> Inspected:
    from dataclasses import replace

    from tuwen.data.inspecting import inspect

    total = len(dataset.texts) + (len(dataset.pictures) if looking.check else 0)
    with console.bar(total, " rows", quiet) as bar:
        bar.set_description(name)

        def advance(count: int) -> None:
            bar.update(count)

        return inspect(dataset, replace(looking, advance=advance))


def _leaks(form: str, splits: dict[str, Inspected], others: dict[str, Inspected]) -> dict[str, list[Finding]]:
    """Of each split, what it shares with an earlier one of which it is no part, or with what it is held against."""
    from tuwen.data.formats import share_pictures
    from tuwen.data.inspecting import leaks

    found: dict[str, list[Finding]] = {}
    for place, (name, one) in enumerate(splits.items()):
        earlier = {other: one for other, one in islice(splits.items(), place) if not share_pictures(form, other, name)}
        found[name] = [
            finding for other, with_what in {**earlier, **others}.items() for finding in leaks(one, with_what, other)
        ]
    return found


# -- what is shown ----------------------------------------------------------------------------------------------------


def _show(path: Path, inspected: dict[str, Inspected], reports: dict[str, list[Finding]], show: int) -> None:
    rows = [
        [
            one.dataset.split or "-",
            one.dataset.kind,
            *(f"{one.counts[name]:,}" for name in ("pictures", "texts", "pairs")),
            _lengths(one),
            sum(finding.problem for finding in reports[name]),
        ]
        for name, one in inspected.items()
    ]
    counts = ["pictures", "texts", "pairs"]
    console.table(["split", "kind", *counts, "text length", "problems"], rows, [*counts, "problems"])
    for name, one in inspected.items():
        for line in [*_said(one, reports[name]), *_samples(one.dataset, show, len(inspected) > 1)]:
            print(line)


def _lengths(one: Inspected) -> str:
    unit = "tokens" if "tokens" in one.lengths else "characters"
    spread = one.lengths[unit]
    return f"median {spread['median']:.0f}, longest {spread['longest']:.0f} {unit}" if spread else "-"


def _said(one: Inspected, findings: list[Finding]) -> list[str]:
    split = f"{one.dataset.split}: " if one.dataset.split else ""
    lines = [f"{split}{note}" for note in one.dataset.notes]
    for finding in findings:
        mark = "problem / 问题" if finding.problem else "note / 提示"
        lines.append(f"{split}{mark} ({finding.count:,}): {finding.what}")
        lines += [f"    {' '.join(example.split())}" for example in finding.examples]
        more = finding.count - len(finding.examples)
        lines += [f"    ... and {more:,} more / 以及更多"] * (more > 0)
    return lines


def _samples(dataset: Dataset, show: int, headed: bool) -> list[str]:
    """The first texts with their pictures; headed: under the name of the split."""
    lines = [
        f"  {sample['text_id']}  {_short(sample['text'])}  <- {', '.join(sample['image_ids']) or '-'}"
        for sample in _some(dataset, show)
    ]
    return [f"{dataset.split}: samples / 示例", *lines] if headed and lines else lines


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= SHOWN_LETTERS else f"{plain[:SHOWN_LETTERS]}..."


def _some(dataset: Dataset, show: int) -> list[dict[str, Any]]:
    return [
        {"text_id": text.id, "text": text.text, "image_ids": list(text.image_ids), "place": text.place}
        for text in islice(dataset.texts, show)
    ]


def _plain(one: Inspected, findings: list[Finding], show: int) -> dict[str, Any]:
    dataset = one.dataset
    return {
        "split": dataset.split,
        "kind": dataset.kind,
        "counts": one.counts,
        "lengths": one.lengths,
        "notes": dataset.notes,
        "findings": [
            {"name": finding.name, "count": finding.count, "what": finding.what, "problem": finding.problem}
            | {"examples": finding.examples}
            for finding in findings
        ],
        "samples": _some(dataset, show),
    }


app.command("convert", short_help="Write a dataset in another format / 转换数据集格式")(data_writing.convert)
app.command("build", short_help="What the original tools build / 构建原版工具的产物")(data_writing.build)
