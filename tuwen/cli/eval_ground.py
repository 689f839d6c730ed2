"""`tuwen eval ground`: does the patch that a model points at lie in the boxes of what a text says?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuwen.cli import eval_options, eval_run
from tuwen.cli.eval_options import Asked
from tuwen.cli.eval_run import Needs, Outcome, Watch

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


@eval_options.command("protocol")
def command(asked: Asked) -> None:
    """Point at what texts say, compared with boxes / 定位评测"""

    from tuwen.data.dataset import PAIRS

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate.ground import ground

        return Outcome(ground(models[0], dataset, asked.original, watch.on_error, watch.advance))

    eval_run.run("ground", asked, evaluate, Needs(PAIRS, "ground"))
