"""`tuwen embed`: a folder of pictures and texts into vectors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.ready import described, ready, recipe_of

if TYPE_CHECKING:
    from tuwen.tasks.embed import Plan


def command(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="Folder of pictures and .txt files / 图片和文本文件所在的文件夹")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write or update / 输出文件夹")],
    model: options.Model = "demo",
    what: Annotated[
        options.What, typer.Option("--what", help="What to embed / 嵌入图片、文本或两者")
    ] = options.What.BOTH,
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
    """Embed a folder of pictures and texts; run again to update or go on / 嵌入文件夹中的图片和文本，可续跑和更新"""
    from tuwen.data.folder import find

    found = find(source)  # before the model: a wrong folder is answered at once
    loaded = ready(model, device, dtype, tokenizer, config)
    from tuwen.tasks import embed

    planned = embed.plan(loaded, found, output, what.value, half, overwrite)
    counts = [console.amount(len(planned.rows["image"]), "picture"), console.amount(len(planned.rows["text"]), "text")]
    console.header("embed", described(model, loaded), ", ".join(counts), quiet=quiet)
    start = time.perf_counter()
    missing = planned.missing
    up_to_date = planned.up_to_date
    if not up_to_date:
        describe = {
            "model": recipe_of(model, dtype, tokenizer, config),
            "input": str(found.root),
            "preprocessing": loaded.processor.image.to_dict(),
        }
        with console.bar(missing, " rows", quiet) as bar:

            def report(done: int, failed: int) -> None:
                bar.update(done)
                if failed:
                    bar.set_postfix(failed=failed)

            embed.run(loaded, planned, describe, batch_size, on_error.value, report)
    _show(planned, output, loaded.embedding, 0 if up_to_date else missing, as_json)
    seconds = time.perf_counter() - start
    if up_to_date:
        console.note(f"{output} is up to date / 已是最新", quiet)
    else:
        speed = f", {missing / seconds:.1f}/s" if missing else ""
        console.note(f'{missing:,} embedded in {seconds:.1f} s{speed} · tuwen search {output} "..."', quiet)
    if (output / "images.jsonl").exists() or (output / "texts.jsonl").exists():
        console.note("tables are .jsonl, pip install 'tuwen[data]' for Parquet / 表格为 .jsonl", quiet)
    console.failures([(failure.id, failure.reason) for failure in planned.failures])
    if planned.failures:
        raise typer.Exit(1)


def _show(planned: Plan, output: Path, width: int, embedded: int, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "kind": kind,
            "rows": len(rows),
            "width": width,
            "dtype": planned.dtype,
            "file": f"{output}/{kind}_features.npy",
        }
        for kind, rows in planned.rows.items()
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
