"""The names of settings that trainers write beside weights, each with the plain data that stands for it here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from tuwen.checkpoint.pickles import Build, Foreign, PickleError

# DeepSpeed's ZeroStageEnum: member -> stage.
ZERO_STAGES = {"disabled": 0, "optimizer_states": 1, "gradients": 2, "weights": 3}


class Attributes(dict[str, Any]):
    """An object that is nothing but its attributes (argparse.Namespace), as a dict."""

    def build(self, state: Any) -> None:
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise PickleError("attributes without names")
        self.update(state)


def _path(kind: type[PurePosixPath | PureWindowsPath]) -> Build:
    return Build(f"pathlib.{kind.__name__}", lambda *parts: str(kind(*parts)))


def _member(owner: Any, name: Any) -> Any:
    # Python 3.11 writes a member of an enumeration as getattr(enumeration, name); any other use is none of ours.
    if isinstance(owner, Build) and owner.make is _zero_stage and name in ZERO_STAGES:
        return ZERO_STAGES[name]
    return Foreign(owner.name if isinstance(owner, Foreign) and isinstance(name, str) else "builtins.getattr")


def _zero_stage(stage: Any) -> Any:
    return stage


def _items(items: Any = (), *_: Any) -> list[Any]:
    if not isinstance(items, list | tuple):
        raise PickleError("a list made of something else")
    return list(items)


def _settings() -> Mapping[str, Any]:
    """Names of settings; the empty dicts and lists are filled by the operations that follow."""
    named: dict[str, Any] = {"builtins.getattr": Build("builtins.getattr", _member)}
    for module in ("pathlib", "pathlib._local"):
        named |= {f"{module}.{name}": _path(PurePosixPath) for name in ("Path", "PosixPath", "PurePosixPath")}
        named |= {f"{module}.{name}": _path(PureWindowsPath) for name in ("WindowsPath", "PureWindowsPath")}
    dicts = ["collections.defaultdict", "sacred.config.custom_containers.ReadOnlyDict"]
    dicts += [f"{package}.utilities.parsing.AttributeDict" for package in ("pytorch_lightning", "lightning.pytorch")]
    dicts += [f"{package}.utilities.data.AttributeDict" for package in ("lightning_fabric", "lightning.fabric")]
    named |= {name: Build(name, lambda *_: {}) for name in dicts}
    named |= {name: Build(name, lambda *_: Attributes()) for name in ("argparse.Namespace", "types.SimpleNamespace")}
    named["collections.deque"] = Build("collections.deque", _items)
    named["sacred.config.custom_containers.ReadOnlyList"] = Build("sacred.ReadOnlyList", _items)
    stages = "deepspeed.runtime.zero.config.ZeroStageEnum"
    named[stages] = Build(stages, _zero_stage)
    # What fills a defaultdict, or the type of an option: said by name, never called.
    named |= {f"builtins.{name}": name for name in ("bool", "int", "float", "str", "list", "tuple", "dict", "object")}
    # Protocol 2 has Python 2's names for two of them.
    named |= {"builtins.long": "int", "builtins.unicode": "str"}
    return named


SETTINGS = _settings()
