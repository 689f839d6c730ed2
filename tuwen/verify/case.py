"""A recorded case: a folder of inputs with the numbers that the original code gave for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from torch import Tensor

from tuwen import checkpoint
from tuwen.data import brivl_jsonl, ernie_tsv
from tuwen.data.folder import Failure
from tuwen.errors import InputError
from tuwen.verify.compare import Tolerance

if TYPE_CHECKING:
    from tuwen.types import Picture

DESCRIPTION, TENSORS = "case.json", "expected.safetensors"
BESIDE = "images"  # the folder of its pictures, unless their names say so themselves


@dataclass(frozen=True)
class Case:
    """One folder: `settings` is its case.json, `tensors` what was recorded."""

    path: Path
    settings: dict[str, Any]
    tensors: dict[str, Tensor]
    tolerance: Tolerance
    texts: Sequence[str] = ()
    images: Sequence[Picture] = ()
    boxes: Sequence[Any] | None = field(default=None)

    @property
    def family(self) -> str:
        """As in `tuwen models`, "" where the case does not say."""
        named = str(self.settings.get("family", "")).replace("_", "-")
        return {"ernie-vil": "ernie-vil2"}.get(named, named)

    @property
    def about(self) -> str:
        """Its own word for what it is about."""
        told = self.settings.get("kind") or self.settings.get("task") or "not said"
        return "+".join(map(str, told)) if isinstance(told, list) else str(told)

    def beside(self) -> dict[str, Any]:
        """tokenizer= and config= for a weight file that has none beside it, as far as the case brings them along."""
        given: dict[str, Any] = {}
        files = self.settings.get("files", {})
        named = [self.settings.get("encoder"), files.get("vocab") if isinstance(files, dict) else None, "vocab.txt"]
        for name in (*filter(None, named), "checkpoint/roberta"):
            if (self.path / name).exists():
                given["tokenizer"] = self.path / name
                break
        told = self.settings.get("config")
        if (self.path / "model_configs").is_dir():
            given["config"] = self.path / "model_configs"
        elif "cfg" in self.settings:
            told = yaml.safe_load((self.path / self.settings["cfg"]).read_text(encoding="utf-8"))
            on_grid = self.settings.get("boxes") == "grid" or self.about == "nmi_grid"
            given["config"] = {**told, "GRID": on_grid}
        elif isinstance(told, dict) and {"vision", "text"} <= told.keys() and "num_heads" in told["vision"]:
            given["config"] = {
                key: told[key] for key in ("vision", "text")
            }  # as the research release's code takes them
        return given

    def length(self, name: str) -> int | None:
        """The length that the ids recorded under this name are padded to."""
        return self.tensors[name].shape[1] if name in self.tensors else None


def open_case(folder: Path) -> Case:
    """The case of a folder; InputError names what it lacks."""
    folder = folder.expanduser()
    for name in (DESCRIPTION, TENSORS):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is no recorded case: it has no {name}")
    try:
        settings = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        tolerance = _tolerance(settings)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{folder / DESCRIPTION} is not what describes a case: {error}") from None
    texts, images, boxes = _inputs(folder, settings)
    tensors = checkpoint.read(folder / TENSORS).tensors
    return Case(folder, settings, tensors, tolerance, texts, images, boxes)


def _tolerance(settings: dict[str, Any]) -> Tolerance:
    told = settings.get("tolerance", {})
    told = told.get("features", told)
    if told.get("exact") or "atol" not in told:
        return Tolerance()
    return Tolerance(float(told["atol"]), float(told["rtol"]), "max|expected|" in settings.get("tolerance_rule", ""))


def _inputs(folder: Path, settings: dict[str, Any]) -> tuple[list[str], list[Picture], list[Any] | None]:
    """Texts, pictures and boxes: listed in the description, or rows of an original's data file that it names."""
    texts = list(settings.get("texts", []))
    images: list[Picture] = [_picture(folder, name) for name in settings.get("images", [])]
    failures: list[Failure] = []
    files = settings.get("files", {})
    if "data" in settings:
        rows = list(brivl_jsonl.read(folder / settings["data"], failures.append, folder))
        return [row.text for row in rows], [row.image for row in rows], [row.columns["boxes"] for row in rows]
    if isinstance(files, dict) and "data" in files:
        pairs = list(ernie_tsv.read(folder / files["data"], failures.append))
        return [pair.text for pair in pairs], [pair.image for pair in pairs], None
    named = settings.get("boxes")
    boxes = [row["bbox"] for row in named] if isinstance(named, list) else None
    return texts, images, boxes


def _picture(folder: Path, name: str) -> str:
    inside = folder / BESIDE / name
    return str(inside if inside.is_file() else folder / name)


def text_length(case: Case) -> int | None:
    """Tokens that the original padded and cut every text to, None where neither ids nor settings say so."""
    recorded = case.length("input_ids") or case.length("text_ids") or case.settings.get("max_text_seqlen")
    files = case.settings.get("files", {})
    if recorded is None and isinstance(files, dict) and "config" in files:
        told = yaml.safe_load((case.path / files["config"]).read_text(encoding="utf-8"))
        recorded = told.get("max_text_seqlen")
    return recorded if isinstance(recorded, int) else None
