"""What `paddle.save` wrote: a state dict with a table of names, or a training run's dict around one."""

from __future__ import annotations

import math
import re
from typing import Any

from tuwen.checkpoint.containers import Content, DamagedError, Weights
from tuwen.checkpoint.opening import UnreadableError, keys, some
from tuwen.checkpoint.pdparams import are_counts
from tuwen.checkpoint.pickles import DEEPEST
from tuwen.checkpoint.records import Joined, Stored, holds_tensors

TABLE = "StructuredToParameterName@@"  # each tensor's name -> the name that it had inside Paddle
SLICES = "UnpackBigParamInfor@@"  # of arrays that were cut, because one was too large for the protocol
# Under which key a training run keeps its model, in this order.
MODELS = ("model", "state_dict", "model_state_dict", "net", "network")
_OPTIMIZER = re.compile(r".*_(moment[12]|beta[12]_pow_acc|velocity|momentum|moment|inf_norm|mean_square)_0")
_OPTIMIZER_KEYS = ("LR_Scheduler", "master_weights")


def paddle_weights(content: Content) -> tuple[str, Weights]:
    """("state-dict" or, around one, "checkpoint", the weights under their structured names, as they lie in the file).

    Linear weights are (in, out), as Paddle has them. The table of names, where there is one, stays beside them.
    UnreadableError where it holds no weights; DamagedError where a cut array cannot be put together.
    """
    value = content.value
    names = keys(value)
    if content.name.endswith(".pdopt") or any(key in names for key in _OPTIMIZER_KEYS) or _is_optimizer(value):
        what = "the optimizer state of a training run, without weights"
        reason = f"{content.name} is {what}: name the .pdparams file that was saved with it"
        raise UnreadableError("optimizer", what, reason, content.container)
    place = _place(content)
    states: dict[Any, Any] = value[place] if place else value
    beside = {key: item for key, item in value.items() if key != place} if place else {}
    tensors, others = _tensors(states)
    if TABLE in others:
        beside[TABLE] = others.pop(TABLE)
    cut = others.pop(SLICES, None)
    if cut is not None:
        tensors = _joined(tensors, cut)
    notes = []
    if not place:
        beside |= others
    else:
        notes = [f"left out, no tensor: {key}" for key in others]
    return "checkpoint" if place else "state-dict", Weights(content, tensors, beside, notes=notes)


def _is_optimizer(value: Any) -> bool:
    names = [name for name in value if tensor_of(value[name])] if isinstance(value, dict) else []
    return bool(names) and all(isinstance(name, str) and _OPTIMIZER.fullmatch(name) for name in names)


def tensor_of(item: Any) -> Stored | None:
    """The tensor that an entry is: an array, or (its name inside Paddle, the array), as in nested dicts."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        item = item[1]
    return item if isinstance(item, Stored) else None


def _place(content: Content) -> str:
    """The key under which the state dict lies; "" where the file is one."""
    value = content.value
    entries = value.items() if isinstance(value, dict) else ()
    dicts = [key for key, item in entries if isinstance(item, dict) and holds_tensors(item) and not _is_optimizer(item)]
    known = [key for key in MODELS if key in dicts]
    if known:
        return known[0]
    if any(tensor_of(item) for _, item in entries):
        return ""
    if len(dicts) == 1 and isinstance(dicts[0], str):
        return dicts[0]
    found = f"a dict of {some(keys(value))}" if keys(value) else f"a {type(value).__name__}"
    if isinstance(value, Stored):
        found = "one array without a name"
    reason = f"{content.name} holds {found} where a state dict, or a dict with one under 'model', was expected"
    raise UnreadableError("other", found, reason, content.container)


def _tensors(
    states: dict[Any, Any], start: str = "", depth: int = 0
) -> tuple[dict[str, Stored | Joined], dict[Any, Any]]:
    """(tensors by name, with dots between the names of dicts in dicts; all that is none)."""
    tensors: dict[str, Stored | Joined] = {}
    others: dict[Any, Any] = {}
    for key, item in states.items():
        tensor = tensor_of(item)
        if tensor is not None and isinstance(key, str):
            tensors[start + key] = tensor
        elif isinstance(item, dict) and key not in (TABLE, SLICES) and holds_tensors(item) and depth < DEEPEST:
            inner, strange = _tensors(item, f"{start}{key}.", depth + 1)
            if inner.keys() & tensors.keys():
                raise DamagedError(f"it has two tensors called {some(sorted(inner.keys() & tensors.keys()))}")
            tensors |= inner
            others |= {f"{key}.{name}": left for name, left in strange.items()}
        else:
            others[key] = item
    return tensors, others


def _joined(tensors: dict[str, Stored | Joined], cut: Any) -> dict[str, Stored | Joined]:
    """The same with every cut array whole again, where its first slice was."""
    whole: dict[str, Stored | Joined] = {}
    slices: dict[str, str] = {}  # slice -> the array it belongs to
    for name, entry in cut.items() if isinstance(cut, dict) else ():
        whole[name] = _join(name, entry, tensors)
        slices |= dict.fromkeys(entry["slices"], name)
    if not isinstance(cut, dict) or whole.keys() & tensors.keys():
        raise DamagedError(f"its {SLICES} fits no array that was cut")
    placed: dict[str, Stored | Joined] = {}
    for name, tensor in tensors.items():
        owner = slices.get(name)
        placed |= {name: tensor} if owner is None else {owner: whole[owner]}
    return placed


def _join(name: str, entry: Any, tensors: dict[str, Stored | Joined]) -> Joined:
    shape = entry.get("OriginShape") if isinstance(entry, dict) else None
    names = entry.get("slices") if isinstance(entry, dict) else None
    if not isinstance(shape, tuple | list) or not isinstance(names, list | tuple) or not names:
        raise DamagedError(f"{name} was cut, and nothing tells how")
    parts = [tensors.get(part) if isinstance(part, str) else None for part in names]
    found = tuple(part for part in parts if isinstance(part, Stored))
    missing = [str(part) for part, tensor in zip(names, parts, strict=True) if tensor is None]
    if missing:
        raise DamagedError(f"{some(missing)} of {name}, which was cut, is missing")
    if not are_counts(shape) or math.prod(shape) != sum(part.count for part in found):
        raise DamagedError(f"the slices of {name} do not make up its shape {tuple(shape)}")
    if len({part.dtype for part in found}) != 1 or len(set(names)) != len(names):
        raise DamagedError(f"the slices of {name} are not of one kind")
    return Joined(found, tuple(shape), found[0].dtype)
