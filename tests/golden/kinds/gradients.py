"""Gradients under the names of the published files."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from torch import Tensor, nn

from tests.golden.case import Expected
from tuwen import keymap


def gradients(module: nn.Module, loss: Tensor, family: ModuleType, form: str) -> dict[str, Tensor]:
    """Their name -> gradient of the loss, for every parameter that the loss depends on."""
    module.zero_grad()
    loss.backward(retain_graph=True)
    ours = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}
    return keymap.store(ours, family.KEYS[form])


def check_some_norms(expected: Expected, start: str, found: dict[str, Tensor], drop: str = "") -> None:
    """Every `start` + name is the norm of that parameter's gradient; `drop` begins names that carry a prefix more."""
    rtol = float(expected.tolerance.get("grad_rtol", expected.rtol))
    for key in expected.keys(start):
        name = key.removeprefix(start)
        gradient = found.get(name, found.get(name.removeprefix(drop)))
        if gradient is None:
            expected.tensor(key)
            expected.differences.append(f"{key}: nothing of ours has a gradient of that name")
        else:
            expected.compare(key, gradient.norm(), expected.tensor(key), expected.atol, rtol)


def check_all_norms(expected: Expected, key: str, names: Sequence[str], found: dict[str, Tensor]) -> None:
    """`key` holds the norms of exactly the parameters that `names` lists, in that order."""
    theirs = dict(zip(names, expected.tensor(key), strict=True))
    rtol = float(expected.tolerance.get("grad_rtol", expected.rtol))
    expected.same(f"{key} names", sorted(found), sorted(theirs))
    for name in found.keys() & theirs.keys():
        expected.compare(f"{key} {name}", found[name].norm(), theirs[name], expected.atol, rtol)
