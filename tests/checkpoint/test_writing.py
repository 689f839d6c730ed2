from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from tuwen.checkpoint import digest, read, replacing, write_original, write_safetensors
from tuwen.errors import CheckpointError

DTYPES = (
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.complex64, torch.float8_e4m3fn,
    torch.float8_e5m2,
)  # fmt: skip


def weights() -> dict[str, Tensor]:
    whole = torch.randn(4, 6)
    named = {f"z.{place}": torch.arange(4).reshape(2, 2).to(dtype) for place, dtype in enumerate(DTYPES)}
    return {
        "logit_scale": torch.tensor(2.6),
        "text": whole.T,
        "b": whole[1:3],
        "a": torch.empty(0, 2),
        "名": whole,
        **named,
    }


def assert_equal_bits(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        if tensor.numel():
            raw = [value.contiguous().reshape(-1).view(torch.uint8) for value in (found[name], tensor)]
            assert torch.equal(*raw), name


def test_an_original_file_reads_back_equal_in_the_same_order(tmp_path: Path) -> None:
    expected = weights()
    write_original(tmp_path / "a.pt", expected, {"epoch": 2, "step": 9, "name": "run", "note": [1, (2.0, None)]})
    found = read(tmp_path / "a.pt")
    assert list(found.tensors) == list(expected)
    assert_equal_bits(found.tensors, expected)
    assert found.extra == {"epoch": 2, "step": 9, "name": "run", "note": [1, (2.0, None)]}


def test_an_original_file_is_one_that_torch_itself_loads_safely(tmp_path: Path) -> None:
    write_original(tmp_path / "a.pt", weights(), {})
    found = torch.load(tmp_path / "a.pt", weights_only=True)
    assert list(found) == ["epoch", "step", "name", "state_dict"]
    assert_equal_bits(found["state_dict"], weights_without_noise(found["state_dict"]))
    write_original(tmp_path / "bare.pt", {"a": torch.ones(2)})
    assert list(torch.load(tmp_path / "bare.pt", weights_only=True)) == ["a"]


def weights_without_noise(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The expected values of those that are not random."""
    return {name: tensor for name, tensor in weights().items() if name.startswith("z.") and name in found}


def test_a_slice_is_written_without_the_rest_of_its_storage(tmp_path: Path) -> None:
    write_original(tmp_path / "a.pt", {"a": torch.zeros(1 << 20)[:4]}, {})
    assert (tmp_path / "a.pt").stat().st_size < 4096


def test_one_tensor_under_two_names_is_written_once(tmp_path: Path) -> None:
    tensor = torch.zeros(1 << 16)
    write_original(tmp_path / "a.pt", {"a": tensor, "b": tensor}, {})
    assert (tmp_path / "a.pt").stat().st_size < tensor.nbytes * 3 // 2


def test_what_was_read_can_be_written_over_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    write_original(path, weights(), {})
    before = digest(read(path).tensors)
    write_original(path, read(path).tensors, {"epoch": 1})
    assert digest(read(path).tensors) == before


@pytest.mark.parametrize("write", [write_original, write_safetensors])
def test_the_same_weights_are_the_same_bytes(tmp_path: Path, write: Any) -> None:
    tensors = weights()
    for name in ("a", "b"):
        write(tmp_path / name, tensors, {"epoch": "1", "x": "2"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_safetensors_file_is_the_bytes_that_its_own_library_writes(tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous().clone() for name, tensor in weights().items()}
    write_safetensors(tmp_path / "ours", tensors)
    safetensors.torch.save_file(tensors, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_safetensors_file_reads_back_equal(tmp_path: Path) -> None:
    expected = weights()
    write_safetensors(tmp_path / "a.safetensors", expected, {"made": "here"})
    found = read(tmp_path / "a.safetensors")
    assert found.extra == {"format": "pt", "made": "here"} and found.tensors.keys() == expected.keys()
    assert_equal_bits(found.tensors, expected)
    assert digest(found.tensors) == digest(expected)


def test_a_type_that_safetensors_has_no_name_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a is of type torch\.complex128"):
        write_safetensors(tmp_path / "a.safetensors", {"a": torch.zeros(1, dtype=torch.complex128)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extra", [{"path": Path("x")}, {"deep": [{"a": {1}}]}, {"state_dict": {}}])
def test_extra_that_is_not_plain_is_refused(tmp_path: Path, extra: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="extra"):
        write_original(tmp_path / "a.pt", {"a": torch.ones(1)}, extra)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_original, write_safetensors])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"cannot write .*a: No space left on device"):
        write(tmp_path / "a", {"a": torch.ones(2)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("write", [write_original, write_safetensors])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, write: Any) -> None:
    with pytest.raises(CheckpointError, match=r"cannot write .*nowhere"):
        write(tmp_path / "nowhere" / "a", {"a": torch.ones(2)}, {})


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_the_digest_depends_on_names_types_shapes_and_bits_only() -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    same = {"b": torch.ones(4)[::2], "a": torch.arange(6.0).reshape(2, 3).T.contiguous().T}
    assert digest(tensors) == digest(same)
    others = (
        {**tensors, "b": torch.tensor([1.0, -1.0])},
        {**tensors, "b": torch.ones(2, dtype=torch.float16)},
        {**tensors, "b": torch.ones(2, 1)},
        {"a": tensors["a"], "c": tensors["b"]},
        {**tensors, "a": tensors["a"].reshape(3, 2)},
    )
    assert len({digest(tensors), *map(digest, others)}) == 6


def test_minus_zero_and_every_nan_survive(tmp_path: Path) -> None:
    bits = torch.tensor([-0x80000000, 0x7FC00001, -1, 0x7F800001], dtype=torch.int32)
    for name, write in (("a.pt", write_original), ("a.safetensors", write_safetensors)):
        write(tmp_path / name, {"a": bits.view(torch.float32)}, {})
        assert torch.equal(read(tmp_path / name).tensors["a"].view(torch.int32), bits)
