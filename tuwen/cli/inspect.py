"""`tuwen inspect`: what a weight file or folder is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tuwen.cli import console, options


def command(
    path: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="What to look at / 要查看的文件或文件夹")],
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Say what a weight file or folder is, or why it cannot be read / 说明权重文件是什么，或为何不能读取"""
    from tuwen.formats import describe

    console.note(repr(describe(path)), quiet)
