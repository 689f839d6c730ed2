"""Recompute what a recorded case holds with a model, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from tuwen.errors import InputError
from tuwen.verify import fusing, regions, two_towers
from tuwen.verify.case import Case
from tuwen.verify.compare import Report, compared

if TYPE_CHECKING:
    from tuwen.model import Model

# Of every family what recomputes its cases: they are in the words of its original code.
STAGES: dict[str, Callable[[Any, Case], Iterator[tuple[str, Any, Any]]]] = {
    "chinese-clip": two_towers.stages,
    "ernie-vil2": two_towers.stages,
    "brivl": regions.stages,
    "bridgetower": fusing.bridgetower,
    "vle": fusing.vle,
}


def verify(model: Model, case: Case) -> Report:
    """Every recorded tensor that the model's family can recompute, in the order of the computation.

    InputError for a case of another family, or one of whose numbers nothing can be recomputed.
    """
    if case.family and case.family != model.family:
        raise InputError(f"{case.path} is a case of {case.family}, the model is of {model.family}")
    report = Report()
    seen: set[str] = set()
    with torch.inference_mode():
        for name, ours, mask in STAGES[model.family](model, case):
            if name in case.tensors and name not in seen:
                seen.add(name)
                report.stages.append(compared(name, ours, case.tensors[name], case.tolerance, mask))
    report.unchecked = sorted(case.tensors.keys() - seen)
    if not report.stages:
        raise InputError(
            f"{case.path} records nothing that is recomputed here (it is about {case.about}): give a case of a model's "
            "features, states or scores"
        )
    return report
