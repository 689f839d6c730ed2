"""Objects that trainers pickle beside their weights: which a file may name, and the settings without them."""

from __future__ import annotations

import sys
from typing import Any

from tuwen.checkpoint.containers import Content
from tuwen.checkpoint.pickles import DEEPEST, Foreign, PickleError
from tuwen.checkpoint.records import NumpyArray, Storage, Stored

# All that a file may name of Python's own library, besides what is read as plain data: none of it can run a program.
_HARMLESS = frozenset(
    {"builtins.bytearray", "builtins.complex", "builtins.range", "builtins.slice", "builtins.type", "builtins.xrange"}
    | {"collections.ChainMap", "collections.Counter", "collections.UserDict", "collections.UserList"}
    | {"copyreg._reconstructor", "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta"}
    | {"datetime.timezone", "decimal.Decimal", "fractions.Fraction", "functools.partial", "logging.Logger"}
    | {"logging.getLogger", "random.Random", "re._compile", "uuid.SafeUUID", "uuid.UUID", "zoneinfo.ZoneInfo"}
)


def refused(content: Content) -> list[str]:
    """The names for which a trainer's file is refused, although nothing in it is ever run.

    A callback, a schedule, a settings object of a trainer or of the user's own program is no danger as long as it is
    left out. What such files never hold, and files made to harm do: Python's own functions and modules, and functions
    of any program, by their public names, called with arguments.
    """
    called = set(content.called)
    return [name for name in dict.fromkeys(content.foreign) if not _is_object(name, name in called)]


def _is_object(name: str, called: bool) -> bool:
    module, _, last = name.rpartition(".")
    if module == "typing" or name in _HARMLESS:
        return True
    if module.partition(".")[0] in sys.stdlib_module_names:
        return False
    # Classes begin with a capital letter, and the functions that rebuild an object with an underscore.
    return not called or last.startswith("_") or last[:1].isupper()


def without_objects(value: Any, where: str, tensors: bool = False) -> tuple[Any, list[str]]:
    """A copy of `value` without the objects in it, and what was left out: "where.key (its class)".

    tensors: keep tensors, which are left out like objects otherwise.
    The value itself is None where it is left out. PickleError where it is nested deeper than 64 levels.
    """
    left_out: list[str] = []
    done: dict[int, Any] = {}

    def walk(item: Any, place: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise PickleError(f"data nested deeper than {DEEPEST} levels")
        if not isinstance(item, list | tuple | dict):
            return item
        if id(item) not in done:  # shared parts once, as `finish` does
            pairs = list(item.items() if isinstance(item, dict) else enumerate(item))
            pairs = [(key, part) for key, part in pairs if keep(key, part, place)]
            walked = [(key, walk(part, f"{place}.{key}", depth + 1)) for key, part in pairs]
            if isinstance(item, dict):
                done[id(item)] = dict(walked)
            else:
                done[id(item)] = type(item)(part for _, part in walked)
        return done[id(item)]

    def keep(key: Any, item: Any, place: str) -> bool:
        what = _unwanted(item, tensors) or next((name for part in _parts(key) if (name := _unwanted(part))), "")
        if what:
            left_out.append(f"{place}.{key.name if isinstance(key, Foreign) else key} ({what})")
        return not what

    what = _unwanted(value, tensors)
    return (None, [f"{where} ({what})"]) if what else (walk(value, where, 0), left_out)


def _unwanted(item: Any, tensors: bool = False) -> str:
    """What this is, where it is left out; "" for plain data."""
    if isinstance(item, Foreign):
        return item.name
    if isinstance(item, NumpyArray):
        return "a numpy array of objects" if item.problem else ""
    return "a tensor" if isinstance(item, Stored | Storage) and not tensors else ""


def _parts(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)
