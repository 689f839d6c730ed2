"""`tuwen eval nlvr2` and `tuwen eval snli-ve`: statements about pictures, true or false, entailed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuwen.cli import eval_options, eval_run
from tuwen.cli.eval_options import Asked
from tuwen.cli.eval_run import Needs, Outcome, Watch

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model


@eval_options.command("submit")
def nlvr2(asked: Asked) -> None:
    """Judge statements about two pictures / 双图陈述判断评测"""

    from tuwen.data.dataset import STATEMENTS

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import nlvr2

        judged = nlvr2.predict(models[0], dataset, watch.on_error, watch.advance)
        return Outcome(nlvr2.score(judged), lambda path: nlvr2.write_submission(path, judged))

    eval_run.run("nlvr2", asked, evaluate, Needs(STATEMENTS, "pair"))


@eval_options.command()
def snli_ve(asked: Asked) -> None:
    """Judge whether pictures entail sentences / 视觉蕴含评测"""

    from tuwen.data.dataset import ENTAILMENT

    def evaluate(models: list[Model], dataset: Dataset, watch: Watch) -> Outcome:
        from tuwen.evaluate import snli_ve

        return Outcome(snli_ve.score(snli_ve.predict(models[0], dataset, watch.on_error, watch.advance)))

    eval_run.run("snli_ve", asked, evaluate, Needs(ENTAILMENT, "entail"))
