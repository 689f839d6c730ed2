"""`tuwen eval vqa`: answers to questions about pictures, and how many people would have given them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="JSON of the model's answers, for files that do not name them / 模型的答案列表"),
    ] = None,
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
    """Answer questions about pictures, scored against people's answers / 视觉问答评测"""
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
        answers=answers,
        on_error=on_error,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
    )

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import vqa

        answered = vqa.predict(models[0], dataset, watch.on_error, watch.advance)
        scored = vqa.score(answered, asked.original)
        return Outcome(scored, lambda path: vqa.write_submission(path, answered))

    eval_run.run("vqa", [[one] for one in model], asked, evaluate)
