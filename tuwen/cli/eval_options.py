"""The options that the commands of `tuwen eval` share, and what was typed for them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatch
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from tuwen.cli import options
from tuwen.errors import UsageError


class Protocol(StrEnum):
    """Whose definitions count."""

    OWN = "own"
    ORIGINAL = "original"


Set = Annotated[
    str, typer.Argument(metavar="SET", help="A dataset, or a name for the one in --data / 数据集路径或名称")
]
Data = Annotated[Path | None, typer.Option("--data", help="Folder or file of the dataset / 数据集所在位置")]
Split = Annotated[str, typer.Option("--split", help="Which split, where there are several / 数据集划分")]
Form = Annotated[str, typer.Option("--from", metavar="FORMAT", help="Its format, else told by looking / 数据集格式")]
PictureFolder = Annotated[
    Path | None, typer.Option("--pictures", help="Folder that picture names begin at / 图片路径的起点")
]
Models = Annotated[
    list[str],
    typer.Option("--model", "-m", metavar="MODEL", help="Name, folder or weight file; several compare / 模型，可多个"),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="RUNS", help="Folder to keep the runs in / 结果文件夹")
]
Original = Annotated[Protocol, typer.Option("--protocol", help="Ours, or exactly as the original's script / 评测协议")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Take runs that are in RUNS already / 跳过已有结果")
]
StripPos = Annotated[
    bool, typer.Option("--strip-pos", help='Captions without parts of speech ("男人/n 骑/v") / 去掉词性标注')
]
First = Annotated[
    int | None, typer.Option("--first", min=1, metavar="N", help="Only the first pictures / 只用前 N 张图片")
]
Submit = Annotated[
    Path | None, typer.Option("--submit", metavar="FILE", help="Write the file for the judges / 写出提交文件")
]


@dataclass(frozen=True)
class Asked:
    """What the user typed: the options that commands share, see `command`.

    tokenizers: of models that have another than `tokenizer`; settings: options of the evaluator beyond its defaults,
    which tell one run from another.
    """

    set: Set
    models: Models
    data: Data = None
    split: Split = ""
    protocol: Original = Protocol.OWN
    submit: Submit = None
    form: Form = ""
    pictures: PictureFolder = None
    strip_pos: StripPos = False
    first: First = None
    output: Output = None
    skip_existing: SkipExisting = False
    on_error: options.SkipOrFail = options.OnError.SKIP
    dtype: options.Dtype = "float32"
    device: options.Device = None
    tokenizer: options.Tokenizer = None
    config: options.Config = None
    quiet: options.Quiet = False
    as_json: options.AsJson = False
    answers: Path | None = None
    tokenizers: Mapping[str, Path | None] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", [name for asked in self.models for name in _published(asked)])

    @property
    def original(self) -> bool:
        """Whether the original's definitions count."""
        return self.protocol is Protocol.ORIGINAL

    @property
    def features(self) -> Path | None:
        """Where features are kept."""
        return self.output / "features" if self.output else None

    @property
    def options(self) -> dict[str, Any]:
        """What a run's name hangs on."""
        protocol = {"protocol": Protocol.ORIGINAL.value} if self.original else {}
        first = {"first": self.first} if self.first is not None else {}
        return {**protocol, **first, **self.settings}


def _published(asked: str) -> list[str]:
    """The published names that a pattern such as chinese-clip/* means, or what was typed."""
    if "*" not in asked:
        return [asked]
    from tuwen.models import PUBLISHED

    found = [name for name in PUBLISHED if fnmatch(name, asked)]
    if not found:
        raise UsageError(f"no published model is called {asked}: `tuwen models` lists them")
    return found


FIRST = ("set", "models", "data", "split")  # options of every command, before its own
LAST = (  # and after
    *("form", "pictures", "output", "skip_existing", "on_error"),
    *("dtype", "device", "tokenizer", "config", "quiet", "as_json"),
)


def command(*some: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a function of `Asked` and options of its own into a command of these and of the shared options.

    some: those of protocol, submit, strip_pos and first that it takes.
    """
    kinds = get_type_hints(Asked, include_extras=True)
    defaults = {one.name: Parameter.empty if one.default is MISSING else one.default for one in fields(Asked)}

    def parameters(names: Iterable[str]) -> list[Parameter]:
        return [
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=kinds[name], default=defaults[name]) for name in names
        ]

    def around(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        shared = (*FIRST, *some, *LAST)

        @functools.wraps(function)
        def typed(**given: Any) -> None:
            asked = Asked(**{name: given.pop(name) for name in shared})
            function(asked, **given)

        its_own = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own]
        all_of_them = [*parameters(FIRST), *its_own, *parameters((*some, *LAST))]
        typed.__signature__ = inspect.Signature(all_of_them)  # type: ignore[attr-defined]
        typed.__annotations__ = {}  # which Typer would take instead
        return typed

    return around
