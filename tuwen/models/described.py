"""Configs as plain data for JSON, and back."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tuwen.errors import UsageError

Config = TypeVar("Config")


def config_to_dict(config: Any) -> dict[str, Any]:
    """A config, itself made of configs, as dicts, lists and numbers."""
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value


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
