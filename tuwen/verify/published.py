"""Compare a model with what is known of the published one: sizes, and the numbers that its authors gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from tuwen import models
from tuwen.errors import InputError, UsageError
from tuwen.formats import parameters
from tuwen.loading import read
from tuwen.sources import find
from tuwen.verify.compare import Report, Stage, Tolerance, compared

if TYPE_CHECKING:
    from tuwen.model import Model


def verify(model: Model, name: str | Path, files: Mapping[str, Path]) -> Report:
    """The sizes of its variant and its weight file, and every known number that `files` suffice for.

    name: what the model was loaded from. files: option -> file, of those that the family's `reference.FILES` describes;
    the numbers that another file would give are among `unchecked`. InputError for a model of which nothing is known,
    UsageError for a file that nothing needs.
    """
    reference = getattr(models.family(model.family), "reference", None)
    wanted = reference.FILES if reference is not None else {}
    for option in files:
        if option not in wanted:
            raise UsageError(f"--{option} is of no use for {model.name}: nothing is known that needs it")
    report = Report([*_sizes(model, reference), *(_file(reference, name) if model.variant else ())])
    if reference is not None and reference.known(model):
        with torch.inference_mode():
            report.stages += [
                compared(check, ours, theirs, Tolerance(allowed))
                for check, ours, theirs, allowed in reference.checks(model, files)
            ]
        report.unchecked = [f"--{option}: {what}" for option, what in wanted.items() if option not in files]
    if not report.stages and not report.unchecked:
        raise InputError(
            f"nothing is published about {model.name} of these sizes: give a recorded case with --case DIR"
        )
    return report


def _sizes(model: Model, reference: ModuleType | None) -> Iterator[Stage]:
    """The parameters of the published variant, or of the parts of it that the model has."""
    published = models.PUBLISHED.get(model.name)
    if hasattr(reference, "parameters"):
        assert reference is not None
        known = reference.parameters(model)
    else:
        known = None if published is None else published.parameters
    if known is not None:
        yield _exact("parameters", parameters(model.module.state_dict()), known)


def _file(reference: ModuleType | None, name: str | Path) -> Iterator[Stage]:
    """What is known of the weight file as it was published."""
    if hasattr(reference, "file_checks"):
        assert reference is not None
        for what, ours, theirs in reference.file_checks(read(find(name))[0]):
            yield _exact(what, ours, theirs)


def _exact(name: str, ours: int, theirs: int) -> Stage:
    problem = "" if ours == theirs else f"{ours:,} instead of {theirs:,}"
    return Stage(name, abs(ours - theirs), abs(ours - theirs) / theirs, 0.0, ours == theirs, problem)
