"""The program `tuwen`: its commands, and what an error becomes on the screen."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tuwen.cli import (
    classify,
    convert,
    data,
    demo,
    doctor,
    embed,
    evaluate,
    fill,
    ground,
    inspect,
    match,
    models,
    search,
    train,
    vcr,
    verify,
    vqa,
)
from tuwen.errors import TuwenError

INTERRUPTED = 130  # what shells expect after Ctrl-C


class Commands(TyperGroup):
    """All commands behind one door: an error of ours is one sentence on stderr and its exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TuwenError as error:
            _explain(ctx, error, str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("stopped / 已中断", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # `tuwen models | head`
                raise
            _explain(ctx, error, f"{error.filename or 'the system'}: {error.strerror or error}")
            raise typer.Exit(4) from None


def _explain(ctx: Any, error: Exception, sentence: str) -> None:
    if ctx.params.get("debug"):
        raise error
    typer.echo(f"tuwen: {' '.join(sentence.split())}", err=True)


app = typer.Typer(
    name="tuwen",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than everything else here together
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from tuwen import __version__

        typer.echo(f"tuwen {__version__}")
        raise typer.Exit


@app.callback()
def tuwen(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version / 显示版本")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="TUWEN_DEBUG", help="Show tracebacks of errors / 出错时显示完整堆栈")
    ] = False,
) -> None:
    """图文: vision-language models that understand Chinese and English / 懂中英文的图文模型工具箱"""


COMMANDS = (
    ("demo", demo.command, "The first minute: index and search / 第一分钟：索引与搜索"),
    ("models", models.command, "List models that load by name / 列出可按名称加载的模型"),
    ("inspect", inspect.command, "Say what a weight file is / 说明权重文件是什么"),
    ("convert", convert.command, "Write a model in another format / 转换模型格式"),
    ("verify", verify.command, "Compare with the original's numbers / 与原版数值逐级比较"),
    ("doctor", doctor.command, "Check this machine / 检查本机环境"),
    ("embed", embed.command, "Pictures and texts into vectors / 把图片和文本嵌入为向量"),
    ("search", search.command, "Search an embedded folder / 搜索已嵌入的文件夹"),
    ("classify", classify.command, "Sort pictures by labels of your own / 用自定义标签给图片分类"),
    ("match", match.command, "Does a text describe a picture? / 判断图文是否相符"),
    ("fill", fill.command, "Fill the <mask> in a text about a picture / 根据图片填空"),
    ("vqa", vqa.command, "Ask questions about pictures / 就图片提问"),
    ("ground", ground.command, "Find what a text says in a picture / 在图片中定位文字所描述的内容"),
    ("vcr", vcr.command, "Choose answers or reasons of VCR items / 视觉常识推理"),
    ("train", train.command, "Train from a recipe / 按配方训练"),
)
for name, function, short in COMMANDS:
    app.command(name, short_help=short)(function)
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="eval")


def main() -> None:
    """Run the command line and leave with its exit code: 0 done, 1 some rows failed, 2 usage, 3 model, 4 data."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show Chinese still gets the rest
    app(prog_name="tuwen")
