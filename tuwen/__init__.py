"""tuwen 图文: five vision-language systems that understand Chinese and English, behind one API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tuwen.errors import (
    CheckpointError,
    InputError,
    MissingExtra,
    ModelNotFound,
    TuwenError,
    UnsupportedTask,
    UsageError,
)

if TYPE_CHECKING:
    from tuwen.loading import load
    from tuwen.model import Model
    from tuwen.models import FAMILIES as families  # noqa: N811 - the table is public under a plain name

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "InputError",
    "MissingExtra",
    "Model",
    "ModelNotFound",
    "TuwenError",
    "UnsupportedTask",
    "UsageError",
    "__version__",
    "families",
    "load",
]

# Imported at first use: these bring torch, which takes seconds and which `tuwen --help` does not need.
_LAZY = {
    "Model": ("tuwen.model", "Model"),
    "families": ("tuwen.models", "FAMILIES"),  # family name -> the module that defines it
    "load": ("tuwen.loading", "load"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tuwen' has no attribute {name!r}; it has {', '.join(sorted(__all__))}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
