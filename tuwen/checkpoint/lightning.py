"""What PyTorch Lightning writes: a state dict, the settings of the run, and the trainer's own state beside them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tuwen.checkpoint.containers import Content, Weights
from tuwen.checkpoint.objects import without_objects
from tuwen.checkpoint.opening import UnreadableError, some
from tuwen.checkpoint.pickles import PickleError
from tuwen.checkpoint.records import holds_tensors, tensors_of

VERSION = "pytorch-lightning_version"
OPTIMIZER = "optimizer_states"
# What only the trainer itself could use, to go on with the run.
TRAINER = (
    "callbacks", "lr_schedulers", "loops", "native_amp_scaling_state", "amp_scaling_state", "MixedPrecision",
    "MixedPrecisionPlugin", "NativeMixedPrecisionPlugin", "ApexMixedPrecisionPlugin",
)  # fmt: skip
# Settings, which may hold tensors (class weights) that must not cost the rest.
SETTINGS = ("hyper_parameters", "datamodule_hyper_parameters")


def lightning_weights(content: Content) -> Weights:
    """The state dict as named in the file; beside it epoch, global_step, versions and hyper-parameters."""
    value: dict[Any, Any] = content.value
    states = value.get("state_dict")
    tensors = tensors_of(states)
    if not tensors:
        what = f"a PyTorch Lightning checkpoint of {some([str(key) for key in value])}"
        reason = f"{content.name} is {what} whose state_dict holds no tensors: name another file of the run"
        raise UnreadableError("lightning", what, reason, content.container)
    beside, notes = settings_of(value, ("state_dict",))
    notes = [f"left out, no tensor: {name}" for name in states or () if name not in tensors] + notes
    if OPTIMIZER in value:
        beside[OPTIMIZER], foreign = without_objects(value[OPTIMIZER], OPTIMIZER, tensors=True)
        notes += [f"left out, no plain data: {name}" for name in foreign]
    facts = f"PyTorch Lightning {version}" if isinstance(version := value.get(VERSION), str) else "PyTorch Lightning"
    return Weights(content, tensors, beside, OPTIMIZER, notes, facts)


def settings_of(value: dict[Any, Any], known: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """(plain data, a note on everything that is not) of a trainer's dict; not its optimizer, nor the `known` keys."""
    beside: dict[str, Any] = {}
    notes: list[str] = []
    for key, item in value.items():
        name = str(key)
        if key in known or key == OPTIMIZER:
            continue
        if key in TRAINER or not isinstance(key, str):
            notes.append(f"left out: {name}")
            continue
        try:
            if key not in SETTINGS and holds_tensors(item):
                notes.append(f"left out: {name}")
                continue
            kept, foreign = without_objects(item, name)
        except PickleError as error:
            notes.append(f"left out: {name} ({error})")
            continue
        notes += [f"left out, no plain data: {place}" for place in foreign]
        if name not in (place.rpartition(" (")[0] for place in foreign):
            beside[name] = kept
    return beside, notes
