"""Say what a file or folder is, and why it cannot be read if so, from headers alone: no tensor data is touched."""

from __future__ import annotations

import json
import mmap
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuwen.checkpoint.containers import (
    LEGACY_START,
    Content,
    DamagedError,
    list_zip,
    map_file,
    open_safetensors,
    open_torch_legacy,
    open_torch_zip,
)
from tuwen.checkpoint.pickles import Foreign, PickleError, read_pickle
from tuwen.checkpoint.records import KNOWN, NumpyArray, Stored, holds_tensors, plain
from tuwen.checkpoint.signs import READABLE, sign

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# What trainers leave beside the weights.
_BESIDE = ("training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scheduler.bin", "rng_state.pth")
_HEAD_BYTES = 4096


@dataclass(frozen=True)
class Look:
    """What a path is.

    kind: "checkpoint" (a dict around a state dict), "state-dict" or "folder" where it can be read; else what it is
        instead, such as "git-lfs", "html", "torchscript", "lightning", "deepspeed", "paddle", "onnx", "refused".
    container: "torch-zip", "torch-legacy" or "safetensors"; "" where it is none of them.
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


@dataclass
class Weights:
    """The tensors of one file, still on disk, and what lies beside them."""

    content: Content
    tensors: dict[str, Stored]
    beside: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def look(path: Path | str) -> Look:
    """What this file or folder is; never raises for what it finds there."""
    return examine(Path(path))[0]


def find_weights(folder: Path) -> Path | None:
    """The weight file of a folder: by Hugging Face's names, else the only file that looks like one."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    endings = (".safetensors", ".pt", ".pth", ".bin")
    found = [path for path in sorted(folder.iterdir()) if path.suffix in endings and path.name not in _BESIDE]
    return found[0] if len(found) == 1 else None


def examine(path: Path) -> tuple[Look, list[Weights]]:
    """What this path is, and the weights in it: one part per file, none where it cannot be read."""
    try:
        if path.is_dir():
            return _folder(path)
        if path.name.endswith(".index.json"):
            return _index(path)
        return _file(path)
    except FileNotFoundError:
        return _cannot("missing", "", f"{path} does not exist"), []
    except OSError as error:
        return _cannot("unreadable", "", f"{path} cannot be opened: {error.strerror or error}"), []
    except (DamagedError, PickleError) as error:
        return _cannot("damaged", "", f"{path.name} is damaged: {error}; download or copy it again"), []


def _cannot(kind: str, detail: str, reason: str, container: str = "") -> Look:
    return Look(kind, container, detail, reason)


def _file(path: Path) -> tuple[Look, list[Weights]]:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    size = path.stat().st_size
    if head[:4] == b"PK\x03\x04":
        return _zip(path)
    if head.startswith(LEGACY_START):
        return _described(open_torch_legacy(path, map_file(path)))
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return _described(open_safetensors(path, map_file(path)))
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _pickle(path, map_file(path)), []
    kind, what, way_out = sign(path, head, size)
    return _cannot(kind, what, f"{path.name} is {what}: {way_out}"), []


# -- zip archives: torch's own, and others


def _zip(path: Path) -> tuple[Look, list[Weights]]:
    data, entries = map_file(path), list_zip(path)
    if entries is None:
        what = f"cut short: the {len(data):,} bytes here begin like a PyTorch file or zip archive but do not end as one"
        return _cannot("truncated", what, f"{path.name} is {what}; download or copy it again"), []
    names = list(entries)
    ends = {name.rsplit("/", 1)[-1] for name in names}
    if "data.pkl" in ends and "constants.pkl" in ends:
        return _torchscript(path, data, entries), []
    if "data.pkl" in ends:
        return _described(open_torch_zip(path, data, entries))
    if any(name.endswith(".npy") for name in names):
        what = "a numpy archive (.npz)"
    elif any(name.startswith("word/") or name == "[Content_Types].xml" for name in names):
        what = "an office document"
    else:
        what = f"a zip archive of {_some(names)}"
    return _cannot("zip", what, f"{path.name} is {what}: if weights are inside, unpack it and name the file"), []


def _torchscript(path: Path, data: mmap.mmap, entries: dict[str, zipfile.ZipInfo]) -> Look:
    try:
        root = open_torch_zip(path, data, entries).value
    except (DamagedError, PickleError):
        root = None
    parts = root.state if isinstance(root, Foreign) and isinstance(root.state, dict) else {}
    is_clip = {"visual", "transformer", "token_embedding", "logit_scale"} <= parts.keys()
    what = "a TorchScript program" + (", as OpenAI published CLIP" if is_clip else "")
    way_out = f"save its weights first: torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pt')"
    return _cannot("torchscript", what, f"{path.name} is {what}, which holds code beside weights: {way_out}")


# -- what a torch file or safetensors file holds


def _described(content: Content) -> tuple[Look, list[Weights]]:
    name, value, keys = content.path.name, content.value, _keys(content.value)
    other = _other_trainer(keys)
    if other:
        kind, what, way_out = other
        return _cannot(kind, what, f"{name} is {what}: {way_out}", content.container), []
    if content.foreign:
        asked = ", ".join(dict.fromkeys(content.foreign))
        reason = (
            f"{name} asks for {asked}, which no weight file needs and tuwen does not run: use a file with only a state "
            "dict, or, if you trust it, save one from the program that wrote it"
        )
        return _cannot("refused", f"a PyTorch file that names {asked}", reason, content.container), []
    wrapped = isinstance(value, dict) and isinstance(value.get("state_dict"), dict)
    states = value["state_dict"] if wrapped else value
    tensors = _tensors(states)
    if not tensors:
        what = "one tensor without a name" if isinstance(value, Stored) else f"a {type(value).__name__}"
        what = f"a dict of {_some(keys)}" if keys else what
        if content.container == "safetensors":
            return _cannot("empty", "no tensors", f"{name} holds no tensors: download it again", content.container), []
        reason = f"{name} holds {what} where a state dict, or a dict with one under 'state_dict', was expected"
        return _cannot("other", what, reason, content.container), []
    beside = {key: item for key, item in value.items() if key != "state_dict"} if wrapped else {}
    weights = Weights(content, tensors, beside)
    weights.notes += [f"left out, no tensor: {key}" for key in states if key not in tensors]
    if not wrapped and content.container != "safetensors":
        weights.notes.append("a bare state dict, without epoch, step and name")
    return _summary("checkpoint" if wrapped else "state-dict", [weights]), [weights]


def _keys(value: Any) -> list[str]:
    return [str(key) for key in value] if isinstance(value, dict) else []


def _tensors(states: Any) -> dict[str, Stored]:
    if not isinstance(states, dict):
        return {}
    return {name: item for name, item in states.items() if isinstance(item, Stored) and isinstance(name, str)}


def _other_trainer(keys: list[str]) -> tuple[str, str, str] | None:
    """(kind, what it is, what to do) for a dict that another trainer writes around its weights."""
    if "pytorch-lightning_version" in keys:
        return "lightning", "a PyTorch Lightning checkpoint", "save the 'state_dict' inside it as a file of its own"
    if "ds_version" in keys or "ds_config" in keys or ("module" in keys and "dp_world_size" in keys):
        way_out = "run the zero_to_fp32.py that DeepSpeed left beside it and name its result"
        return "deepspeed", "one part of a DeepSpeed checkpoint", way_out
    if "optimizer_state_dict" in keys and "state_dict" not in keys:
        return "optimizer", "the optimizer state of a training run, without weights", "name the file with the weights"
    return None


def _summary(kind: str, parts: list[Weights]) -> Look:
    tensors = {name: tensor for part in parts for name, tensor in part.tensors.items()}
    dtypes = Counter(tensor.dtype for tensor in tensors.values())
    types = ", ".join(name if len(dtypes) == 1 else f"{count} {name}" for name, count in dtypes.most_common())
    values = sum(tensor.count for tensor in tensors.values())
    detail = f"{len(tensors):,} tensor{'s' * (len(tensors) > 1)}, {values:,} values ({types})"
    extra = extra_of(parts[0])[0]
    detail += "".join(f"; {key} {extra[key]}" for key in ("epoch", "step", "name") if key in extra)
    left_out = [key for part in parts for key in part.beside if key not in extra]
    if left_out:
        detail += f"; with {_some(left_out)}"
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return Look(kind, parts[0].content.container, detail, "", shapes, dict(dtypes), extra)


def extra_of(weights: Weights) -> tuple[dict[str, Any], list[str]]:
    """The plain data beside the tensors, and the names of what holds tensors itself (optimizer, averages)."""
    extra: dict[str, Any] = dict(weights.content.metadata)
    left_out = []
    for key, value in weights.beside.items():
        if key == "optimizer" or holds_tensors(value):
            left_out.append(str(key))
        else:
            extra[str(key)] = plain(value)
    return extra, left_out


# -- pickles that are not torch's


def _pickle(path: Path, data: mmap.mmap) -> Look:
    reading = read_pickle(data, KNOWN, complete=False)
    reached = [reading.value, *reading.reached]
    parts = reached + [part for item in reached if isinstance(item, dict) for part in item.values()]
    is_paddle = path.suffix in (".pdparams", ".pdopt")
    is_paddle = is_paddle or any("StructuredToParameterName@@" in _keys(item) for item in reached)
    if is_paddle or any(isinstance(part, NumpyArray) for part in parts):
        what = "a Paddle weight file" if is_paddle else "a pickle of numpy arrays, as Paddle writes"
        return _cannot("paddle", what, f"{path.name} is {what}: this version reads none; {READABLE}")
    what = "a plain Python pickle" + (f" that names {reading.foreign[0]}" if reading.foreign else "")
    return _cannot("pickle", what, f"{path.name} is {what}, which tuwen does not run: {READABLE}")


# -- folders and sharded files


def _folder(path: Path) -> tuple[Look, list[Weights]]:
    weights = find_weights(path)
    if weights is not None:
        inner, parts = examine(weights)
        if not inner.readable:
            return inner, []
        detail = f"{weights.name}: {inner.detail}"
        family = _family(path / "config.json")
        if family:
            detail = f"config.json says {family}; {detail}"
        return Look("folder", inner.container, detail, "", inner.shapes, inner.dtypes, inner.extra), parts
    names = sorted(item.name for item in path.iterdir())
    if not names:
        reason = f"{path} is an empty folder: expected {WEIGHTS[0]} or {WEIGHTS[2]} in it"
        return _cannot("empty", "an empty folder", reason), []
    if "latest" in names or any(name.startswith("zero_pp_rank") for name in names):
        kind, what, way_out = "deepspeed", "a DeepSpeed checkpoint folder", "run the zero_to_fp32.py in it first"
    elif ".metadata" in names or any(name.endswith(".distcp") for name in names):
        kind, what, way_out = "distributed", "a distributed PyTorch checkpoint", "convert it with torch's dcp_to_torch"
    elif "adapter_config.json" in names:
        kind, what, way_out = "adapter", "an adapter (PEFT) without its base model", "merge it into that model first"
    else:
        kind, what = "folder", f"a folder with {_some(names)}"
        way_out = f"expected {WEIGHTS[0]}, {WEIGHTS[2]}, or a single other weight file"
    return _cannot(kind, what, f"{path} is {what}: {way_out}"), []


def _family(config: Path) -> str:
    try:
        settings = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(settings.get("model_type", "")) if isinstance(settings, dict) else ""


def _index(path: Path) -> tuple[Look, list[Weights]]:
    """The shards that a Hugging Face index names, each beside it, each holding what the index says."""
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
            return _cannot(inner.kind, inner.detail, f"{inner.reason} (named in {path.name})", inner.container), []
        parts += found
    for part in parts:
        absent = [name for name, file in places.items() if file == part.content.path.name and name not in part.tensors]
        if absent:
            raise DamagedError(f"{part.content.path.name} lacks {_some(absent)}")
        part.tensors = {name: item for name, item in part.tensors.items() if places.get(name) == part.content.path.name}
    if not parts:
        raise DamagedError("it names no files")
    return _summary("state-dict", parts), parts


def _some(names: list[str], limit: int = 5) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")
