"""`tuwen eval vcr`: answers, reasons, and both, of one model or of one for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import eval_run, options
from tuwen.cli.eval_run import Outcome, Protocol, Watch
from tuwen.cli.vcr import Mapping

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


def command(
    name: eval_run.Set,
    model: eval_run.Models,
    data: eval_run.Data = None,
    split: eval_run.Split = "",
    mapping: Annotated[
        Mapping,
        typer.Option("--mapping", help="Patches of a box: as published, or of the centre crop / 框与图块的对应方式"),
    ] = Mapping.WHOLE,
    protocol: eval_run.Original = Protocol.OWN,
    submit: eval_run.Submit = None,
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
    """Choose answers (one model), reasons (another) and both (-m twice) of VCR / 视觉常识推理评测"""
    asked = eval_run.Asked(
        set=name,
        data=data,
        split=split,
        form=form,
        pictures=pictures,
        output=output,
        skip_existing=skip_existing,
        original=protocol is Protocol.ORIGINAL,
        submit=submit,
        settings={} if mapping is Mapping.WHOLE else {"mapping": mapping.value},
        on_error=on_error,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
    )

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import vcr

        every = submit is not None
        chosen = vcr.predict(models, dataset, mapping.value, asked.original, every, watch.on_error, watch.advance)
        return Outcome(vcr.score(chosen), lambda path: vcr.write_submission(path, chosen))

    eval_run.run("vcr", [model], asked, evaluate)
