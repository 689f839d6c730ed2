"""`tuwen embed`: pictures and texts into vectors."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.ready import described, ready, recipe_of
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.data.folder import Found
    from tuwen.model import Model
    from tuwen.tasks.embed import Plan


class Format(StrEnum):
    """What to write."""

    TUWEN = "tuwen"
    ORIGINAL = "original"


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Folder of pictures and .txt files, a dataset, or an input file of ERNIE-ViL or BriVL / "
            "图片和文本文件所在的文件夹、数据集，或 ERNIE-ViL、BriVL 的输入文件",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write or update / 输出文件夹")],
    model: options.Model = "demo",
    what: Annotated[
        options.What, typer.Option("--what", help="What to embed / 嵌入图片、文本或两者")
    ] = options.What.BOTH,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="original: the files of the model's own tools (cross_modal_embeddings.out, np_img.npy) / "
            "original：原版工具的输出文件",
        ),
    ] = Format.TUWEN,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", help="Folder that picture names in INPUT begin at / 输入文件中图片路径的起点"),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Of a dataset that has several / 数据集的划分")] = "",
    half: Annotated[bool, typer.Option("--half", help="Keep vectors as float16 / 以 float16 存储向量")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what another model wrote there / 覆盖其他模型写的内容")
    ] = False,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    batch_size: options.BatchSize = 32,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Embed pictures and texts; run again to update or go on / 嵌入图片和文本，可续跑和更新

    INPUT, told by looking: a folder of pictures and .txt files; ERNIE-ViL 2.0's file of text, id and base64 picture
    between tabs; BriVL's data folder (imgs/ and jsonls/) or one of its .jsonl files, boxes included; a folder with its
    images.csv and texts.csv; or a dataset of pictures and captions in any format of `tuwen data`. Rows that cannot be
    used are named with file and line, and left out.
    """
    original = form is Format.ORIGINAL
    if original and (half or what is not options.What.BOTH):
        raise UsageError("--format original writes float32 vectors of pictures and texts: leave out --half and --what")
    from tuwen.data.inputs import find

    found = find(source, pictures, split)  # before the model: a wrong folder is answered at once
    loaded = ready(model, device, dtype, tokenizer, config)
    loaded.need("embed")
    _check_sides(loaded, found, what)
    if original:
        _check_original(loaded, found, output, overwrite)
    from tuwen.tasks import embed

    planned = embed.plan(loaded, found, output, what.value, half, overwrite)
    counts = [console.amount(len(planned.rows["image"]), "picture"), console.amount(len(planned.rows["text"]), "text")]
    console.header("embed", described(model, loaded), ", ".join(counts), quiet=quiet)
    start = time.perf_counter()
    missing = planned.missing
    up_to_date = planned.up_to_date and not original
    files: list[Path] = []
    if not up_to_date:
        with console.bar(missing, " rows", quiet) as bar:

            def report(done: int, failed: int) -> None:
                bar.update(done)
                if failed:
                    bar.set_postfix(failed=failed)

            embed.compute(loaded, planned, batch_size, on_error.value, report)
        if original:
            files = _write_original(loaded, planned, found)
        else:
            embed.finish(planned, loaded.embedding, _about(loaded, found, recipe_of(model, dtype, tokenizer, config)))
    _show(planned, output, loaded.embedding, 0 if up_to_date else missing, as_json, files)
    if up_to_date:
        console.note(f"{output} is up to date / 已是最新", quiet)
    else:
        next_step = "" if original else f' · tuwen search {output} "..."'
        console.note(_speed(missing, time.perf_counter() - start) + next_step, quiet)
    if (output / "images.jsonl").exists() or (output / "texts.jsonl").exists():
        console.note("tables are .jsonl, pip install 'tuwen[data]' for Parquet / 表格为 .jsonl", quiet)
    console.failures([(failure.id, failure.reason) for failure in planned.failures])
    if planned.failures:
        raise typer.Exit(1)


def _about(model: Model, found: Found, recipe: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of the model, the input and the preprocessing."""
    return {"model": recipe, "input": str(found.root), "preprocessing": model.processor.image.to_dict()}


def _speed(rows: int, seconds: float) -> str:
    return f"{rows:,} embedded in {seconds:.1f} s" + (f", {rows / seconds:.1f}/s" if rows else "")


def _check_sides(model: Model, found: Found, what: options.What) -> None:
    """Before anything is done: a file of one tower embeds one kind of rows alone."""
    for side, rows, other in (("image", found.pictures, "text"), ("text", found.texts, "image")):
        if rows and side not in model.sides and what.value != other:
            raise UsageError(f"{model.name} has the {other} tower alone: pass --what {other}")


def _check_original(model: Model, found: Found, output: Path, overwrite: bool) -> None:
    from tuwen.tasks import original

    original.check(found, original.files_of(model.family), output, overwrite)


def _write_original(model: Model, planned: Plan, found: Found) -> list[Path]:
    from tuwen.tasks import original

    return original.write(planned, found, original.files_of(model.family), model.embedding)


def _show(planned: Plan, output: Path, width: int, embedded: int, as_json: bool, files: list[Path]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "kind": kind,
            "rows": len(rows),
            "width": width,
            "dtype": planned.dtype,
            "file": str(files[min(place, len(files) - 1)] if files else f"{output}/{kind}_features.npy"),
        }
        for place, (kind, rows) in enumerate(planned.rows.items())
        if rows
    ]
    if as_json:
        failures = [{"id": failure.id, "reason": failure.reason} for failure in planned.failures]
        data = {"output": str(output), "fingerprint": planned.fingerprint, "embedded": embedded}
        console.result({**data, "parts": rows, "failures": failures})
    else:
        console.table(
            ["kind", "rows", "width", "dtype", "file"], [list(row.values()) for row in rows], ["rows", "width"]
        )
