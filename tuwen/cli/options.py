"""Options that several commands share, described once in both languages."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class What(StrEnum):
    """What to embed."""

    IMAGE = "image"
    TEXT = "text"
    BOTH = "both"


class OnError(StrEnum):
    """What to do about a file that cannot be read."""

    SKIP = "skip"
    FAIL = "fail"


Model = Annotated[
    str, typer.Option("--model", "-m", metavar="MODEL", help="Name, folder or weight file / 模型名、文件夹或权重文件")
]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 ... / 计算设备")]
Dtype = Annotated[str, typer.Option("--dtype", help="float32, bfloat16 or float16 / 计算精度")]
Tokenizer = Annotated[
    Path | None, typer.Option("--tokenizer", help="vocab.txt for a weight file without one / 权重文件缺少的词表")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="The family's config file or folder / 模型结构配置文件或文件夹")
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Pictures per pass / 每批图片数")]
SkipOrFail = Annotated[
    OnError, typer.Option("--on-error", help="Skip and list bad files, or stop / 遇到坏文件时跳过并列出，或停止")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No header, no progress bar / 不显示标题和进度条")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table / 输出 JSON 而不是表格")]
