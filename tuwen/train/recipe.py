"""Every number of a training run, in one frozen dataclass read from YAML."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tuwen.errors import InputError, UsageError


@dataclass(frozen=True)
class SceneRecipe:
    """Training pictures drawn on the fly from the bundled glyph pack."""

    seed: int = 1
    portraits: tuple[float, float] = (0.5, 0.5)  # share of pictures of one thing alone, at the start and at the end
    partial: float = 0.0  # share of captions that name only some of the things they could
    sizes: tuple[int, ...] = (96,)  # pixels drawn; the picture pipeline resizes them as it would a user's file
    workers: int = 1  # processes that draw; 0 draws in the training process


@dataclass(frozen=True)
class Recipe:
    """A run: what is trained, on what, and how. Rates are per optimizer step, sizes in pixels."""

    family: str
    config: Mapping[str, Any]  # the family's own sizes, as in the config.json of a saved model
    scenes: SceneRecipe = field(default_factory=SceneRecipe)
    steps: int = 1000
    batch_size: int = 256
    lr: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.2
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    patch_dropout: float = 0.0
    patch_dropout_until: float = 1.0  # share of the steps after which all patches are seen
    precision: str = "float32"  # or bfloat16: autocast in the towers, float32 weights and loss
    seed: int = 1
    log_every: int = 20
    save_every: int = 500
    evaluate_every: int = 1000
    evaluate_scenes: int = 1000

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise UsageError(f"precision is {self.precision!r}: it must be float32 or bfloat16")
        for name in ("steps", "batch_size", "log_every", "save_every", "evaluate_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if not 0 <= self.patch_dropout < 1:
            raise UsageError(f"patch_dropout is {self.patch_dropout}: it must be at least 0 and below 1")
        if self.warmup >= self.steps:
            raise UsageError(f"warmup ({self.warmup} steps) must be shorter than the run ({self.steps} steps)")


def read(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """A YAML file, changed by `key=value` (`steps=2000`, `scenes.workers=2`); unknown keys are errors."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror or error}") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} must be a YAML mapping of settings, found {type(values).__name__}")
    for override in overrides:
        _set(values, override)
    return from_dict(Recipe, values, str(path))


def _set(values: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator:
        raise UsageError(f"{override!r} is not a setting: write key=value")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UsageError(f"{key!r} names a setting inside {section!r}, which is a single value")
    values[last] = yaml.safe_load(value)


def from_dict(kind: type, values: Mapping[str, Any], where: str) -> Any:
    """values -> the frozen dataclass `kind`; UsageError names an unknown key or a value of a wrong type."""
    types_of = typing.get_type_hints(kind)
    for key in values:
        if key not in types_of:
            near = difflib.get_close_matches(str(key), types_of, n=1)
            hint = f": did you mean {near[0]!r}?" if near else f": the settings are {', '.join(types_of)}"
            raise UsageError(f"{where} has an unknown setting {key!r}{hint}")
    for required in dataclasses.fields(kind):
        needed = required.default is dataclasses.MISSING and required.default_factory is dataclasses.MISSING
        if needed and required.name not in values:
            raise UsageError(f"{where} lacks the setting {required.name!r}")
    return kind(**{key: _convert(types_of[key], value, f"{where}: {key}") for key, value in values.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    """A YAML value as the type of its field."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise UsageError(f"{where} must be a section of settings, found {value!r}")
        return from_dict(typing.cast(type, kind), value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        if arguments[-1] is Ellipsis:
            return tuple(_convert(arguments[0], item, where) for item in items)
        if len(items) != len(arguments):
            raise UsageError(f"{where} must be {len(arguments)} values, found {value!r}")
        return tuple(_convert(one, item, where) for one, item in zip(arguments, items, strict=True))
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(arguments[0], value, where)
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as a string
        except ValueError:
            raise UsageError(f"{where} must be a number, found {value!r}") from None
    plain = dict if origin is not None else kind
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise UsageError(f"{where} must be {plain.__name__}, found {value!r}")
    return value


def save(recipe: Recipe, path: Path) -> None:
    """The resolved recipe, every default written out."""
    path.write_text(
        yaml.safe_dump(_plain(dataclasses.asdict(recipe)), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
