"""`tuwen eval fill`: masked words of captions, restored from the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import eval_run, options
from tuwen.cli.eval_run import Outcome, Watch

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


def command(
    name: eval_run.Set,
    model: eval_run.Models,
    data: eval_run.Data = None,
    split: eval_run.Split = "",
    seed: Annotated[int, typer.Option("--seed", help="Which words are masked / 遮盖哪些词的随机种子")] = 0,
    share: Annotated[
        float, typer.Option("--share", min=0.0, max=1.0, help="Of the tokens that are masked / 遮盖的词元比例")
    ] = 0.15,
    form: eval_run.Form = "",
    pictures: eval_run.PictureFolder = None,
    strip_pos: eval_run.StripPos = False,
    first: eval_run.First = None,
    output: eval_run.Output = None,
    skip_existing: eval_run.SkipExisting = False,
    on_error: options.SkipOrFail = options.OnError.SKIP,
    dtype: options.Dtype = "float32",
    device: options.Device = None,
    tokenizer: options.Tokenizer = None,
    config: options.Config = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Restore masked words of captions / 遮盖词填空评测"""
    settings: dict[str, float] = {"seed": seed} if seed else {}
    settings |= {"share": share} if share != 0.15 else {}
    asked = eval_run.Asked(
        set=name,
        data=data,
        split=split,
        form=form,
        pictures=pictures,
        strip_pos=strip_pos,
        first=first,
        output=output,
        skip_existing=skip_existing,
        settings=settings,
        on_error=on_error,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
    )

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate.fill import fill

        return Outcome(fill(models[0], dataset, seed, share, watch.on_error, watch.advance))

    eval_run.run("fill", [[one] for one in model], asked, evaluate)
