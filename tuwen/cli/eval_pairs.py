"""`tuwen eval nlvr2` and `tuwen eval snli-ve`: statements about pictures, true or false, entailed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuwen.cli import eval_run, options
from tuwen.cli.eval_run import Outcome, Watch

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


def nlvr2(
    name: eval_run.Set,
    model: eval_run.Models,
    data: eval_run.Data = None,
    split: eval_run.Split = "",
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
    """Judge statements about two pictures / 双图陈述判断评测"""
    asked = eval_run.Asked(
        set=name,
        data=data,
        split=split,
        form=form,
        pictures=pictures,
        output=output,
        skip_existing=skip_existing,
        submit=submit,
        on_error=on_error,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
    )

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import nlvr2

        judged = nlvr2.predict(models[0], dataset, watch.on_error, watch.advance)
        return Outcome(nlvr2.score(judged), lambda path: nlvr2.write_submission(path, judged))

    eval_run.run("nlvr2", [[one] for one in model], asked, evaluate)


def snli_ve(
    name: eval_run.Set,
    model: eval_run.Models,
    data: eval_run.Data = None,
    split: eval_run.Split = "",
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
    """Judge whether pictures entail sentences / 视觉蕴含评测"""
    asked = eval_run.Asked(
        set=name,
        data=data,
        split=split,
        form=form,
        pictures=pictures,
        output=output,
        skip_existing=skip_existing,
        on_error=on_error,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
    )

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import snli_ve

        return Outcome(snli_ve.score(snli_ve.predict(models[0], dataset, watch.on_error, watch.advance)))

    eval_run.run("snli_ve", [[one] for one in model], asked, evaluate)
