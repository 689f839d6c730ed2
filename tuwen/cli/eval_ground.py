"""`tuwen eval ground`: does the patch that a model points at lie in the boxes of what a text says?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuwen.cli import eval_run, options
from tuwen.cli.eval_run import Outcome, Protocol, Watch

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


def command(
    name: eval_run.Set,
    model: eval_run.Models,
    data: eval_run.Data = None,
    split: eval_run.Split = "",
    protocol: eval_run.Original = Protocol.OWN,
    form: eval_run.Form = "",
    pictures: eval_run.PictureFolder = None,
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
    """Point at what texts say, compared with boxes / 定位评测"""
    asked = eval_run.Asked(
        set=name,
        data=data,
        split=split,
        form=form,
        pictures=pictures,
        output=output,
        skip_existing=skip_existing,
        original=protocol is Protocol.ORIGINAL,
        on_error=on_error,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
    )

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate.ground import ground

        return Outcome(ground(models[0], dataset, asked.original, watch.on_error, watch.advance))

    eval_run.run("ground", [[one] for one in model], asked, evaluate)
