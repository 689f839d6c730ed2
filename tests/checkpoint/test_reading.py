from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from tuwen.checkpoint import Checkpoint, pickles, read, strip_prefix
from tuwen.errors import CheckpointError

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool)


WRITTEN_BY_THIS_NUMPY = f"c{np.float64(1).__reduce__()[0].__module__}\n".encode()


def states() -> dict[str, Tensor]:
    whole = torch.randn(4, 6)
    named = {f"of.{str(dtype)[6:]}": torch.randint(0, 2, (2, 3)).to(dtype) for dtype in DTYPES}
    return {
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "transposed": whole.T,
        "row": whole[2],
        "column": whole[:, 1],
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "same.a": whole,
        "same.b": whole,
        **named,
    }


def wrapped(states: dict[str, Tensor]) -> dict[str, Any]:
    return {"epoch": 3, "step": 1234, "name": "run", "state_dict": states}


def save(content: Any, path: Path, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].stride() == tensor.stride(), name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_torch_file_gives_every_tensor_as_it_was_saved(tmp_path: Path, legacy: bool) -> None:
    expected = states()
    found = read(save(wrapped(expected), tmp_path / "a.pt", legacy))
    assert found.container == ("torch-legacy" if legacy else "torch-zip")
    assert found.extra == {"epoch": 3, "step": 1234, "name": "run"}
    assert_same(found.tensors, expected)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_tensors_that_share_a_storage_share_it_again(tmp_path: Path, legacy: bool) -> None:
    found = read(save(wrapped(states()), tmp_path / "a.pt", legacy)).tensors
    assert found["same.a"].data_ptr() == found["same.b"].data_ptr() == found["transposed"].data_ptr()


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.float8_e4m3fn, torch.complex64], ids=str)
def test_newer_types_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(6).to(dtype).reshape(2, 3)
    found = read(save({"a": tensor}, tmp_path / "a.pt")).tensors["a"]
    assert found.dtype == dtype and torch.equal(found.view(torch.uint8), tensor.view(torch.uint8))


def test_a_bare_state_dict_is_read_and_said_to_be_bare(tmp_path: Path) -> None:
    found = read(save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "a.bin"))
    assert list(found.tensors) == ["weight", "bias"] and found.extra == {}
    assert "bare state dict" in found.notes[0]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_weights_under_learnable_are_read_without_what_lies_beside(tmp_path: Path, legacy: bool) -> None:
    expected = states()
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    path = save({"learnable": expected, "optimizer": optimizer, "epoch": 4}, tmp_path / "a.pth", legacy)
    found = read(path)
    assert_same(found.tensors, expected)
    assert found.extra == {"epoch": 4} and found.notes == ["left out: optimizer"]
    assert torch.equal(read(path, optimizer=True).extra["optimizer"]["state"][0]["momentum_buffer"], torch.ones(2))


def test_writing_into_a_tensor_that_was_read_leaves_the_file_alone(tmp_path: Path) -> None:
    path = save({"a": torch.ones(3)}, tmp_path / "a.pt")
    before = path.read_bytes()
    read(path).tensors["a"].zero_()
    assert path.read_bytes() == before
    assert torch.equal(read(path).tensors["a"], torch.ones(3))


def trained(path: Path) -> tuple[Path, dict[str, Any]]:
    """A file with AdamW's state as the original leaves it: its cosine schedule sets the rate to a numpy number."""
    moments = {"step": torch.tensor(1.0), "exp_avg": torch.randn(3, 2), "exp_avg_sq": torch.rand(3, 2)}
    group = {"lr": np.float64(1e-5) / 3, "betas": (0.9, 0.98), "amsgrad": False, "foreach": None, "params": [0]}
    state = {"state": {0: moments}, "param_groups": [group]}
    return save({**wrapped({"weight": torch.randn(3, 2)}), "optimizer": state}, path), state


def test_the_optimizer_is_left_out_and_noted(tmp_path: Path) -> None:
    path, _ = trained(tmp_path / "a.pt")
    found = read(path)
    assert "optimizer" not in found.extra and found.notes == ["left out: optimizer"]


def test_the_optimizer_comes_whole_when_asked_for(tmp_path: Path) -> None:
    path, expected = trained(tmp_path / "a.pt")
    found = read(path, optimizer=True).extra["optimizer"]
    assert found["param_groups"] == expected["param_groups"]
    assert torch.equal(found["state"][0]["exp_avg"], expected["state"][0]["exp_avg"])


def test_numpy_names_of_old_and_new_numpy_are_both_read(tmp_path: Path) -> None:
    for place, module in enumerate(("numpy.core.multiarray", "numpy._core.multiarray")):
        content = io.BytesIO()
        data: dict[str, Any] = {
            "state_dict": {"a": torch.ones(2)},
            "rate": np.float64(1 / 3),
            "grid": np.arange(6.0).reshape(2, 3).T,
        }
        torch.save(data, content)
        path = tmp_path / f"{place}.pt"
        rewrite(path, content.getvalue(), WRITTEN_BY_THIS_NUMPY, f"c{module}\n".encode())
        extra = read(path).extra
        assert extra["rate"] == 1 / 3 and np.array_equal(extra["grid"], data["grid"])


def rewrite(path: Path, content: bytes, old: bytes, new: bytes) -> None:
    """Write a torch file to `path` with `old` in its pickle replaced by `new`."""
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                assert old in data
                data = data.replace(old, new)
            target.writestr(name, data)


def test_a_safetensors_file_is_read_with_its_metadata(tmp_path: Path) -> None:
    expected = {name: tensor.contiguous().clone() for name, tensor in states().items()}
    safetensors.torch.save_file(expected, tmp_path / "a.safetensors", {"format": "pt"})
    found = read(tmp_path / "a.safetensors")
    assert found.container == "safetensors" and found.extra == {"format": "pt"}
    assert_same(dict(sorted(found.tensors.items())), dict(sorted(expected.items())))


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_a_sharded_file_is_read_through_its_index_or_folder(tmp_path: Path, ending: str) -> None:
    shards = {f"part-{n}.{ending}": {f"{n}.weight": torch.randn(2), f"{n}.bias": torch.randn(2)} for n in range(2)}
    for file, tensors in shards.items():
        write = safetensors.torch.save_file if ending == "safetensors" else torch.save
        write(tensors, tmp_path / file)
    places = {name: file for file, tensors in shards.items() for name in tensors}
    stem = "model" if ending == "safetensors" else "pytorch_model"
    index = tmp_path / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    for path in (index, tmp_path):
        found = read(path).tensors
        assert found.keys() == places.keys() and torch.equal(found["1.bias"], shards[f"part-1.{ending}"]["1.bias"])


def test_an_index_that_points_elsewhere_or_to_nothing_is_refused(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for places, said in ({"a": "../x.safetensors"}, "no file beside it"), ({"a": "x.safetensors"}, "does not exist"):
        index.write_text(json.dumps({"weight_map": places}))
        with pytest.raises(CheckpointError, match=said):
            read(index)
    safetensors.torch.save_file({"b": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=r"x\.safetensors lacks a"):
        read(index)


def test_values_that_are_no_tensors_are_left_out_by_name(tmp_path: Path) -> None:
    found = read(save({"state_dict": {"a": torch.ones(1), "b": 3}, "ema": {"a": torch.ones(1)}}, tmp_path / "a.pt"))
    assert list(found.tensors) == ["a"]
    assert found.notes == ["left out, no tensor: b", "left out: ema"]


# -- what is refused


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def ran(*_: Any) -> None:
    raise AssertionError("the file was run")


ATTACKS: dict[str, tuple[Any, str]] = {
    "os.system": (Calls(__import__("os").system, "echo pwned > pwned"), "(posix|nt).system"),
    "eval": (Calls(eval, "open('pwned', 'w')"), "builtins.eval"),
    "getattr": (Calls(getattr, "text", "format"), "builtins.getattr"),
    "torch.load": (Calls(torch.load, "other.pt"), "torch.serialization.load"),
    "torch.hub": (Calls(torch.hub.load, "someone/repo", "model"), "torch.hub.load"),
    "own class": (Checkpoint(Path("x"), "", {}), "tuwen.checkpoint.reading.Checkpoint"),
    "test function": (Calls(ran), "ran"),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("where", ["weights", "beside", "instead"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_that_asks_to_run_something_is_refused_by_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str, where: str, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    # Pickled by name, so that the module must exist where the file is written.
    module = types.ModuleType("attack")
    monkeypatch.setitem(sys.modules, "attack", module)
    monkeypatch.setattr(ran, "__module__", "attack")
    module.ran = ran  # type: ignore[attr-defined]
    evil, name = ATTACKS[attack]
    weights = {"a": torch.ones(2)}
    content = {
        "weights": {"state_dict": {**weights, "b": evil}},
        "beside": {"state_dict": weights, "args": [evil]},
        "instead": evil,
    }[where]
    with pytest.raises(CheckpointError, match=rf"evil\.pt asks for .*{name}.*does not run"):
        read(save(content, tmp_path / "evil.pt", legacy))
    assert not (tmp_path / "pwned").exists()


def pickled(path: Path, code: bytes, sizes: tuple[int, ...] = (16,)) -> Path:
    """A torch file with this pickle and storages 0, 1, ... of these sizes in bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", code)
        for place, size in enumerate(sizes):
            archive.writestr(f"archive/data/{place}", bytes(size))
    return path


def tensor_code(count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    """The pickle of {"a": tensor} over storage 0, said to have `count` floats."""

    def put(value: Any) -> bytes:
        return pickle.dumps(value, protocol=2)[2:-1]

    reference = b"(" + put("storage") + b"ctorch\nFloatStorage\n" + put("0") + put("cpu") + put(count) + b"tQ"
    arguments = b"(" + reference + put(offset) + put(shape) + put(strides) + b"\x89Nt"
    return b"\x80\x02}" + put("a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."


def test_the_handmade_pickle_is_a_good_one(tmp_path: Path) -> None:
    assert read(pickled(tmp_path / "a.pt", tensor_code(4, (2, 2), (2, 1)))).tensors["a"].shape == (2, 2)


@pytest.mark.parametrize(
    ("count", "shape", "strides", "offset"),
    [
        (4, (5,), (1,), 0),
        (4, (2, 2), (4, 1), 0),
        (4, (4,), (1,), 1),
        (4, (1 << 40,), (0,), 0),
        (4, (-1,), (1,), 0),
        (4, (1 << 80,), (1,), 0),
        (4, (4,), (-1,), 3),
        (4, (2, 2), (1,), 0),
        (4, (2.0,), (1,), 0),
        (1 << 50, (4,), (1,), 0),
        (-4, (4,), (1,), 0),
    ],
)
def test_a_tensor_larger_than_its_bytes_is_refused(
    tmp_path: Path, count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    with pytest.raises(CheckpointError, match=r"a\.pt is damaged"):
        read(pickled(tmp_path / "a.pt", tensor_code(count, shape, strides, offset)))


@pytest.mark.parametrize(
    "code",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x02}.extra",
        b"\x80\x02]q\x00h\x00a.",  # a list in itself
        b"\x80\x02]\x8c\x01ab.",  # BUILD on a list
        b"\x80\x02}(]]u.",  # a list as a key
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x02cos\n.",
        b"\x80\x02Q.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02}(" + b")" + b"\x85" * 5000 + b"Nu.",  # a key of nested tuples
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
    ],
    ids=range(14),
)
def test_a_broken_pickle_is_one_sentence(tmp_path: Path, code: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"a\.pt (is damaged|holds)"):
        read(pickled(tmp_path / "a.pt", code))


@pytest.mark.parametrize("limit", ["MOST_OPERATIONS", "LARGEST_PICKLE_BYTES"])
def test_a_pickle_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(pickles, limit, 1000)
    with pytest.raises(CheckpointError, match="far larger"):
        read(pickled(tmp_path / "a.pt", b"\x80\x02" + b"]" * 2000 + b"."))


def test_lists_of_the_same_list_do_not_grow(tmp_path: Path) -> None:
    bomb: list[Any] = []
    for _ in range(60):
        bomb = [bomb, bomb]
    found = read(save({"state_dict": {"a": torch.ones(1)}, "bomb": bomb}, tmp_path / "a.pt"))
    assert found.extra["bomb"][0] is found.extra["bomb"][1]


def test_numpy_objects_inside_arrays_are_refused(tmp_path: Path) -> None:
    data = {"state_dict": {"a": torch.ones(1)}, "objects": np.array([{"x": 1}], dtype=object)}
    with pytest.raises(CheckpointError, match="numpy"):
        read(save(data, tmp_path / "a.pt"))


def test_a_compressed_entry_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    torch.save({"a": torch.zeros(1 << 16)}, content)
    with (
        zipfile.ZipFile(content) as source,
        zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="compressed"):
        read(tmp_path / "a.pt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_file_cut_anywhere_is_one_sentence(tmp_path: Path, legacy: bool) -> None:
    whole = save(wrapped(states()), tmp_path / "a.pt", legacy).read_bytes()
    for size in range(0, len(whole) - 1, 97):
        (tmp_path / "cut.pt").write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"cut\.pt is "):
            read(tmp_path / "cut.pt")


def test_a_file_with_flipped_bytes_never_gives_another_error(tmp_path: Path) -> None:
    for legacy in (False, True):
        whole = save(wrapped({"a": torch.ones(2)}), tmp_path / "a.pt", legacy).read_bytes()
        for place in range(0, len(whole), 11):
            (tmp_path / "b.pt").write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
            try:
                read(tmp_path / "b.pt")
            except CheckpointError as error:
                assert "b.pt" in str(error)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 99]}}, "bytes 0 to 99"),
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, "has 8 bytes"),
        ({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, "damaged"),
        ({"a": {"dtype": "F3", "shape": [2], "data_offsets": [0, 8]}}, "type F3"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "damaged"),
        ({"a": 1}, "damaged"),
        ({"a": {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 0]}}, "damaged"),
        ({"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 8]}}, "damaged"),
        ({"__metadata__": 3, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, "damaged"),
        ({}, "no tensors"),
    ],
)
def test_a_wrong_safetensors_header_is_one_sentence(tmp_path: Path, header: dict[str, Any], said: str) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(CheckpointError, match=rf"a\.safetensors .*{said}"):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pt does not exist"):
        read(tmp_path / "nowhere.pt")


def test_a_prefix_is_stripped_where_it_stands() -> None:
    assert strip_prefix({"module.a": 1, "b": 2, "x.module.c": 3}) == {"a": 1, "b": 2, "x.module.c": 3}
    with pytest.raises(CheckpointError, match="twice"):
        strip_prefix({"module.a": 1, "a": 2})
