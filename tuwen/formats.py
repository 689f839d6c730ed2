"""What a weight file is, and the way from one published format to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from tuwen import checkpoint, models
from tuwen.errors import CheckpointError, TuwenError, UsageError
from tuwen.loading import TOWERS, beside, empty, find, read, recognise, sizes_of, take_apart, to_ours
from tuwen.writing import write_original, write_own, write_paddlenlp, write_transformers

WRITERS = {
    "tuwen": write_own,
    "transformers": write_transformers,
    "paddlenlp": write_paddlenlp,
    "original": write_original,
}


@dataclass(frozen=True)
class Description:
    """What a path is, for people and for machines.

    kind, container, detail: as `checkpoint.look` says; reason: why it cannot be used, "" where it can.
    family, format, variant: what it is a model of, where that is recognised; sizes: the model's own config; heads: of
    the file, with the widths of their layers; answers: how many are named; tasks: what the model can do.
    parameters: numbers in its tensors; dtypes: tensors of each type; dropped: names that loading leaves out; momentum:
    whether it holds copies of the encoders that `tuwen.load(momentum=True)` takes in their place.
    """

    path: str
    kind: str
    container: str = ""
    detail: str = ""
    reason: str = ""
    family: str = ""
    format: str = ""
    variant: str = ""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    heads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    answers: int = 0
    tasks: tuple[str, ...] = ()
    parameters: int = 0
    tensors: int = 0
    dtypes: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    momentum: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether `tuwen.load` takes it, with the tokenizer and config that it may need."""
        return not self.reason


def describe(
    path: str | Path,
    config: str | Path | Mapping[str, Any] | None = None,
    tokenizer: str | Path | None = None,
) -> Description:
    """What this file or folder is; never raises for what it finds there.

    tokenizer: its folder, whose config.json tells sizes of the text tower that some files do not.
    """
    path = Path(path)
    seen = checkpoint.look(path)
    known: dict[str, Any] = {"path": str(path), "kind": seen.kind, "container": seen.container, "detail": seen.detail}
    if seen.reason:
        return Description(**known, reason=seen.reason)
    known |= {"dtypes": dict(seen.dtypes), "tensors": len(seen.shapes), "extra": dict(seen.extra)}
    try:
        source = find(path)
        tensors, extra = read(source)
        family, form = recognise(tensors, source)
        known |= {"family": family, "format": form}
        module_of = models.family(family)
        known["momentum"] = _has_momentum(module_of, tensors)
        sizes = sizes_of(module_of, form, config, source, tensors, extra, beside(tokenizer))
        ours, dropped = to_ours(tensors, module_of, form, sizes)
        empty(module_of, sizes, ours, source.weights.name)
        told = module_of.config_to_dict(sizes)
        for absent in set(TOWERS) - set(getattr(sizes, "towers", TOWERS)):
            del told[absent]
        known |= {
            "parameters": parameters(ours),
            "dropped": tuple(dropped),
            "heads": {name: tuple(widths) for name, widths in told.pop("heads", {}).items()},
            "answers": len(told.pop("answers", ())),
            "tasks": tuple(module_of.tasks(sizes)),
            "variant": module_of.variant_of(sizes) or "",
            "sizes": told,
        }
        return Description(**known)
    except TuwenError as error:
        return Description(**known, reason=str(error))


def _has_momentum(module_of: ModuleType, tensors: Mapping[str, Tensor]) -> bool:
    try:
        return hasattr(module_of, "momentum") and bool(module_of.momentum(tensors))
    except CheckpointError:
        return False


def parameters(ours: Mapping[str, Tensor]) -> int:
    """Numbers that training would change: running statistics are not counted."""
    return sum(tensor.numel() for name, tensor in ours.items() if "running_" not in name and "num_batches" not in name)


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote, which tensors of the source are not in it, and what the other format does otherwise."""

    files: tuple[Path, ...]
    dropped: tuple[str, ...]
    notes: tuple[str, ...] = ()


def convert(
    source: str | Path,
    destination: str | Path,
    to: str = "tuwen",
    tokenizer: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    momentum: bool = False,
    tower: str | None = None,
) -> Converted:
    """Write a model in another format: tensors keep their bits and types, only names and orientation change.

    source: whatever `tuwen.load` takes; tokenizer, config, momentum and tower are as there. to: "tuwen", "transformers"
    and "paddlenlp" (ERNIE-ViL 2.0) write a folder; "original" writes what the family's own code reads: for Chinese-CLIP
    a .pt file with vocab.txt beside it (and a folder model_configs, where the file alone would not tell the sizes), for
    BridgeTower and METER a .ckpt file with RoBERTa's files beside it, for VLE a folder, the same as "transformers", for
    ERNIE-ViL 2.0 the research release's .pdparams file with vocab.txt and the JSON file of its text tower, for BriVL a
    .pth file with its YAML configuration and the text encoder's config.json and vocab.txt.

    Where the other format cannot say exactly what this model computes, but nearly, it is written all the same, and
    `notes` say how far its scores are off; CheckpointError for a model that the format has no place for. UsageError
    if `destination` exists, or for a format that does not exist.
    """
    if to not in WRITERS:
        raise UsageError(f"to is {to!r}: it must be one of {', '.join(WRITERS)}")
    destination = Path(destination)
    if destination.exists():
        raise UsageError(f"{destination} exists already: choose another place, or remove it first")
    parts = take_apart(find(source), tokenizer, config, momentum, tower)
    origin = Path(tokenizer) if tokenizer is not None else parts.source.folder
    written = WRITERS[to](parts, destination, origin)
    return Converted(tuple(written.files), (*parts.dropped, *written.dropped), tuple(written.notes))
