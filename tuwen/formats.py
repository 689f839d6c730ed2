"""What a weight file is, and the way from one published format to another."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from tuwen import checkpoint, keymap, models
from tuwen.checkpoint import bare, strip_prefix
from tuwen.errors import CheckpointError, TuwenError, UsageError
from tuwen.loading import (
    Source,
    beside,
    find,
    find_tokenizer,
    preprocessor,
    recognise,
    shapes_of,
    sizes_of,
    to_ours,
)
from tuwen.processing.processor import Processor
from tuwen.saving import CONFIG, WEIGHTS, write_folder, write_json

FORMATS = ("tuwen", "transformers", "original")


@dataclass(frozen=True)
class Description:
    """What a path is, for people and for machines.

    kind, container, detail: as `checkpoint.look` says; reason: why it cannot be used, "" where it can.
    family, format, variant: what it is a model of, where that is recognised; sizes: the model's own config.
    parameters: numbers in its tensors; dtypes: tensors of each type; dropped: names that loading leaves out.
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
    parameters: int = 0
    tensors: int = 0
    dtypes: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether `tuwen.load` takes it, with the tokenizer and config that it may need."""
        return not self.reason


def describe(path: str | Path, config: str | Path | Mapping[str, Any] | None = None) -> Description:
    """What this file or folder is; never raises for what it finds there."""
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
        module_of = models.family(family)
        known |= {"family": family, "format": form}
        sizes = sizes_of(module_of, form, config, source, tensors, extra)
        ours, dropped = to_ours(tensors, module_of, form, sizes)
        known |= {"parameters": parameters(ours), "dropped": tuple(dropped)}
        variant = module_of.variant_of(sizes) or ""
        return Description(**known, variant=variant, sizes=module_of.config_to_dict(sizes))
    except TuwenError as error:
        return Description(**known, reason=str(error))


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote, and which tensors of the source have no place in any format."""

    files: tuple[Path, ...]
    dropped: tuple[str, ...]


def convert(
    source: str | Path,
    destination: str | Path,
    to: str = "tuwen",
    tokenizer: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
) -> Converted:
    """Write a model in another format: tensors keep their bits and types, only names and orientation change.

    source: whatever `tuwen.load` takes. to: "tuwen" and "transformers" write a folder, "original" a .pt file with
    vocab.txt beside it (and a folder model_configs, where the file alone would not tell the sizes).
    UsageError if `destination` exists, or for a format that does not exist; CheckpointError for a model that the
    format has no place for (RN50 in transformers).
    """
    if to not in FORMATS:
        raise UsageError(f"to is {to!r}: it must be one of {', '.join(FORMATS)}")
    destination = Path(destination)
    if destination.exists():
        raise UsageError(f"{destination} exists already: choose another place, or remove it first")
    found = find(source)
    tensors, extra = read(found)
    family, form = recognise(tensors, found)
    module_of = models.family(family)
    sizes = sizes_of(module_of, form, config, found, tensors, extra, beside(tokenizer))
    ours, dropped = to_ours(tensors, module_of, form, sizes)
    if form == "tuwen":
        processor = Processor.load(found.folder)
    else:
        words = find_tokenizer(tokenizer, found, form)
        processor = module_of.processor(form, sizes, words, preprocessor(found), extra)
    parts = _Parts(family, module_of, sizes, ours, processor, found, tokenizer)
    write = {"tuwen": _write_own, "transformers": _write_transformers, "original": _write_original}[to]
    return Converted(tuple(write(parts, destination)), tuple(dropped))


@dataclass(frozen=True)
class _Parts:
    """A model taken apart, its tensors under our names and in the types of its file."""

    family: str
    module_of: ModuleType
    sizes: Any
    tensors: Mapping[str, Tensor]
    processor: Processor
    source: Source
    tokenizer: str | Path | None


def read(source: Source) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a source as named in its file, without a wrapper's prefix, and the plain data beside them."""
    found = checkpoint.read(source.weights)
    return strip_prefix(bare(found.tensors)), found.extra


def parameters(ours: Mapping[str, Tensor]) -> int:
    """Numbers that training would change: running statistics are not counted."""
    return sum(tensor.numel() for name, tensor in ours.items() if "running_" not in name and "num_batches" not in name)


def _write_own(parts: _Parts, folder: Path) -> list[Path]:
    described = {
        "family": parts.family,
        "variant": parts.module_of.variant_of(parts.sizes),
        "languages": list((parts.source.settings or {}).get("languages", parts.module_of.LANGUAGES)),
        "config": parts.module_of.config_to_dict(parts.sizes),
    }
    write_folder(folder, parts.tensors, parts.processor, described)
    return sorted(folder.iterdir())


def _write_transformers(parts: _Parts, folder: Path) -> list[Path]:
    settings = parts.module_of.transformers_settings(parts.sizes)
    folder.mkdir(parents=True)
    theirs = keymap.store(parts.tensors, parts.module_of.KEYS["transformers"])
    checkpoint.write_safetensors(folder / WEIGHTS, theirs, {"format": "pt"})
    _write_vocabulary(parts, folder / "vocab.txt")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    write_json(folder / "preprocessor_config.json", parts.processor.image.to_transformers())
    write_json(folder / CONFIG, settings)
    return sorted(folder.iterdir())


def _write_original(parts: _Parts, path: Path) -> list[Path]:
    if path.suffix != ".pt":
        raise UsageError(f"the original format is one file: {path} must end in .pt")
    settings = parts.module_of.original_settings(parts.sizes)
    theirs = keymap.store(parts.tensors, parts.module_of.KEYS[parts.module_of.original_form(parts.sizes)])
    told = _told_by_shapes(parts, theirs)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path, path.parent / "vocab.txt"]
    if not told:
        configs = path.parent / "model_configs"
        configs.mkdir(exist_ok=True)
        for name, content in settings.items():
            write_json(configs / f"{name}.json", content)
            written.append(configs / f"{name}.json")
    _write_vocabulary(parts, path.parent / "vocab.txt")
    extra = {"epoch": 0, "step": 0, "name": path.stem}
    checkpoint.write_original(path, theirs, extra)
    return written


def _told_by_shapes(parts: _Parts, theirs: Mapping[str, Tensor]) -> bool:
    """Whether the file alone will tell the sizes, as it does for the published variants."""
    try:
        return bool(parts.module_of.config_from_shapes(shapes_of(theirs)) == parts.sizes)
    except CheckpointError:
        return False


def _write_vocabulary(parts: _Parts, path: Path) -> None:
    """vocab.txt: a copy of the source's where it has one."""
    given = Path(parts.tokenizer) if parts.tokenizer is not None else parts.source.folder / "vocab.txt"
    if given.is_file() and given.name.endswith(".txt"):
        if not (path.exists() and path.samefile(given)):
            shutil.copyfile(given, path)
        return
    with checkpoint.replacing(path) as temporary:
        temporary.write_text("".join(entry + "\n" for entry in parts.processor.tokenizer.entries()), encoding="utf-8")
