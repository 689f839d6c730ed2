"""`tuwen eval vcr`: answers, reasons, and both, of one model or of one for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import eval_options, eval_run
from tuwen.cli.eval_options import Asked
from tuwen.cli.eval_run import Outcome, Watch
from tuwen.cli.vcr import Mapping

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
    asked = replace(asked, settings={} if mapping is Mapping.WHOLE else {"mapping": mapping.value})

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import vcr

        every = asked.submit is not None
        chosen = vcr.predict(models, dataset, mapping.value, asked.original, every, watch.on_error, watch.advance)
        return Outcome(vcr.score(chosen), lambda path: vcr.write_submission(path, chosen))

    eval_run.run("vcr", asked, evaluate, [asked.models])
