"""`tuwen convert`: a model into another format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tuwen.cli import console, options
from tuwen.cli.memory import keep_freed_memory


class Format(StrEnum):
    """The formats a model is written in."""

    TUWEN = "tuwen"
    TRANSFORMERS = "transformers"
    ORIGINAL = "original"


def command(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Name, folder or weight file / 模型名、文件夹或权重文件")
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="Folder, or .pt or .ckpt file / 要写的文件夹或文件")
    ],
    to: Annotated[Format, typer.Option("--to", help="Format to write / 目标格式")] = Format.TUWEN,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Convert a model, bit for bit, into another format / 把模型逐位转换成另一种格式"""
    keep_freed_memory()
    from tuwen.formats import convert

    console.header("convert", f"{source} -> {destination}", to.value, quiet=quiet)
    done = convert(source, destination, to.value, tokenizer=tokenizer, config=config)
    if as_json:
        files = [{"file": str(path), "size_bytes": path.stat().st_size} for path in done.files]
        console.result({"files": files, "dropped": list(done.dropped), "notes": list(done.notes)})
    else:
        rows = [[str(path), f"{path.stat().st_size / 2**20:,.1f} MiB"] for path in done.files]
        console.table(["file", "size"], rows, ["size"])
    if done.dropped:
        console.note(f"left out, used by no model / 未写入: {', '.join(done.dropped)}", quiet)
    for note in done.notes:
        console.note(f"not the same / 不完全等价: {note}", quiet)
