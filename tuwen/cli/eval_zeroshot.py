"""`tuwen eval zeroshot`: pictures of classes, sorted by the names of the classes alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import eval_run, options
from tuwen.cli.eval_run import Outcome, Protocol, Watch
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


def command(
    name: eval_run.Set,
    model: eval_run.Models,
    data: eval_run.Data = None,
    split: eval_run.Split = "",
    templates: Annotated[
        str,
        typer.Option("--templates", help="auto, a kind such as flowers, or a file of texts with {} / 提示模板"),
    ] = "auto",
    language: Annotated[
        str | None, typer.Option("--language", help="zh or en, by default Chinese where known / 类别名与模板的语言")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Names of the classes, one per line / 类别名文件，每行一个")
    ] = None,
    protocol: eval_run.Original = Protocol.OWN,
    submit: eval_run.Submit = None,
    tower: Annotated[
        str, typer.Option("--tower", help="Picture tower in the file, e.g. ViT-B-16 / 提交文件中的视觉模型名")
    ] = "",
    batch_size: options.BatchSize = 32,
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
    """Sort pictures of classes by the names of the classes / 零样本分类评测"""
    if language not in (None, "zh", "en") and templates == "auto":
        raise UsageError(f"--language is {language!r}: it must be zh or en, or name --templates of your own")
    original = protocol is Protocol.ORIGINAL
    settings = {"templates": _content(templates)} if templates != "auto" else {}
    settings |= {"language": language} if language else {}
    asked = eval_run.Asked(
        set=name,
        data=data,
        split=split,
        form=form,
        pictures=pictures,
        output=output,
        skip_existing=skip_existing,
        original=original,
        submit=submit,
        settings=settings,
        on_error=on_error,
        dtype=dtype,
        device=device,
        tokenizer=tokenizer,
        config=config,
        quiet=quiet,
        as_json=as_json,
    )
    from tuwen.data.options import Options

    given = eval_run.opened(asked, Options(pictures=pictures, label_file=labels))
    set_name = eval_run.name_of(asked)

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import zeroshot

        (one,) = models
        cache = output / "features" if output else None
        predicted = zeroshot.predict(
            one, dataset, templates, language, set_name, original, batch_size, cache, watch.on_error, watch.advance
        )
        scored = zeroshot.score(predicted)

        def show() -> None:
            print(f"Result:\n{zeroshot.original_result(scored)}\nFinished.")

        def submit_to(path: Path) -> None:
            zeroshot.write_submission(path, one, predicted, set_name, tower)

        return Outcome(scored, submit_to, show if original and scored.figures else None)

    eval_run.run("zeroshot", [[one] for one in model], asked, evaluate, given, lambda of: len(of.pictures))


def _content(templates: str) -> str:
    """What a run's name says of its templates: the kind, or what is in the file, not where it lies."""
    path = Path(templates).expanduser()
    if not path.is_file():
        return templates
    from hashlib import sha256

    return f"{path.name} {sha256(path.read_bytes()).hexdigest()[:16]}"
