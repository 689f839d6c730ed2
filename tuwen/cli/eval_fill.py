"""`tuwen eval fill`: masked words of captions, restored from the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from tuwen.cli import eval_options, eval_run
from tuwen.cli.eval_options import Asked
from tuwen.cli.eval_run import Needs, Outcome, Watch

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


@eval_options.command("strip_pos", "first")
def command(
    asked: Asked,
    seed: Annotated[int, typer.Option("--seed", help="Which words are masked / 遮盖哪些词的随机种子")] = 0,
    share: Annotated[
        float, typer.Option("--share", min=0.0, max=1.0, help="Of the tokens that are masked / 遮盖的词元比例")
    ] = 0.15,
) -> None:
    """Restore masked words of captions / 遮盖词填空评测"""
    settings: dict[str, float] = {"seed": seed} if seed else {}
    settings |= {"share": share} if share != 0.15 else {}
    asked = replace(asked, settings=settings)

    from tuwen.data.dataset import PAIRS

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate.fill import fill

        return Outcome(fill(models[0], dataset, seed, share, watch.on_error, watch.advance))

    eval_run.run("fill", asked, evaluate, Needs(PAIRS, "fill"))
