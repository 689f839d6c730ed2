"""`tuwen eval vcr`: answers, reasons, and both, of one model or of one for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import eval_options, eval_run
from tuwen.cli.eval_options import Asked
from tuwen.cli.eval_run import Needs, Outcome, Watch
from tuwen.cli.vcr import Mapping
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


@eval_options.command("protocol", "submit")
def command(
    asked: Asked,
    mapping: Annotated[
        Mapping,
        typer.Option("--mapping", help="Patches of a box: as published, or of the centre crop / 框与图块的对应方式"),
    ] = Mapping.WHOLE,
) -> None:
    """Choose answers (one model), reasons (another) and both (-m twice) of VCR / 视觉常识推理评测"""
    from tuwen.data.dataset import CHOICES

    if asked.submit is not None and len(asked.models) != 2:
        raise UsageError(
            "--submit writes answers and reasons: pass a model that chooses answers and one for reasons, -m twice"
        )
    asked = replace(asked, settings={} if mapping is Mapping.WHOLE else {"mapping": mapping.value})

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import vcr

        every = asked.submit is not None
        chosen = vcr.predict(models, dataset, mapping.value, asked.original, every, watch.on_error, watch.advance)
        return Outcome(vcr.score(chosen), lambda path: vcr.write_submission(path, chosen))

    def check(models: list[Model], dataset: Dataset) -> None:
        from tuwen.evaluate import vcr

        vcr.by_task(models)
        if asked.submit is not None:
            vcr.check_choices(dataset)

    eval_run.run("vcr", asked, evaluate, Needs(CHOICES, "choose", check), [asked.models])
