"""Golden cases: folders of inputs with the numbers that the original code gave for them."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

DESCRIPTION = "case.json"
LIST = "list"  # the name of the only value of an expected.json that is a list
SIGNS = (DESCRIPTION, "expected.json", "expected.safetensors")  # a folder with any of these is meant to be a case


@dataclass(frozen=True)
class Case:
    """One folder: `settings` is its case.json, `problem` says why that cannot be read."""

    path: Path
    settings: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def family(self) -> str:
        return str(self.settings.get("family", self.path.parent.name))

    @property
    def kind(self) -> str:
        """What the case is about; see `kind_of`."""
        return kind_of(self.settings)

    @property
    def images(self) -> list[Path]:
        return [self.path / "images" / name for name in self.settings["images"]]

    @property
    def texts(self) -> list[str]:
        texts: list[str] = self.settings["texts"]
        return texts

    def __str__(self) -> str:
        return f"{self.family}/{self.path.name}"


def kind_of(settings: dict[str, Any]) -> str:
    """What a description is about: its own word for that, or else its task, or tasks joined by +; "" without any."""
    if "kind" in settings:
        return str(settings["kind"])
    task = settings.get("task", "")
    return "+".join(map(str, task)) if isinstance(task, list) else str(task)


def read_case(path: Path) -> Case:
    """The case of a folder; what is wrong with its description becomes its `problem`."""
    try:
        settings = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Case(path, problem=f"{DESCRIPTION} cannot be read: {error}")
    if not isinstance(settings, dict):
        return Case(path, problem=f"{DESCRIPTION} holds {type(settings).__name__}, expected an object")
    return Case(path, settings)


def find_cases(root: Path) -> list[Case]:
    """Every case of a folder of families, of one family's folder, or of a folder that is itself a case."""
    folders = (root, *_below(root), *(inner for folder in _below(root) for inner in _below(folder)))
    return [read_case(folder) for folder in folders if any((folder / sign).is_file() for sign in SIGNS)]


def _below(folder: Path) -> Iterator[Path]:
    yield from sorted(entry for entry in folder.iterdir() if entry.is_dir())


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    names = [sorted(file.relative_to(root) for file in root.rglob("*") if file.is_file()) for root in (one, other)]
    return names[0] == names[1] and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names[0])


class Expected:
    """The original's numbers for a case. Each must be asked for, and every difference is kept until the end."""

    def __init__(self, case: Case) -> None:
        tensors, values = case.path / "expected.safetensors", case.path / "expected.json"
        if not tensors.is_file() and not values.is_file():
            raise AssertionError(f"{case.path} has neither {tensors.name} nor {values.name}: there is nothing to check")
        # A case may have numbers of one sort only.
        self.tensors = load_file(tensors) if tensors.is_file() else {}
        found = json.loads(values.read_text(encoding="utf-8")) if values.is_file() else {}
        self.values: dict[str, Any] = {LIST: found} if isinstance(found, list) else found
        self.tolerance: dict[str, Any] = case.settings["tolerance"]
        # Without numbers of its own a case is exact, but for what its check takes from `tolerance` by name.
        exact = self.tolerance.get("exact", False) or "atol" not in self.tolerance
        self.atol, self.rtol = (0.0, 0.0) if exact else (float(self.tolerance["atol"]), float(self.tolerance["rtol"]))
        # BriVL's: max|ours - theirs| <= atol + rtol * max|theirs|, and whole numbers exactly.
        self.of_largest = "max|expected|" in case.settings.get("tolerance_rule", "")
        self.unused = {*self.tensors, *self.values}
        self.differences: list[str] = []

    def keys(self, start: str) -> list[str]:
        """The names of tensors and values that begin with `start`."""
        return [key for key in (*self.tensors, *self.values) if key.startswith(start)]

    def __contains__(self, key: str) -> bool:
        return key in self.tensors or key in self.values

    def tensor(self, key: str) -> Tensor:
        self._must_have(key, self.tensors, "expected.safetensors")
        self.unused.discard(key)
        return self.tensors[key]

    def value(self, key: str) -> Any:
        self._must_have(key, self.values, "expected.json")
        self.unused.discard(key)
        return self.values[key]

    def _must_have(self, key: str, numbers: dict[str, Any], name: str) -> None:
        if key not in numbers:
            raise AssertionError(
                f"{name} has no {key} among its {len(numbers)} entries (expected.safetensors has {len(self.tensors)}, "
                f"expected.json {len(self.values)})"
            )

    def close(self, key: str, ours: Tensor, what: str = "") -> None:
        """`ours` is the expected tensor, within the case's tolerance; `what` names one of several ways to it."""
        self.compare(f"{key} {what}".strip(), ours, self.tensor(key), self.atol, self.rtol)

    def equal(self, key: str, ours: Any, what: str = "") -> None:
        """`ours` is the expected tensor or value, exactly."""
        if key in self.tensors:
            self.compare(f"{key} {what}".strip(), ours, self.tensor(key), 0, 0)
        else:
            self.same(f"{key} {what}".strip(), ours, self.value(key))

    def close_value(self, key: str, ours: Any, what: str = "") -> None:
        """Plain data of the same form as the expected value, its numbers within the case's tolerance."""
        self._close_values(f"{key} {what}".strip(), ours, self.value(key))

    def _close_values(self, what: str, ours: Any, theirs: Any) -> None:
        if isinstance(theirs, dict) and isinstance(ours, dict) and ours.keys() == theirs.keys():
            for name, value in theirs.items():
                self._close_values(f"{what}.{name}", ours[name], value)
        elif isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
            for place, value in enumerate(theirs):
                self._close_values(f"{what}[{place}]", ours[place], value)
        elif isinstance(theirs, float) and isinstance(ours, float):
            self.compare(what, torch.tensor(ours).double(), torch.tensor(theirs).double(), self.atol, self.rtol)
        else:
            self.same(what, ours, theirs)

    def compare(self, what: str, ours: Tensor, theirs: Tensor, atol: float, rtol: float) -> None:
        """Two tensors, in whatever floating type theirs is."""
        ours = ours.detach()
        if self.of_largest:
            exact = not theirs.is_floating_point() or not theirs.numel()
            atol, rtol = (0.0 if exact else atol + rtol * theirs.abs().max().item()), 0.0
        try:
            torch.testing.assert_close(ours.to(theirs.dtype), theirs, atol=atol, rtol=rtol)
        except AssertionError as error:
            self.differences.append(f"{what}: {' '.join(str(error).split())}")

    def same(self, what: str, ours: Any, theirs: Any) -> None:
        """Two plain values."""
        if ours != theirs:
            self.differences.append(f"{what}: {_short(ours)} instead of {_short(theirs)}")

    def finish(self) -> None:
        """AssertionError with every difference, and every number that nothing was compared with."""
        wrong = [*self.differences, *(f"nothing checks {key}" for key in sorted(self.unused))]
        if wrong:
            raise AssertionError(
                f"{len(wrong)} of {len(self.tensors) + len(self.values)} are not as the original's:\n"
                + "\n".join(wrong)
            )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]} ..."
