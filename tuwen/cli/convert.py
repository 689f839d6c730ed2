"""`tuwen convert`: a model into another format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tuwen.cli import console, options
from tuwen.cli.memory import keep_freed_memory

SHOWN = 5  # names of tensors that are not written


class Tower(StrEnum):
    """What of a model with two towers is written."""

    IMAGE = "image"
    TEXT = "text"


class Format(StrEnum):
    """The formats a model is written in."""

    TUWEN = "tuwen"
    TRANSFORMERS = "transformers"
    PADDLENLP = "paddlenlp"
    ORIGINAL = "original"


def command(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Name, folder or weight file / 模型名、文件夹或权重文件")
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="Folder, or .pt, .ckpt, .pth or .pdparams file / 要写的文件夹或文件")
    ],
    to: Annotated[Format, typer.Option("--to", help="Format to write / 目标格式")] = Format.TUWEN,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    tower: Annotated[
        Tower | None, typer.Option("--tower", help="This tower of a BriVL file alone / 只取 BriVL 的一个塔")
    ] = None,
    momentum: Annotated[
        bool, typer.Option("--momentum", help="The momentum copies of a BriVL file / 取 BriVL 文件中的动量副本")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Convert a model, bit for bit, into another format / 把模型逐位转换成另一种格式

    original is what the family's own code reads. What the other format does otherwise is told, measured where it
    changes numbers; what it has no place for is refused.
    """
    keep_freed_memory()
    from tuwen.formats import convert

    console.header("convert", f"{source} -> {destination}", to.value, quiet=quiet)
    of = None if tower is None else tower.value
    done = convert(source, destination, to.value, tokenizer, config, momentum, of)
    if as_json:
        files = [{"file": str(path), "size_bytes": path.stat().st_size} for path in done.files]
        console.result({"files": files, "dropped": list(done.dropped), "notes": list(done.notes)})
    else:
        rows = [[str(path), f"{path.stat().st_size / 2**20:,.1f} MiB"] for path in done.files]
        console.table(["file", "size"], rows, ["size"])
    if done.dropped:
        more = len(done.dropped) - SHOWN
        names = ", ".join(done.dropped[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
        console.note(f"left out, used by no model / 未写入: {names}", quiet)
    for note in done.notes:
        console.note(f"not the same / 不完全等价: {note}", quiet)
