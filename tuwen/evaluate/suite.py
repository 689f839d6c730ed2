"""The leaderboard on scenes: every evaluator that a model's tasks allow, on pictures that no training has seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.errors import UnsupportedTask, UsageError
from tuwen.evaluate import figures, runs, scene_sets
from tuwen.evaluate.foils import match
from tuwen.evaluate.pictures import OnError
from tuwen.evaluate.scored import Scored
from tuwen.scenes.words import LANGUAGES

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.evaluate.runs import Run
    from tuwen.model import Model

Advance = Callable[[int], object]
Evaluate = Callable[["Model", "Dataset", str, Path | None, OnError | None, Advance], Scored]


@dataclass(frozen=True)
class Part:
    """One evaluation. task: as of Scored; set: a name in `scene_sets.SETS`; needs: tasks of models, any of which is
    enough; every: one in so many of the scenes, for what takes long; figures: those that stand for it."""

    name: str
    task: str
    set: str
    needs: tuple[str, ...]
    evaluate: Evaluate
    figures: tuple[str, ...]
    every: int = 1


def _retrieval(
    model: Model, dataset: Dataset, language: str, cache: Path | None, skip: OnError | None, advance: Advance
) -> Scored:
    from tuwen.evaluate.retrieval import retrieval

    return retrieval(model, dataset, cache=cache, on_error="fail" if skip is None else "skip", advance=advance)


def _zeroshot(
    model: Model, dataset: Dataset, language: str, cache: Path | None, skip: OnError | None, advance: Advance
) -> Scored:
    from tuwen.evaluate.zeroshot import predict, score

    return score(predict(model, dataset, language=language, name="scenes", cache=cache, on_error=skip, advance=advance))


def _match(
    model: Model, dataset: Dataset, language: str, cache: Path | None, skip: OnError | None, advance: Advance
) -> Scored:
    return match(model, dataset, cache=cache, on_error=skip, advance=advance)


def _vqa(
    model: Model, dataset: Dataset, language: str, cache: Path | None, skip: OnError | None, advance: Advance
) -> Scored:
    from tuwen.evaluate.vqa import predict, score

    return score(predict(model, dataset, skip, advance))


def _vcr(
    model: Model, dataset: Dataset, language: str, cache: Path | None, skip: OnError | None, advance: Advance
) -> Scored:
    from tuwen.evaluate.vcr import predict, score

    return score(predict([model], dataset, on_error=skip, advance=advance))


def _ground(
    model: Model, dataset: Dataset, language: str, cache: Path | None, skip: OnError | None, advance: Advance
) -> Scored:
    from tuwen.evaluate.ground import ground

    return ground(model, dataset, on_error=skip, advance=advance)


KINDS_OF_MISTAKES = tuple(f"accuracy_{kind}" for kind in ("thing", "count", "background", "position"))
PARTS = (
    Part("retrieval", "retrieval", "captions", ("embed",), _retrieval, ("mean_recall",)),
    Part("things", "zeroshot", "portraits", ("classify",), _zeroshot, ("top1",)),
    Part("three", "zeroshot", "crowds", ("classify",), _zeroshot, ("top1",)),
    Part("match", "match", "foils", ("embed", "match"), _match, KINDS_OF_MISTAKES),
    Part("vqa", "vqa", "asked", ("answer",), _vqa, ("accuracy",), every=10),
    Part("vcr", "vcr", "choosing", ("choose",), _vcr, ("q_a", "qa_r"), every=10),
    Part("ground", "ground", "placed", ("ground",), _ground, ("pointing",), every=10),
)
NAMES = tuple(part.name for part in PARTS)


@dataclass(frozen=True)
class Result:
    """What one part gave, as a run, with its rows per query and its dataset."""

    part: Part
    language: str
    run: Run
    scored: Scored
    dataset: Dataset


def planned(model: Model, only: Sequence[str] = (), languages: Sequence[str] = ()) -> list[tuple[Part, str]]:
    """The parts that a model can do, in each language that it knows.

    UsageError for unknown names; UnsupportedTask where nothing is left.
    """
    unknown = [name for name in only if name not in NAMES]
    if unknown:
        raise UsageError(f"there is no part {unknown[0]!r} of the suite: it has {', '.join(NAMES)}")
    spoken = [one for one in LANGUAGES if one in model.languages and (not languages or one in languages)]
    able = [part for part in PARTS if any(need in model.tasks for need in part.needs) and part.name in (only or NAMES)]
    found = [(part, language) for part in able for language in spoken]
    if not found:
        raise UnsupportedTask(
            f"{model.name} can do nothing of the suite: its tasks are {', '.join(model.tasks) or 'none'}, its "
            f"languages {', '.join(model.languages)}; asked for were {', '.join(only or NAMES)} in "
            f"{', '.join(languages or LANGUAGES)}"
        )
    return found


def dataset_of(part: Part, language: str, split: str, count: int) -> Dataset:
    """The scenes of one part."""
    return scene_sets.SETS[part.set](split, language, max(1, count // part.every))


def set_name(part: Part, language: str) -> str:
    """What a run calls it: "scenes-match-zh"."""
    return f"scenes-{part.name}-{language}"


def evaluate(
    model: Model,
    about: Mapping[str, Any],
    part: Part,
    language: str,
    dataset: Dataset,
    cache: Path | None = None,
    on_error: OnError | None = None,
    advance: Advance = lambda _: None,
) -> Result:
    """One part of the suite. about: what a run says of the model, as `runs.of_model` gives it."""
    start = time.perf_counter()
    scored = part.evaluate(model, dataset, language, cache, on_error, advance)
    seconds = time.perf_counter() - start
    run = runs.run_of(scored, [about], runs.of_data(dataset), set_name(part, language), dataset.split, {}, seconds)
    return Result(part, language, run, scored, dataset)


# -- one table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One figure of a part in one language. runs: model, as `runs.labels` names it -> its run; of several the last."""

    name: str
    figure: str
    runs: dict[str, Run]


def overview(found: Sequence[Run]) -> list[Column]:
    """A column for each part, language and figure that runs of the suite have, in the suite's order."""
    by: dict[str, dict[str, Run]] = {}
    for run, name in sorted(zip(found, runs.labels(found), strict=True), key=lambda pair: pair[0].finished):
        by.setdefault(run.set, {})[name] = run
    columns = []
    for part, language in ((part, language) for part in PARTS for language in LANGUAGES):
        there = by.get(set_name(part, language), {})
        for figure in part.figures:
            having = {model: run for model, run in there.items() if figure in run.figures}
            if having:
                more = f" {figures.title(figure)}" if len(part.figures) > 1 else ""
                columns.append(Column(f"{part.name}{more} {language}", figure, having))
    return columns


def models(columns: Sequence[Column], found: Sequence[Run]) -> list[str]:
    """Names of the models in the order in which they were asked for."""
    return [name for name in dict.fromkeys(runs.labels(found)) if any(name in one.runs for one in columns)]
