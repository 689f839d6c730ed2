"""`tuwen eval zeroshot`: pictures of classes, sorted by the names of the classes alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import eval_options, eval_run, options
from tuwen.cli.eval_options import Asked
from tuwen.cli.eval_run import Needs, Outcome, Watch
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


@eval_options.command("protocol", "submit")
def command(
    asked: Asked,
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
    tower: Annotated[
        str, typer.Option("--tower", help="Picture tower in the file, e.g. ViT-B-16 / 提交文件中的视觉模型名")
    ] = "",
    batch_size: options.BatchSize = 32,
) -> None:
    """Sort pictures of classes by the names of the classes / 零样本分类评测"""
    if language not in (None, "zh", "en") and templates == "auto":
        raise UsageError(f"--language is {language!r}: it must be zh or en, or name --templates of your own")
    settings = {"templates": _content(templates)} if templates != "auto" else {}
    settings |= {"language": language} if language else {}
    asked = replace(asked, settings=settings)
    from tuwen.data.dataset import CLASSES
    from tuwen.data.options import Options

    given = eval_run.opened(asked, Options(pictures=asked.pictures, label_file=labels, original=asked.original))
    set_name = eval_run.name_of(asked)

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import zeroshot

        (one,) = models
        how = (asked.original, batch_size, asked.features, watch.on_error, watch.advance)
        predicted = zeroshot.predict(one, dataset, templates, language, set_name, *how)
        scored = zeroshot.score(predicted)

        def show() -> None:
            print(f"Result:\n{zeroshot.original_result(scored)}\nFinished.")

        def submit_to(path: Path) -> None:
            zeroshot.write_submission(path, one, predicted, set_name, tower)

        return Outcome(scored, submit_to, show if asked.original and scored.figures else None)

    eval_run.run(
        "zeroshot", asked, evaluate, Needs(CLASSES, "classify"), given=given, total=lambda of: len(of.pictures)
    )


def _content(templates: str) -> str:
    """What a run's name says of its templates: the kind, or what is in the file, not where it lies."""
    path = Path(templates).expanduser()
    if not path.is_file():
        return templates
    from hashlib import sha256

    return f"{path.name} {sha256(path.read_bytes()).hexdigest()[:16]}"
