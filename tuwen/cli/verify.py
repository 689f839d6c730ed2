"""`tuwen verify`: is this the original's model, and does it give the original's numbers?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuwen.cli import console, options
from tuwen.cli.ready import check_device, described
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.model import Model
    from tuwen.verify.case import Case
    from tuwen.verify.compare import Report, Stage

SHOWN = 8  # names of what was not compared


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name, folder or weight file / 模型名、文件夹或权重文件")
    ],
    case: Annotated[
        Path | None,
        typer.Option(
            "--case",
            help="Folder with case.json and expected.safetensors: recompute what the original recorded / "
            "含原版记录数值的文件夹",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="COCO's 000000039769.jpg, for ERNIE-ViL 2.0's known logits / COCO 图片"),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", help="example.jsonl of BriVL, for its known cosines / BriVL 的示例 jsonl"),
    ] = None,
    image_size: Annotated[
        str | None, typer.Option("--image-size", help="Pixels, or any, where the case has another / 图片边长或 any")
    ] = None,
    device: options.Device = None,
    dtype: options.Dtype = "float32",
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare a model's numbers with the original's, stage by stage / 逐级比较模型与原版的数值

    With --case every recorded tensor that can be recomputed from the case's texts and pictures is: ids, pixels, states
    of the towers, features, scores. A line says how far ours is off at most, that as a share of the largest recorded
    number, and how far it may be off by the case's own tolerance; what was recorded but not compared is named. A
    weight file that comes without a tokenizer or its sizes takes those that lie in the case.

    Without it the model is compared with what is published about it: its parameters, the size of its file, and the
    numbers that the authors gave, some of which need --picture or --pairs. Exit code 1 where something deviates.
    """
    files = {name: path for name, path in (("picture", picture), ("pairs", pairs)) if path is not None}
    if case is not None and files:
        raise UsageError(f"a case has its own inputs: leave out --{' and --'.join(files)}, or --case")
    recorded = _open(case) if case is not None else None  # before the model: a wrong folder is answered at once
    check_device(device)
    size = int(image_size) if image_size and image_size.isdigit() else image_size
    given = {name: path for name, path in (("tokenizer", tokenizer), ("config", config)) if path is not None}
    if recorded is not None and Path(model).is_file():
        given = {**recorded.beside(), **given}
    loaded = _load(model, device=device, dtype=dtype, image_size=size, **given)
    console.header("verify", described(model, loaded), str(case or ""), quiet=quiet)
    if recorded is not None:
        from tuwen.verify import recorded as against

        report = against.verify(loaded, recorded)
    else:
        from tuwen.verify import published

        report = published.verify(loaded, model, files)
    _show(report, loaded.name, case, as_json)
    if not as_json:
        _tell(report, case is not None, quiet)
    if not report.ok:
        raise typer.Exit(1)


def _open(folder: Path) -> Case:
    from tuwen.verify.case import open_case

    return open_case(folder)


def _load(name: str, **settings: Any) -> Model:
    from tuwen.loading import load

    return load(name, **settings)


def _show(report: Report, name: str, case: Path | None, as_json: bool) -> None:
    if as_json:
        data = {"model": name, "case": None if case is None else str(case), "ok": report.ok}
        console.result({**data, "stages": [asdict(stage) for stage in report.stages], "unchecked": report.unchecked})
        return
    rows = [
        [stage.name, _number(stage.deviation), _number(stage.relative), _number(stage.allowed), _verdict(stage)]
        for stage in report.stages
    ]
    columns = ["stage", "off by", "relative", "allowed", ""]
    console.table(columns, rows, ["off by", "relative", "allowed"])


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _verdict(stage: Stage) -> str:
    if stage.ok:
        return "ok"
    return f"NOT OK: {stage.problem}" if stage.problem else "NOT OK"


def _tell(report: Report, from_case: bool, quiet: bool) -> None:
    wrong = sum(not stage.ok for stage in report.stages)
    total = console.amount(len(report.stages), "stage")
    said = f"{wrong:,} of {total} deviate / 有偏差" if wrong else f"{total}, none deviates / 全部一致"
    console.note(said, quiet)
    if report.unchecked:
        more = len(report.unchecked) - SHOWN
        names = ", ".join(report.unchecked[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
        what = "recorded, but not compared / 已记录但未比较" if from_case else "more can be compared with / 还可提供"
        console.note(f"{what}: {names}", quiet)
