"""`tuwen eval vqa`: answers to questions about pictures, and how many people would have given them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import eval_options, eval_run
from tuwen.cli.eval_options import Asked
from tuwen.cli.eval_run import Needs, Outcome, Watch

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


@eval_options.command("protocol", "submit")
def command(
    asked: Asked,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="JSON of the model's answers, for files that do not name them / 模型的答案列表"),
    ] = None,
) -> None:
    """Answer questions about pictures, scored against people's answers / 视觉问答评测"""
    asked = replace(asked, answers=answers)

    from tuwen.data.dataset import QUESTIONS

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import vqa

        answered = vqa.predict(models[0], dataset, watch.on_error, watch.advance)
        scored = vqa.score(answered, asked.original)
        return Outcome(scored, lambda path: vqa.write_submission(path, answered))

    eval_run.run("vqa", asked, evaluate, Needs(QUESTIONS, "answer"))
