"""`tuwen classify`: which of these labels says best what each picture shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.ready import described, ready
from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.data.folder import PictureFile
    from tuwen.model import Model
    from tuwen.tasks.classify import Label

Rows = list[tuple[str, list["Label"]]]


def command(
    pictures: Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder or picture / 图片或文件夹")],
    labels: Annotated[
        str, typer.Option("--labels", help="File with a label per line, or a,b,c / 每行一个标签的文件，或逗号分隔")
    ],
    model: options.Model = "demo",
    templates: Annotated[
        str, typer.Option("--templates", help="zh, en, or a file of texts with {} / 提示模板：zh、en 或文件")
    ] = "zh",
    k: Annotated[int, typer.Option("-k", min=1, help="Labels per picture / 每张图显示的标签数")] = 3,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a .csv or .jsonl instead / 写入 .csv 或 .jsonl")
    ] = None,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    batch_size: options.BatchSize = 32,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Classify pictures by labels of your own, without training / 用自定义标签给图片分类，无需训练"""
    if output is not None and output.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"the output {output} must end in .csv or .jsonl")
    from tuwen.data.folder import find

    names = read_labels(labels)
    wordings = _templates(templates)
    found = find(pictures)
    if not found.pictures and not found.failures:
        raise InputError(f"{pictures} holds no pictures")
    loaded = ready(model, device, dtype, tokenizer, config)
    loaded.need("classify")
    counts = f"{console.amount(len(found.pictures), 'picture')}, {console.amount(len(names), 'label')}"
    console.header("classify", described(model, loaded), counts, quiet=quiet)
    failed = [(failure.id, failure.reason) for failure in found.failures]
    rows = _classify(loaded, found.pictures, names, wordings, k, batch_size, on_error, failed, quiet)
    if output is not None:
        write(output, rows)
        console.note(f"{console.amount(len(rows), 'picture')} -> {output}", quiet)
    elif as_json:
        data = [{"picture": name, "labels": [_plain(label) for label in best]} for name, best in rows]
        console.result({"pictures": data, "failures": [{"id": name, "reason": why} for name, why in failed]})
    else:
        best_first = [f"{rank}" for rank in range(1, min(k, len(names)) + 1)]
        shown = [[name, *(f"{label.name} {label.probability:.1%}" for label in best)] for name, best in rows]
        console.table(["picture", *best_first], shown)
    console.failures(failed)
    if failed:
        raise typer.Exit(1)


def _classify(
    model: Model,
    pictures: Sequence[PictureFile],
    labels: Sequence[str],
    templates: Any,
    k: int,
    batch_size: int,
    on_error: options.OnError,
    failed: list[tuple[str, str]],
    quiet: bool,
) -> Rows:
    """(picture, its labels) for each that could be read; the others are added to `failed`."""
    import torch

    numbers: list[int] = []
    features = []
    with console.bar(len(pictures), " pictures", quiet) as bar:

        def skip(number: int, error: InputError) -> None:
            failed.append((pictures[number].id, str(error)))
            bar.update(1)
            bar.set_postfix(failed=len(failed))

        paths = [picture.source for picture in pictures]
        told = skip if on_error is options.OnError.SKIP else None
        for done, batch in model.embed_images(paths, batch_size, on_error=told):
            numbers += done
            features.append(batch)
            bar.update(len(done))
    if not features:
        raise InputError(f"no picture could be read; the first: {failed[0][1]}")
    best = model.classify(torch.cat(features), labels, templates, k)
    return [(pictures[number].id, found) for number, found in zip(numbers, best, strict=True)]


def read_labels(given: str) -> list[str]:
    """Labels from a file, one per line, or from the option itself, separated by commas.

    InputError for a file that is missing, has none, or has one twice; UsageError for the same in the option.
    """
    from tuwen.data.folder import read_lines
    from tuwen.tasks.classify import check_labels

    path = Path(given).expanduser()
    if not path.is_file():
        if path.suffix == ".txt" or "/" in given or "\\" in given:
            raise InputError(f"there is no label file {given}: expected a text file with one label per line")
        labels = [label.strip() for label in given.replace("，", ",").split(",")]
        check_labels(labels)
        return labels
    lines = read_lines(path)
    if not lines:
        raise InputError(f"{path} holds no labels: expected one per line")
    first: dict[str, int] = {}
    for number, label in lines:
        if label in first:
            raise InputError(f"{path} has the label {label!r} twice, in lines {first[label]} and {number}: keep one")
        first[label] = number
    return list(first)


def _templates(given: str) -> str | list[str]:
    from tuwen.data.folder import read_lines
    from tuwen.tasks.classify import wordings

    path = Path(given).expanduser()
    if path.is_file():
        lines = [text for _, text in read_lines(path)]
        if not lines:
            raise InputError(f"{path} holds no templates: expected one per line, each with {{}} for the label")
        return list(wordings(lines))
    if path.suffix == ".txt":
        raise InputError(
            f"there is no template file {given}: expected zh, en or a text file with one template per line"
        )
    return list(wordings(given))


def write(path: Path, rows: Rows) -> None:
    """A line per picture (.jsonl), or a line per picture and label (.csv); the file appears whole."""
    from tuwen.checkpoint import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("x", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            for name, best in rows:
                line = {"picture": name, "labels": [_plain(label) for label in best]}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        else:
            table = csv.writer(file)
            table.writerow(["picture", "rank", "label", "probability", "cosine"])
            for name, best in rows:
                for rank, label in enumerate(map(_plain, best), 1):
                    table.writerow([name, rank, label["label"], label["probability"], label["cosine"]])


def _plain(label: Label) -> dict[str, Any]:
    return {"label": label.name, "probability": round(label.probability, 6), "cosine": round(label.cosine, 6)}
