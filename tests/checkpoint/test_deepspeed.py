from __future__ import annotations

import math
import sys
import types
from collections import OrderedDict
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tuwen.checkpoint import bare, find_weights, look, read
from tuwen.errors import CheckpointError

SHAPES: list[dict[str, tuple[int, ...]]] = [
    {"a.weight": (3, 5), "a.scale": (), "b.weight": (7,)},
    {"a.bias": (5,), "b.bias": (1,)},
]
BUFFERS = {"b.ids": torch.arange(6).reshape(2, 3), "a.mean": torch.arange(4).half()}
STAGES = pytest.mark.parametrize("stage", [1, 2, 3])


STAGE = Enum("STAGE", {"gradients": 2})
STAGE.__module__, STAGE.__name__, STAGE.__qualname__ = "deepspeed.runtime.zero.config", *["ZeroStageEnum"] * 2


def weights() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        f"module.model.{name}": torch.randn(shape, generator=random)
        for group in SHAPES
        for name, shape in group.items()
    }


def expected() -> dict[str, Tensor]:
    return {**{f"module.model.{name}": tensor.float() for name, tensor in BUFFERS.items()}, **weights()}


def padded(row: Tensor, step: int) -> Tensor:
    return torch.nn.functional.pad(row, (0, -len(row) % step))


def shares(stage: int, ranks: int) -> list[list[Tensor]]:
    """What each rank holds: as DeepSpeed lays out its groups."""
    values = weights()
    groups = [[values[f"module.model.{name}"].flatten() for name in group] for group in SHAPES]
    if stage == 3:
        split = [[padded(row, ranks).chunk(ranks) for row in group] for group in groups]
        return [[torch.cat([row[rank] for row in group]) for group in split] for rank in range(ranks)]
    rows = [padded(torch.cat(group), 2 * ranks).chunk(ranks) for group in groups]
    return [[row[rank] for row in rows] for rank in range(ranks)]


def write(folder: Path, stage: int = 2, ranks: int = 3, **more: Any) -> Path:
    """A folder as DeepSpeed leaves it, its weights in half precision beside the float32 pieces."""
    tag = folder / "global_step7"
    tag.mkdir(parents=True)
    (folder / "latest").write_text("global_step7")
    module = {f"module.model.{name}": tensor for name, tensor in BUFFERS.items()}
    shapes = [
        OrderedDict({f"module.model.{name}": torch.Size(shape) for name, shape in group.items()}) for group in SHAPES
    ]
    model: dict[str, Any] = {
        "module": {**{name: tensor.half() for name, tensor in weights().items()}, **module},
        "buffer_names": list(module),
        "param_shapes": shapes,
        "ds_version": "0.9.5",
        "global_steps": 7,
        **more,
    }
    names = [f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt" for rank in range(ranks)]
    for name in names if stage == 3 else ["mp_rank_00_model_states.pt"]:
        torch.save(model, tag / name)
    key = "fp32_flat_groups" if stage == 3 else "single_partition_of_fp32_groups"
    for rank, row in enumerate(shares(stage, ranks)):
        state = {"zero_stage": stage, "partition_count": ranks, key: [part.clone() for part in row]}
        content = {"optimizer_state_dict": state, "ds_version": "0.9.5"}
        torch.save(content, tag / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    return tag


def change(path: Path, **settings: Any) -> None:
    """Set keys of a saved dict, or of the optimizer state in it."""
    content = torch.load(path, weights_only=False)
    content.get("optimizer_state_dict", content).update(settings)
    torch.save(content, path)


def assert_whole(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == torch.float32 and torch.equal(found[name], tensor), name


@STAGES
@pytest.mark.parametrize("ranks", [1, 2, 3, 11])
def test_the_pieces_of_all_ranks_become_the_tensors(tmp_path: Path, stage: int, ranks: int) -> None:
    tag = write(tmp_path / "run", stage, ranks)
    for path in (tmp_path / "run", tag, find_weights(tag), find_weights(tmp_path / "run")):
        assert path is not None
        found = read(path)
        assert found.container == "deepspeed" and found.notes == ["left out: optimizer"]
        assert found.extra == {"ds_version": "0.9.5", "global_steps": 7}
        assert_whole(found.tensors, expected())


@STAGES
def test_a_deepspeed_folder_is_described_without_its_numbers(tmp_path: Path, stage: int) -> None:
    write(tmp_path / "run", stage, 2)
    found = look(tmp_path / "run")
    assert (found.kind, found.container, found.readable) == ("deepspeed", "deepspeed", True)
    assert found.shapes == {name: tuple(tensor.shape) for name, tensor in expected().items()}
    assert f"7 tensors, 39 values (float32); DeepSpeed 0.9.5, ZeRO stage {stage}, 2 ranks, global_step7" in found.detail


def test_a_folder_of_lightning_with_deepspeed_is_found_and_gives_its_settings(tmp_path: Path) -> None:
    settings = {"hyper_parameters": {"config": {"precision": 16}}, "pytorch-lightning_version": "1.5.10", "epoch": 2}
    write(tmp_path / "model" / "last.ckpt", 2, 2, state_dict={}, callbacks={}, **settings)
    (tmp_path / "model" / "config.json").write_text('{"model_type": "vle"}')
    found = read(tmp_path / "model")
    assert_whole(bare(found.tensors), {name.removeprefix("module.model."): item for name, item in expected().items()})
    assert found.extra.items() >= settings.items() and "left out: callbacks" in found.notes


@pytest.mark.parametrize("stage", [2, 3])
def test_frozen_and_tied_parameters_are_found_too(tmp_path: Path, stage: int) -> None:
    frozen = torch.randn(3, 3)
    tag = write(tmp_path, stage, 2, shared_params={"head.weight": "module.model.a.weight", "none": "nowhere"})
    pieces = padded(frozen.flatten(), 2).chunk(2) if stage == 3 else [frozen]
    for path, piece in zip(sorted(tag.glob("*_model_states.pt")), pieces, strict=True):
        change(path, frozen_param_shapes={"f": frozen.shape}, frozen_param_fragments={"f": piece.clone()})
    found = read(tmp_path).tensors
    assert torch.equal(found["f"], frozen) and torch.equal(found["head.weight"], weights()["module.model.a.weight"])
    assert "none" not in found


def test_the_trainers_own_objects_do_not_hinder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scaler = type("LossScaler", (), {"__module__": "deepspeed.scaler"})
    for name in ("deepspeed", "deepspeed.runtime", "deepspeed.runtime.zero", "deepspeed.scaler", STAGE.__module__):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for kind in (scaler, STAGE):
        setattr(sys.modules[kind.__module__], kind.__name__, kind)
    tag = write(tmp_path, 2, 2)
    for path in tag.glob("*_optim_states.pt"):
        change(path, loss_scaler=scaler(), zero_stage=STAGE(2))
    change(tag / "mp_rank_00_model_states.pt", scaler=scaler())
    found = read(tmp_path)
    assert_whole(found.tensors, expected())
    assert "left out, no plain data: scaler (deepspeed.scaler.LossScaler)" in found.notes


def test_a_parameter_in_one_piece_is_a_view_of_its_file(tmp_path: Path) -> None:
    write(tmp_path, 2, 1)
    found = read(tmp_path).tensors
    assert found["module.model.a.weight"].storage_offset() == 0
    assert found["module.model.b.weight"].storage_offset() == 16
    first, second = (found[f"module.model.{name}"].untyped_storage() for name in ("a.weight", "b.weight"))
    assert first.data_ptr() == second.data_ptr()


@pytest.mark.parametrize("stage", [2, 3])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_missing_rank_is_named(tmp_path: Path, stage: int, rank: int) -> None:
    tag = write(tmp_path, stage, 3)
    name = f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
    (tag / name).unlink()
    for path in (tmp_path, tag, find_weights(tmp_path)):
        assert path is not None
        with pytest.raises(CheckpointError, match=rf"DeepSpeed .*{name}.* is not ") as raised:
            read(path)
        assert look(path).reason == str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_model_file_or_folder_is_named(tmp_path: Path) -> None:
    tag = write(tmp_path, 2, 2)
    (tag / "mp_rank_00_model_states.pt").unlink()
    with pytest.raises(CheckpointError, match="neither mp_rank_00_model_states"):
        read(tmp_path)
    for name in ("global_step9", "../elsewhere", ""):
        (tmp_path / "latest").write_text(name)
        with pytest.raises(CheckpointError, match=f"`latest` names '{name}'"):
            read(tmp_path)
        assert find_weights(tmp_path) is None


@pytest.mark.parametrize("stage", [2, 3])
@pytest.mark.parametrize("difference", [-5, 5])
def test_a_wrong_total_is_said_in_numbers(tmp_path: Path, stage: int, difference: int) -> None:
    tag = write(tmp_path, stage, 2)
    rank = tag / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    key = "fp32_flat_groups" if stage == 3 else "single_partition_of_fp32_groups"
    first, second = torch.load(rank)["optimizer_state_dict"][key]
    wrong = torch.zeros(len(first) + difference)
    change(rank, **{key: [wrong, second]})
    sizes = [math.prod(shape) for group in SHAPES for shape in group.values()]
    wanted = sum(math.ceil(size / 2) for size in sizes) if stage == 3 else sum(sizes[:3])
    here = len(wrong) + (len(second) if stage == 3 else len(first))
    with pytest.raises(CheckpointError, match=f"has {here} numbers where {wanted}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("optim", {"zero_stage": 4}, "zero_stage 4 and"),
        ("optim", {"partition_count": 0}, "partition_count 0"),
        ("optim", {"partition_count": "2"}, "partition_count '2'"),
        ("optim", {"partition_count": 1}, "2 files of ranks where 1 wrote it"),
        ("optim", {"single_partition_of_fp32_groups": None}, "no flat tensors"),
        ("optim", {"single_partition_of_fp32_groups": [torch.ones(2, 2)]}, "no flat tensors"),
        ("optim", {"single_partition_of_fp32_groups": [torch.ones(2)]}, "1, 2 groups where 2 were expected"),
        ("model", {"param_shapes": None}, "without ZeRO"),
        ("model", {"param_shapes": [3]}, "without shapes"),
        ("model", {"param_shapes": [{"a": (-1,)}]}, "shape of a is"),
        ("model", {"param_shapes": [{"a": (1 << 39, 1 << 39)}]}, "shape of a is"),
        ("model", {"buffer_names": 3}, "without ZeRO"),
        ("model", {"buffer_names": [{}]}, "damaged"),
        ("model", {"frozen_param_shapes": {"f": (3,)}}, "frozen parameter f is missing"),
        ("model", {"callback": print}, "asks for builtins.print"),
        ("optim", {"callback": print}, "asks for builtins.print"),
    ],
)
def test_a_changed_file_is_one_sentence(tmp_path: Path, name: str, settings: dict[str, Any], said: str) -> None:
    tag = write(tmp_path, 2, 2)
    path = {"optim": "zero_pp_rank_0_mp_rank_00_optim_states.pt", "model": "mp_rank_00_model_states.pt"}[name]
    change(tag / path, **settings)
    with pytest.raises(CheckpointError, match=said) as raised:
        read(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["mp_rank_00_model_states.pt", "zero_pp_rank_1_mp_rank_00_optim_states.pt"])
def test_a_cut_or_flipped_file_is_named(tmp_path: Path, name: str) -> None:
    tag = write(tmp_path, 2, 2)
    whole = (tag / name).read_bytes()
    for place in range(0, len(whole) - 1, 101):
        (tag / name).write_bytes(whole[:place])
        with pytest.raises(CheckpointError, match=name):
            read(tmp_path)
        (tag / name).write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            read(tmp_path)
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_the_file_of_one_rank_points_to_its_folder(tmp_path: Path) -> None:
    tag = write(tmp_path, 2, 2)
    with pytest.raises(CheckpointError, match=f"one process's part of a DeepSpeed checkpoint: name its folder, {tag}"):
        read(tag / "zero_pp_rank_1_mp_rank_00_optim_states.pt")


def test_what_zero_to_fp32_wrote_is_read_beside_the_folder_it_came_from(tmp_path: Path) -> None:
    write(tmp_path, 2, 2)
    torch.save(expected(), tmp_path / "pytorch_model.bin")
    assert find_weights(tmp_path) == tmp_path / "pytorch_model.bin"
    found = read(tmp_path)
    assert found.container == "torch-zip" and list(bare(found.tensors))[:2] == ["b.ids", "a.mean"]
