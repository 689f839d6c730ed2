"""The folders that DeepSpeed's ZeRO optimizer leaves: the float32 weights that its processes hold in pieces.

The layout, and the order of the result (buffers, then parameters), are those of DeepSpeed's own zero_to_fp32.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuwen.checkpoint.containers import Content, Weights
from tuwen.checkpoint.lightning import settings_of
from tuwen.checkpoint.objects import refused
from tuwen.checkpoint.opening import UnreadableError, damaged, open_file, some
from tuwen.checkpoint.pickles import PickleError
from tuwen.checkpoint.records import Joined, Stored

WHOLE_MODEL = "mp_rank_00_model_states.pt"  # stages 1 and 2: every process has the whole model
RANK_MODEL = "zero_pp_rank_{rank}_mp_rank_00_model_states.pt"  # stage 3: each has its share
RANK_OPTIMIZER = "zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
# What only DeepSpeed itself could use; the weights among it are read here.
OWN = (
    "module", "buffer_names", "param_shapes", "frozen_param_shapes", "frozen_param_fragments", "shared_params",
    "state_dict", "optimizer", "lr_scheduler", "sparse_tensor_module_names", "data_sampler", "random_ltd",
)  # fmt: skip
MIXED = "a file of another run is among them, or one is damaged"

Shapes = dict[str, tuple[int, ...]]


def find_model_states(folder: Path) -> Path | None:
    """The file to begin with in a DeepSpeed folder, or in the folder that its file `latest` names; None in any other.

    UnreadableError where the folder is DeepSpeed's but that file is not there.
    """
    latest = folder / "latest"
    if latest.is_file():
        tag = latest.read_bytes()[:256].decode("utf-8", "replace").strip()
        if not tag or Path(tag).name != tag or not (folder / tag).is_dir():
            raise _wrong(folder, f"`latest` names {tag!r}, which is no folder in it: name the folder with the files")
        folder = folder / tag
    elif not any(folder.glob("*_model_states.pt")) and not any(folder.glob("*_optim_states.pt")):
        return None
    for name in (WHOLE_MODEL, _of_rank(RANK_MODEL, 0)):
        if (folder / name).is_file():
            return folder / name
    raise _wrong(folder, f"it has neither {WHOLE_MODEL} nor {_of_rank(RANK_MODEL, 0)}: copy it again")


def is_model_states(value: Any) -> bool:
    """Whether this is what DeepSpeed pickles around a model, whatever other trainer's keys are beside it."""
    marks = ("param_shapes", "ds_version", "ds_config", "dp_world_size")
    return isinstance(value, dict) and "module" in value and any(mark in value for mark in marks)


def deepspeed_weights(content: Content) -> Weights:
    """All tensors, as float32 and named as in the file, of a model-states file with the rank files beside it."""
    folder = content.path.parent
    ranks = _ranks(folder, content)
    stage = ranks[0]["zero_stage"]
    if stage == 3 and content.path.name == WHOLE_MODEL:
        content = _open(folder / _of_rank(RANK_MODEL, 0))
    try:
        model = _Model(content)
        tensors: dict[str, Stored | Joined] = dict(model.buffers())
        tensors |= _frozen(model, len(ranks), stage)
        if stage == 3:
            tensors |= dict(_split(model, [_flats(rank, "fp32_flat_groups") for rank in ranks]))
        else:
            tensors |= dict(_grouped(model, [_flats(rank, "single_partition_of_fp32_groups") for rank in ranks]))
        tensors |= {name: tensors[same] for name, same in model.shared().items() if same in tensors}
    except (PickleError, TypeError) as error:
        raise damaged(content.path, error) from error
    beside, notes = settings_of(content.value, OWN)
    notes.append("left out: optimizer")
    facts = f"DeepSpeed {model.version}, ZeRO stage {stage}, {_ranks_of(len(ranks))}, {folder.name}"
    return Weights(replace(content, container="deepspeed"), tensors, beside, notes=notes, facts=facts)


def _wrong(folder: Path, what: str) -> UnreadableError:
    reason = f"{folder} is a DeepSpeed checkpoint folder, but {what}"
    return UnreadableError("deepspeed", "a DeepSpeed checkpoint folder", reason, "deepspeed")


def _open(path: Path) -> Content:
    content = open_file(path)
    names = refused(content)
    if names or not isinstance(content.value, dict):
        what = f"asks for {some(names)}, which tuwen does not run" if names else "holds no dict"
        raise UnreadableError("refused", what, f"{path.name} {what}: use files that DeepSpeed itself wrote")
    return content


# -- the files of the ranks


def _ranks(folder: Path, content: Content) -> list[dict[str, Any]]:
    """The optimizer's state of every rank, in their order; each is one file."""
    paths = {path.name: path for path in folder.glob("*_optim_states.pt")}
    first = min(paths, key=_numbers, default=_of_rank(RANK_OPTIMIZER, 0))
    # The name may begin with the type of the weights: bf16_zero_pp_rank_0_...
    names = re.sub(r"(?<=pp_rank_)\d+", "{rank}", first, count=1)
    way_out = "copy all files of the run, or name what its zero_to_fp32.py writes"
    if "{rank}" not in names or _of_rank(names, 0) not in paths:
        zero = _of_rank(names if "{rank}" in names else RANK_OPTIMIZER, 0)
        raise _wrong(folder, f"{zero} is not beside {content.path.name}: {way_out}")
    states = [_optimizer(paths[_of_rank(names, 0)])]
    size = states[0]["partition_count"]
    missing = [name for rank in range(size) if (name := _of_rank(names, rank)) not in paths]
    if missing:
        raise _wrong(folder, f"{some(missing)}, of {_ranks_of(size)}, is not there: {way_out}")
    if len(paths) > size:
        what = f"it has {len(paths)} files of ranks where {size} wrote it"
        raise _wrong(folder, f"{what}: put the files of another run or of model parallelism elsewhere")
    states += [_optimizer(paths[_of_rank(names, rank)]) for rank in range(1, size)]
    for rank, state in enumerate(states):
        if (state["zero_stage"], state["partition_count"]) != (states[0]["zero_stage"], size):
            raise _wrong(folder, f"{_of_rank(names, rank)} is of another run than {_of_rank(names, 0)}")
    return states


def _of_rank(name: str, rank: int) -> str:
    return name.replace("{rank}", str(rank))


def _ranks_of(count: int) -> str:
    return f"{count} rank{'s' * (count > 1)}"


def _numbers(name: str) -> list[int]:
    """Rank 10 comes after rank 9."""
    return [int(number) for number in re.findall(r"\d+", name)]


def _optimizer(path: Path) -> dict[str, Any]:
    """One rank's optimizer state, with `zero_stage` and `partition_count` as plain numbers and its `path`."""
    state = _open(path).value.get("optimizer_state_dict")
    state = state if isinstance(state, dict) else {}
    stage, size = state.get("zero_stage"), state.get("partition_count")
    if isinstance(size, list) and size and all(type(number) is int for number in size):
        size = max(size)  # one count per group where experts are spread otherwise
    if type(stage) is not int or stage not in (1, 2, 3) or type(size) is not int or not 0 < size < 1 << 16:
        what = f"zero_stage {stage!r} and partition_count {size!r}"
        reason = f"{path.name} has {what} where stage 1, 2 or 3 and a number of ranks were expected: it is no ZeRO file"
        raise UnreadableError("deepspeed", what, reason, "deepspeed")
    return {**state, "zero_stage": stage, "partition_count": size, "path": path}


def _flats(state: Mapping[str, Any], key: str) -> list[Stored]:
    """The flat float32 tensors of one rank, one per group."""
    flats = state.get(key)
    flats = [flats] if isinstance(flats, Stored) else flats
    if not isinstance(flats, list) or not all(isinstance(flat, Stored) and len(flat.shape) == 1 for flat in flats):
        raise damaged(state["path"], f"its {key} are no flat tensors")
    if any(flat.strides != (1,) for flat in flats if flat.count > 1):
        raise damaged(state["path"], f"its {key} lie in steps")
    return flats


# -- the model-states file


class _Model:
    """What a model-states file says of names and shapes."""

    def __init__(self, content: Content) -> None:
        self.path = content.path
        self.value: dict[str, Any] = content.value
        self.version = str(self.value.get("ds_version") or "of unknown version")
        module = self.value["module"]
        self.module: dict[str, Any] = module if isinstance(module, dict) else {}
        if not isinstance(self.value.get("buffer_names"), list) or not self.value.get("param_shapes"):
            what = "a model that DeepSpeed saved without ZeRO"
            reason = f"{self.path.name} has no buffer_names and param_shapes: it is {what}, which is not supported"
            raise UnreadableError("deepspeed", what, reason, content.container)
        groups = self.value["param_shapes"]
        self.groups = [self.shapes(group) for group in (groups if isinstance(groups, list) else [groups])]

    def shapes(self, group: Any) -> Shapes:
        if not isinstance(group, dict):
            raise PickleError("parameters without shapes")
        for name, shape in group.items():
            counts = isinstance(shape, tuple | list) and all(type(n) is int and 0 <= n < 1 << 40 for n in shape)
            if not isinstance(name, str) or not counts or math.prod(shape) >= 1 << 48:
                raise PickleError(f"the shape of {name} is {shape}")
        return {name: tuple(shape) for name, shape in group.items()}

    def buffers(self) -> Iterator[tuple[str, Joined]]:
        names = set(self.value["buffer_names"])
        for name, item in self.module.items():
            if name in names and isinstance(item, Stored):
                yield name, Joined((item,), item.shape)

    def shared(self) -> dict[str, str]:
        """Names of tied parameters, each with the name under which the parameter is kept."""
        shared = self.value.get("shared_params") or {}
        pairs = shared.items() if isinstance(shared, dict) else []
        return {name: same for name, same in pairs if isinstance(name, str) and isinstance(same, str)}


def _frozen(model: _Model, size: int, stage: int) -> dict[str, Joined]:
    """Parameters that were not trained: they lie in the model-states files, at stage 3 in one piece per rank."""
    if not model.value.get("frozen_param_shapes"):
        return {}
    shapes = model.shapes(model.value["frozen_param_shapes"])
    models = [model.value]
    if stage == 3:
        models += [_open(model.path.with_name(_of_rank(RANK_MODEL, rank))).value for rank in range(1, size)]
    fragments = [value.get("frozen_param_fragments") for value in models]
    found: dict[str, Joined] = {}
    for name, shape in shapes.items():
        parts = [part.get(name) if isinstance(part, dict) else None for part in fragments]
        if not all(isinstance(part, Stored) for part in parts):
            raise PickleError(f"the frozen parameter {name} is missing")
        found[name] = _joined(name, tuple(part for part in parts if isinstance(part, Stored)), shape)
    return found


def _joined(name: str, parts: tuple[Stored, ...], shape: tuple[int, ...]) -> Joined:
    here, wanted = sum(part.count for part in parts), math.prod(shape)
    if here < wanted:
        raise PickleError(f"{name} has {here:,} numbers of {wanted:,}")
    return Joined(parts, shape)


# -- the parameters


def _grouped(model: _Model, ranks: Sequence[list[Stored]]) -> Iterator[tuple[str, Joined]]:
    """Stages 1 and 2: each group is one long row of numbers over the ranks, cut at the lengths of its parameters."""
    if any(len(flats) != len(model.groups) for flats in ranks):
        counts = ", ".join(str(len(flats)) for flats in ranks)
        raise _wrong(model.path.parent, f"its ranks hold {counts} groups where {len(model.groups)} were expected")
    step = 2 * len(ranks)  # DeepSpeed pads a group so that every rank's share is aligned
    for number, shapes in enumerate(model.groups):
        row = [flats[number] for flats in ranks]
        found, wanted = sum(flat.count for flat in row), sum(math.prod(shape) for shape in shapes.values())
        if found < wanted or math.ceil(found / step) != math.ceil(wanted / step):
            what = (
                f"group {number} has {found:,} numbers where {wanted:,}, padded to a multiple of {step}, were expected"
            )
            raise _wrong(model.path.parent, f"{what}: {MIXED}")
        start = 0
        for name, shape in shapes.items():
            end = start + math.prod(shape)
            yield name, Joined(tuple(_cut(row, start, end)), shape)
            start = end


def _split(model: _Model, ranks: Sequence[list[Stored]]) -> Iterator[tuple[str, Joined]]:
    """Stage 3: every parameter is split over all ranks, the last share padded; on a rank they follow one another."""
    shapes = {name: shape for group in model.groups for name, shape in group.items()}
    shares = {name: math.ceil(math.prod(shape) / len(ranks)) for name, shape in shapes.items()}
    wanted = sum(shares.values())
    for rank, row in enumerate(ranks):
        found = sum(flat.count for flat in row)
        if found != wanted:
            what = f"rank {rank} has {found:,} numbers where {wanted:,} were expected"
            raise _wrong(model.path.parent, f"{what}: {MIXED}")
    start = 0
    for name, shape in shapes.items():
        end = start + shares[name]
        yield name, Joined(tuple(part for row in ranks for part in _cut(row, start, end)), shape)
        start = end


def _cut(row: Sequence[Stored], start: int, end: int) -> Iterator[Stored]:
    """Numbers `start` to `end` of flat tensors laid end to end: a view of each that has some of them."""
    here = 0
    for flat in row:
        first, last = max(start, here), min(end, here + flat.count)
        if first < last:
            yield Stored(flat.storage, flat.dtype, (last - first,), (1,), flat.offset + first - here)
        here += flat.count
