"""Configs as plain data for JSON and back, and what else describes a model in files."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tuwen.errors import CheckpointError, UsageError

Config = TypeVar("Config")
Shapes = Mapping[str, tuple[int, ...]]  # of the tensors in a file, by their names there


def shape_of(shapes: Shapes, name: str) -> tuple[int, ...]:
    """The shape of a tensor that the sizes are read from. CheckpointError where the file has none of that name."""
    if name not in shapes:
        raise CheckpointError(f"the file has no tensor {name}: it is not complete, download or copy it again")
    return shapes[name]


def config_to_dict(config: Any) -> dict[str, Any]:
    """A config, itself made of configs, as dicts, lists and numbers."""
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def distinctive(config: Any) -> dict[str, Any]:
    """The same without what is at its default: a field that a later version adds changes nothing for older models."""
    values = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }
    return {
        name: distinctive(value) if dataclasses.is_dataclass(value) else _plain(value) for name, value in values.items()
    }


def changing(config: Any) -> dict[str, Any]:
    """Of `distinctive`, what changes the numbers of a model that runs: neither dropout nor the names of answers."""

    def kept(values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: kept(value) if isinstance(value, dict) else value
            for name, value in values.items()
            if not name.endswith("dropout") and name != "answers"
        }

    return kept(distinctive(config))


def config_from_dict(kind: type[Config], settings: Mapping[str, Any]) -> Config:
    """The way back. UsageError that names what is missing or not known."""
    hints = typing.get_type_hints(kind)
    unknown = sorted(settings.keys() - hints.keys())
    if unknown:
        raise UsageError(f"the description of a {kind.__module__.split('.')[-2]} model has unknown {unknown}")
    values = {
        name: config_from_dict(hints[name], value) if dataclasses.is_dataclass(hints[name]) else _with_tuples(value)
        for name, value in settings.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"the description of a model is incomplete: {error}") from None


def _with_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value


@dataclasses.dataclass(frozen=True)
class OriginalFile:
    """What a family's own code expects of a weight file: its ending, and what is in it or beside it but the tensors.

    content: plain data in the file, None where the tensors alone are the file; place: the key of the tensors among it,
    in torch's container; settings: what a reader takes for its description, None where the tensors tell enough; text:
    the text tower's own config.json, where that family has one; beside: files as JSON or YAML, by their names; notes:
    what the family's own code will do otherwise than the model did here, one sentence each.
    """

    suffix: str
    content: Mapping[str, Any] | None
    settings: Mapping[str, Any] | None = None
    text: Mapping[str, Any] | None = None
    beside: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    place: str = "state_dict"
