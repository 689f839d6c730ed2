"""Say what a file or folder is, and why it cannot be read if so, from headers alone: no tensor data is touched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuwen.checkpoint.containers import Content, DamagedError, Weights
from tuwen.checkpoint.deepspeed import deepspeed_weights, find_model_states, is_model_states
from tuwen.checkpoint.lightning import VERSION, lightning_weights
from tuwen.checkpoint.objects import refused
from tuwen.checkpoint.opening import UnreadableError, damaged, keys, open_file, some
from tuwen.checkpoint.paddle import paddle_weights
from tuwen.checkpoint.pickles import PickleError
from tuwen.checkpoint.records import Stored, holds_tensors, plain, tensors_of

# The names that transformers and PaddleNLP give to the weights of a folder.
WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
    "model_state.pdparams", "model_state.pdparams.index.json",
)  # fmt: skip
# What trainers leave beside the weights.
_BESIDE = (
    "training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scheduler.bin", "rng_state.pth",
    "scheduler.pdparams", "scaler.pdparams",
)  # fmt: skip
# Under which key weights lie: cn_clip's and others', BriVL's.
_STATES = ("state_dict", "learnable")
# What is said of a run, where it is known.
_SAID = ("epoch", "step", "global_step", "global_steps", "name")


@dataclass(frozen=True)
class Look:
    """What a path is.

    kind: "checkpoint" (a dict around a state dict), "state-dict", "lightning", "deepspeed" or "folder" where it can be
        read; else what it is instead, such as "git-lfs", "html", "torchscript", "onnx", "optimizer", "tar", "refused".
    container: "torch-zip", "torch-legacy", "safetensors", "pdparams" or "deepspeed"; "" where it is none of them.
    detail: what is inside, for people.
    reason: a sentence that says why it cannot be read and what to do; "" where it can.
    shapes: tensor name -> shape, in the file's order; dtypes: how many tensors are of each type.
    extra: the plain data beside the tensors (epoch, step, name).
    """

    kind: str
    container: str = ""
    detail: str = ""
    reason: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dtypes: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def readable(self) -> bool:
        return not self.reason


def look(path: Path | str) -> Look:
    """What this file or folder is; never raises for what it finds there."""
    return examine(Path(path))[0]


def find_weights(folder: Path) -> Path | None:
    """The weight file of a folder: by the names of Hugging Face and PaddleNLP, else the only file that looks like one.

    A tar archive is taken where there is nothing else. Of a DeepSpeed folder it is the model-states file, from which
    `read` finds the rank files beside it.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    found = [path for path in sorted(folder.iterdir()) if _may_be_weights(path)] or sorted(folder.glob("*.tar"))
    if len(found) == 1 and found[0].is_file():
        return found[0]
    try:
        return find_model_states(found[0] if len(found) == 1 else folder)
    except UnreadableError:
        return None


def _may_be_weights(path: Path) -> bool:
    if path.is_dir():  # Lightning calls a DeepSpeed folder NAME.ckpt
        return path.suffix == ".ckpt" and (path / "latest").is_file()
    endings = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pdparams")
    return path.suffix in endings and path.name not in _BESIDE and not path.name.endswith("_optim_states.pt")


def examine(path: Path) -> tuple[Look, list[Weights]]:
    """What this path is, and the weights in it: one part per file, none where it cannot be read."""
    try:
        if path.is_dir():
            return _folder(path)
        if path.name.endswith(".index.json"):
            return _index(path)
        return _described(open_file(path))
    except UnreadableError as error:
        return Look(error.kind, error.container, error.detail, error.reason), []
    except OSError as error:
        reason = f"{error.filename or path} cannot be opened: {error.strerror or error}"
        return Look("unreadable", reason=reason), []
    except (DamagedError, PickleError) as error:
        return Look("damaged", reason=damaged(path, error).reason), []


# -- what a torch file or safetensors file holds


def _described(content: Content) -> tuple[Look, list[Weights]]:
    name, value, names = content.name, content.value, keys(content.value)
    trainer = _trainer(content)
    _refuse(content, refused(content) if trainer else list(dict.fromkeys(content.foreign)))
    if trainer:
        kind, weights_of = trainer
        weights = weights_of(content)
        return _summary(kind, [weights]), [weights]
    if content.container == "pdparams":
        kind, weights = paddle_weights(content)
        return _summary(kind, [weights]), [weights]
    if "optimizer_state_dict" in names and "state_dict" not in names:
        what, way_out = "the optimizer state of a training run, without weights", "name the file with the weights"
        if name.endswith("_optim_states.pt"):
            what, way_out = "one process's part of a DeepSpeed checkpoint", f"name its folder, {content.path.parent}"
        raise UnreadableError("optimizer", what, f"{name} is {what}: {way_out}", content.container)
    places = [key for key in _STATES if key in names and isinstance(value[key], dict)]
    states = value[places[0]] if places else value
    tensors = tensors_of(states)
    if not tensors:
        what = "one tensor without a name" if isinstance(value, Stored) else f"a {type(value).__name__}"
        what = f"a dict of {some(names)}" if names else what
        if content.container == "safetensors":
            raise UnreadableError("empty", "no tensors", f"{name} holds no tensors: download it again", "safetensors")
        reason = f"{name} holds {what} where a state dict, or a dict with one under 'state_dict', was expected"
        raise UnreadableError("other", what, reason, content.container)
    beside = {key: item for key, item in value.items() if key != places[0]} if places else {}
    weights = Weights(content, tensors, beside)
    weights.notes += [f"left out, no tensor: {key}" for key in states if key not in tensors]
    if not places and content.container != "safetensors":
        weights.notes.append("a bare state dict, without epoch, step and name")
    return _summary("checkpoint" if places else "state-dict", [weights]), [weights]


def _trainer(content: Content) -> tuple[str, Callable[[Content], Weights]] | None:
    """(kind, what reads it) of a file that a trainer wrote with its own objects beside the weights."""
    if not content.container.startswith("torch") or not isinstance(content.value, dict):
        return None
    if is_model_states(content.value):  # before Lightning, which writes through DeepSpeed too
        return "deepspeed", deepspeed_weights
    return ("lightning", lightning_weights) if VERSION in content.value else None


def _refuse(content: Content, names: list[str]) -> None:
    """Raise UnreadableError if the file asks for any such name."""
    if names:
        asked = ", ".join(names)
        reason = (
            f"{content.name} asks for {asked}, which no weight file needs and tuwen does not run: use a file with "
            "only a state dict, or, if you trust it, save one from the program that wrote it"
        )
        what = "a Paddle" if content.container == "pdparams" else "a PyTorch"
        raise UnreadableError("refused", f"{what} file that names {asked}", reason, content.container)


def _summary(kind: str, parts: list[Weights]) -> Look:
    tensors = {name: tensor for part in parts for name, tensor in part.tensors.items()}
    dtypes = Counter(tensor.dtype for tensor in tensors.values())
    types = ", ".join(name if len(dtypes) == 1 else f"{count} {name}" for name, count in dtypes.most_common())
    values = sum(tensor.count for tensor in tensors.values())
    inside = parts[0].content.inside
    detail = f"{inside}: " if inside else ""
    detail += f"{len(tensors):,} tensor{'s' * (len(tensors) > 1)}, {values:,} values ({types})"
    extra = all_extra(parts)[0]
    detail += "".join(f"; {part.facts}" for part in parts if part.facts)
    detail += "".join(f"; {key} {extra[key]}" for key in _SAID if key in extra)
    left_out = [key for part in parts for key in part.beside if key not in extra]
    if left_out:
        detail += f"; with {some(left_out)}"
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return Look(kind, parts[0].content.container, detail, "", shapes, dict(dtypes), extra)


def extra_of(weights: Weights) -> tuple[dict[str, Any], list[str]]:
    """The plain data beside the tensors, and the names of what holds tensors itself (optimizer, averages)."""
    extra: dict[str, Any] = dict(weights.content.metadata)
    left_out = []
    for key, value in weights.beside.items():
        if key == weights.optimizer or holds_tensors(value):
            left_out.append(str(key))
        else:
            extra[str(key)] = plain(value)
    return extra, left_out


def all_extra(parts: list[Weights]) -> tuple[dict[str, Any], list[list[str]]]:
    """As `extra_of` of every file of a sharded one: dicts of the same name, such as tables of names, become one."""
    extra: dict[str, Any] = {}
    left_out = []
    for part in parts:
        own, names = extra_of(part)
        both = {key: {**extra[key], **item} for key, item in own.items() if _are_dicts(extra.get(key), item)}
        extra |= own | both
        left_out.append(names)
    return extra, left_out


def _are_dicts(*items: Any) -> bool:
    return all(isinstance(item, dict) for item in items)


# -- folders and sharded files


def _folder(path: Path) -> tuple[Look, list[Weights]]:
    weights = find_weights(path) or find_model_states(path)
    if weights is not None:
        inner, parts = examine(weights)
        if not inner.readable:
            return inner, []
        detail = f"{weights.name}: {inner.detail}"
        family = _family(path / "config.json")
        if family:
            detail = f"config.json says {family}; {detail}"
        kind = "deepspeed" if inner.kind == "deepspeed" else "folder"
        return Look(kind, inner.container, detail, "", inner.shapes, inner.dtypes, inner.extra), parts
    names = sorted(item.name for item in path.iterdir())
    if not names:
        reason = f"{path} is an empty folder: expected {WEIGHTS[0]}, {WEIGHTS[2]} or {WEIGHTS[4]} in it"
        raise UnreadableError("empty", "an empty folder", reason)
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        kind, what, way_out = "distributed", "a distributed PyTorch checkpoint", "convert it with torch's dcp_to_torch"
    elif "adapter_config.json" in names:
        kind, what, way_out = "adapter", "an adapter (PEFT) without its base model", "merge it into that model first"
    else:
        kind, what = "folder", f"a folder with {some(names)}"
        way_out = f"expected {WEIGHTS[0]}, {WEIGHTS[2]}, {WEIGHTS[4]}, or a single other weight file"
    raise UnreadableError(kind, what, f"{path} is {what}: {way_out}")


def _family(config: Path) -> str:
    try:
        settings = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(settings.get("model_type", "")) if isinstance(settings, dict) else ""


def _index(path: Path) -> tuple[Look, list[Weights]]:
    """The shards that an index of Hugging Face or PaddleNLP names, each beside it, each holding what the index says."""
    try:
        places = json.loads(path.read_text("utf-8"))["weight_map"]
        files = list(dict.fromkeys(places.values()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError("it has no map of tensors to files") from error
    parts: list[Weights] = []
    for file in files:
        if not isinstance(file, str) or Path(file).name != file:
            raise DamagedError(f"it names {file!r}, which is no file beside it")
        inner, found = examine(path.parent / file)
        if not inner.readable:
            reason = f"{inner.reason} (named in {path.name})"
            raise UnreadableError(inner.kind, inner.detail, reason, inner.container)
        parts += found
    for part in parts:
        absent = [name for name, file in places.items() if file == part.content.path.name and name not in part.tensors]
        if absent:
            raise DamagedError(f"{part.content.path.name} lacks {some(absent)}")
        part.tensors = {name: item for name, item in part.tensors.items() if places.get(name) == part.content.path.name}
    if not parts:
        raise DamagedError("it names no files")
    return _summary("state-dict", parts), parts
