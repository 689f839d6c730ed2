from __future__ import annotations

import collections
import io
import json
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuwen.checkpoint import bare, find_weights, look, pickles, read
from tuwen.checkpoint.paddle import SLICES, TABLE
from tuwen.errors import CheckpointError

PROTOCOLS = (2, 3, 4)
GENERATOR = np.random.default_rng(7)


class Named:
    """A tensor as Paddle pickles it inside nested dicts: (its name there, its numbers)."""

    def __init__(self, name: str, array: np.ndarray[Any, Any]) -> None:
        self.pair = name, array

    def __reduce__(self) -> Any:
        return tuple, (self.pair,)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def states() -> dict[str, np.ndarray[Any, Any]]:
    """Arrays below and above the size from which they stay in the file, of every type that Paddle writes."""
    arrays = {
        "large.weight": GENERATOR.standard_normal((40, 33), np.float32),
        "small.weight": GENERATOR.standard_normal((3, 2), np.float32),
        "odd.bias": GENERATOR.standard_normal(301, np.float32),
        "scale": np.array(2.65926, np.float32),
    }
    types = ("float16", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "complex64", "complex128")
    for number, dtype in enumerate(types):
        arrays[f"of.{dtype}"] = (GENERATOR.standard_normal((number + 1, 170)) * 3).astype(dtype)
    return arrays


def save(path: Path, value: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def with_table(arrays: dict[str, Any]) -> dict[str, Any]:
    return {**arrays, TABLE: {name: f"param_{number}" for number, name in enumerate(arrays)}}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_array_comes_back_bit_for_bit(tmp_path: Path, protocol: int) -> None:
    expected = states()
    path = save(tmp_path / "a.pdparams", with_table(expected), protocol)
    found = read(path)
    assert found.container == "pdparams" and list(found.tensors) == list(expected) and found.notes == []
    for name, array in expected.items():
        tensor = found.tensors[name]
        assert tensor.shape == array.shape and str(tensor.dtype) == f"torch.{array.dtype}", name
        assert tensor.numpy().tobytes() == array.tobytes(), name
    assert found.extra == {TABLE: with_table(expected)[TABLE]}
    seen = look(path)
    assert seen.kind == "state-dict" and dict(seen.shapes) == {name: array.shape for name, array in expected.items()}


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_both_spellings_of_numpy_are_read(tmp_path: Path, protocol: int, module: str) -> None:
    array = GENERATOR.standard_normal((5, 100), np.float32)
    code = pickle.dumps({"a": array}, protocol=protocol)
    ours = np.array(1).__reduce__()[0].__module__
    assert ours.encode() in code
    if protocol == 4:  # names carry their length there
        code = code.replace(bytes([0x8C, len(ours)]) + ours.encode(), bytes([0x8C, len(module)]) + module.encode())
        code = code[:2] + code[11:]  # without the frame, whose length is another now
    else:
        code = code.replace(ours.encode(), module.encode())
    path = tmp_path / "a.pdparams"
    path.write_bytes(code)
    assert np.array_equal(read(path).tensors["a"].numpy(), array)


@pytest.mark.parametrize("count", [8, 2000])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_weight_of_uint16_is_bfloat16_with_the_same_bits(tmp_path: Path, protocol: int, count: int) -> None:
    expected = torch.randn(count, 2).bfloat16()
    bits = expected.view(torch.uint16).numpy()
    path = save(tmp_path / "a.pdparams", {"a": bits}, protocol)
    found = read(path).tensors["a"]
    assert found.dtype == torch.bfloat16 and torch.equal(found, expected)
    assert look(path).dtypes == {"bfloat16": 1}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_transposed_array_keeps_its_shape_and_numbers(tmp_path: Path, protocol: int) -> None:
    array = np.asfortranarray(GENERATOR.standard_normal((3, 5, 40), np.float32))
    found = read(save(tmp_path / "a.pdparams", {"a": array}, protocol)).tensors["a"]
    assert np.array_equal(found.numpy(), array) and found.stride() == (1, 3, 15)


def sliced(array: np.ndarray[Any, Any], length: int) -> dict[str, Any]:
    flat = array.reshape(-1)
    pieces = [flat[start : start + length] for start in range(0, flat.size, length)]
    names = [f"big@@.{number}" for number in range(len(pieces))]
    info = {"big": {"OriginShape": array.shape, "slices": names}}
    return {"before": np.ones(2, np.float32), **dict(zip(names, pieces, strict=True)), SLICES: info}


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint16"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_an_array_that_was_cut_is_whole_again(tmp_path: Path, protocol: int, dtype: str) -> None:
    array = (GENERATOR.standard_normal((7, 111)) * 100).astype("int16").astype(dtype)
    path = save(tmp_path / "a.pdparams", with_table(sliced(array, 300)), protocol)
    found = read(path)
    assert list(found.tensors) == ["before", "big"] and list(found.extra) == [TABLE]
    assert found.tensors["big"].view(torch.uint8).numpy().tobytes() == array.tobytes()
    assert found.tensors["big"].shape == look(path).shapes["big"] == (7, 111)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: parts.pop("big@@.1"), r"big@@\.1 of big, which was cut, is missing"),
        (lambda parts: parts[SLICES]["big"].update(OriginShape=(7, 112)), r"do not make up its shape \(7, 112\)"),
        (lambda parts: parts[SLICES]["big"].update(OriginShape=(-7, -111)), "do not make up its shape"),
        (lambda parts: parts[SLICES]["big"].update(OriginShape=(10**4000, 2)), "do not make up its shape"),
        (lambda parts: parts[SLICES]["big"].update(slices=[]), "nothing tells how"),
        (lambda parts: parts[SLICES]["big"].update(slices=["big@@.0"] * 3), "do not make up|not of one kind"),
        (lambda parts: parts.update({SLICES: 3}), "fits no array"),
        (lambda parts: parts.update({"big": np.ones(1)}), "fits no array"),
        (lambda parts: parts.update({"big@@.0": np.ones(300, np.float64)}), "not of one kind"),
    ],
)
def test_slices_that_do_not_fit_are_one_sentence(tmp_path: Path, change: Callable[[Any], Any], said: str) -> None:
    parts = sliced(GENERATOR.standard_normal((7, 111), np.float32), 300)
    change(parts)
    with pytest.raises(CheckpointError, match=rf"a\.pdparams is damaged: .*{said}"):
        read(save(tmp_path / "a.pdparams", parts, 2))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_training_checkpoint_gives_its_model(tmp_path: Path, protocol: int) -> None:
    arrays = states()
    model = collections.OrderedDict((name, Named(f"p_{name}", array)) for name, array in arrays.items())
    moments = {"linear_0.w_0_moment1_0": Named("m", np.ones((3, 2), np.float32))}
    run = {"model": model, "epoch": 3, "optimizer": moments, "opt": {"lr": 0.5}, "names": ["a", "b"]}
    path = save(tmp_path / "run.pdparams", run, protocol)
    found = read(path)
    assert list(found.tensors) == list(arrays) and look(path).kind == "checkpoint"
    assert all(np.array_equal(found.tensors[name].numpy(), array) for name, array in arrays.items())
    assert found.extra == {"epoch": 3, "opt": {"lr": 0.5}, "names": ["a", "b"]}
    assert found.notes == ["left out: optimizer"]
    state = read(path, optimizer=True).extra["optimizer"]
    assert torch.equal(state["linear_0.w_0_moment1_0"][1], torch.ones(3, 2))


def test_dicts_in_a_dict_become_names_with_dots(tmp_path: Path) -> None:
    array = np.ones((2, 2), np.float32)
    nested = {"net": {"visual": {"w": Named("a", array), "depth": 2}, "text": {"w": array}}}
    found = read(save(tmp_path / "a.pdparams", nested))
    assert list(found.tensors) == ["visual.w", "text.w"] and found.notes == ["left out, no tensor: visual.depth"]
    with pytest.raises(CheckpointError, match=r"two tensors called visual\.w"):
        read(save(tmp_path / "a.pdparams", {"net": {"visual.w": array, "visual": {"w": array}}}))


def test_the_wrappers_of_paddle_are_taken_off_where_every_name_has_them() -> None:
    assert list(bare({"_layers.a": 1, "_layers.b": 2})) == ["a", "b"]
    assert list(bare({"module._layers.a": 1, "module._layers.b": 2})) == ["a", "b"]
    assert list(bare({"_layers.a": 1, "b": 2})) == ["_layers.a", "b"]


# -- what is refused


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("where", ["weight", "beside", "nested", "instead"])
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Calls(eval, "open('pwned', 'w')"), "builtins.eval"),
        (Calls(os.system, "echo pwned > pwned"), "(posix|nt).system"),
        (Calls(getattr, "text", "format"), "builtins.getattr"),
        (Calls(np.frombuffer, b"abcd"), r"numpy\S*frombuffer"),
        (np.float64(3.0), r"numpy\S*multiarray.scalar"),
        (torch.float32, "torch.float32"),
        (Path("x"), "pathlib"),
    ],
    ids=["eval", "system", "getattr", "frombuffer", "scalar", "torch", "path"],
)
def test_a_file_that_asks_for_anything_else_is_refused_by_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: Any, name: str, where: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.ones((2, 2), np.float32)
    value = {
        "weight": {"a": array, "b": evil},
        "beside": {"a": array, TABLE: [evil]},
        "nested": {"model": {"a": Named("a", array), "b": {"c": evil}}},
        "instead": evil,
    }[where]
    path = save(tmp_path / "evil.pdparams", value, protocol)
    assert look(path).kind == "refused"
    with pytest.raises(CheckpointError, match=rf"evil\.pdparams asks for .*{name}.*does not run"):
        read(path)
    assert not (tmp_path / "pwned").exists()


def test_a_raw_tensor_that_paddle_itself_pickles_with_eval_is_refused(tmp_path: Path) -> None:
    raw = Calls(eval, "data", {"data": Named("a", np.ones(2, np.float32))})
    with pytest.raises(CheckpointError, match=r"asks for builtins\.eval"):
        read(save(tmp_path / "a.pdparams", {"model": {"a": raw}}))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_that_are_no_numbers_are_refused_by_their_type(tmp_path: Path, protocol: int) -> None:
    for array, name in (
        (np.array([{"x": 1}], dtype=object), "O8"),
        (np.array(["text"]), "U4"),
        (np.zeros(2, [("x", "f4")]), "V4"),
        (np.zeros(2, "M8[s]"), "M8"),
    ):
        with pytest.raises(CheckpointError, match=rf"asks for numpy\.dtype\('{name}'\)"):
            read(save(tmp_path / "a.pdparams", {"a": np.ones(1, np.float32), "b": array}, protocol))


def test_protocol_5_which_paddle_never_writes_is_refused_by_the_name_that_it_asks_for(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="_frombuffer"):
        read(save(tmp_path / "a.pdparams", {"a": np.ones(2, np.float32)}, 5))


def test_numbers_of_the_other_byte_order_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="big-endian"):
        read(save(tmp_path / "a.pdparams", {"a": np.ones(2, ">f4")}))


def test_the_optimizer_of_a_run_is_called_so(tmp_path: Path) -> None:
    moments = {"linear_0.w_0_moment1_0": np.ones(2, np.float32), "linear_0.w_0_beta1_pow_acc_0": np.ones(1, np.float32)}
    for name, value in (
        ("a.pdopt", moments),
        ("renamed.pdparams", moments),
        ("schedule.pdparams", {**moments, "LR_Scheduler": {"last_lr": 0.1}}),
        ("master.pdparams", {**moments, "master_weights": {"linear_0.w_0": np.ones(2, np.float32)}}),
    ):
        found = look(save(tmp_path / name, value))
        assert found.kind == "optimizer" and f"{name} is the optimizer state" in found.reason
        assert "name the .pdparams file" in found.reason


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], "holds a list where a state dict"),
        ({}, "holds a dict where a state dict"),
        ({"epoch": 3}, "holds a dict of epoch where"),
        (np.ones(2), "holds one array without a name where"),
        (
            {"optimizer": {"w_0_moment1_0": Named("m", np.ones(1))}, "epoch": 3},
            "holds a dict of optimizer, epoch where",
        ),
        ({"a": {"x": np.ones(1)}, "b": {"x": np.ones(1)}}, "holds a dict of a, b where"),
    ],
)
def test_what_is_no_state_dict_is_said(tmp_path: Path, value: Any, said: str) -> None:
    with pytest.raises(CheckpointError, match=rf"a\.pdparams {said}"):
        read(save(tmp_path / "a.pdparams", value))


# -- damage


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_file_cut_anywhere_is_said_to_be_cut_short(tmp_path: Path, protocol: int) -> None:
    arrays = {"a": np.ones((20, 20), np.float32), "b": np.ones(5, np.float16)}
    whole = pickle.dumps(with_table(arrays), protocol=protocol)
    path = tmp_path / "cut.pdparams"
    for size in range(2, len(whole) - 1, 53):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"cut\.pdparams is cut short: the .* bytes here .*again"):
            read(path)
        assert look(path).kind == "truncated"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_file_with_flipped_bytes_never_gives_another_error(tmp_path: Path, protocol: int) -> None:
    arrays = {"a": np.ones((20, 20), np.float32), "b": np.ones(5, np.float16)}
    whole = pickle.dumps(with_table({**arrays, **sliced(np.ones((5, 60), np.float32), 200)}), protocol=protocol)
    path = tmp_path / "b.pdparams"
    for place in range(2, len(whole), 7):
        for flip in (0x15, 0x80):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            try:
                read(path)
            except CheckpointError as error:
                assert "b.pdparams" in str(error) and "\n" not in str(error)


def array_code(shape: bytes, kind: bytes, numbers: bytes) -> bytes:
    """A pickle of {"a": array} whose state is made of these pickled parts."""
    new = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    return b"\x80\x04}(\x8c\x01a" + new + b"(K\x01" + shape + kind + b"\x89" + numbers + b"tbu."


FLOATS = b"cnumpy\ndtype\n\x8c\x02f4\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def test_the_handmade_pickle_is_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(array_code(b"K\x02\x85", FLOATS, b"C\x08" + bytes(8)))
    pickletools.dis(path.read_bytes(), io.StringIO())
    assert torch.equal(read(path).tensors["a"], torch.zeros(2))


@pytest.mark.parametrize(
    ("shape", "kind", "numbers"),
    [
        (b"K\x03\x85", FLOATS, b"C\x08" + bytes(8)),
        (b"J\xff\xff\xff\xff\x85", FLOATS, b"C\x08" + bytes(8)),
        (b"G" + bytes(8) + b"\x85", FLOATS, b"C\x00"),
        (b"]", FLOATS, b"C\x00"),
        (b"(" + b"K\x01" * 65 + b"t", FLOATS, b"C\x04" + bytes(4)),
        (b"\x8a\xc8" + b"\x7f" * 200 + b"\x85", FLOATS, b"C\x08" + bytes(8)),
        (b"K\x02\x85", b"N", b"C\x08" + bytes(8)),
        (b"K\x02\x85", FLOATS, b"N"),
        (b"K\x02\x85", FLOATS, b"]"),
        (b"K\x02\x85", FLOATS, b"\x8c\x04\xe4\xbd\xa0a"),
        (b"M\x90\x01\x85", FLOATS, b"X\x40\x06\x00\x00" + b"a" * 1600),
        (b"K\x02\x85", b"cnumpy\ndtype\n\x8c\x02f4\x85RNb", b"C\x08" + bytes(8)),
    ],
    ids=range(12),
)
def test_an_array_that_contradicts_itself_is_one_sentence(
    tmp_path: Path, shape: bytes, kind: bytes, numbers: bytes
) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(array_code(shape, kind, numbers))
    with pytest.raises(CheckpointError, match=r"^a\.pdparams is (damaged|cut short)[^\n]*$"):
        read(path)


@pytest.mark.parametrize("text", [b"a" * 1601, b"\xc3\xa9" * 800 + b"\xc3", b"\xe4\xbd\xa0" * 500 + b"a" * 100])
def test_numbers_written_as_text_must_be_as_many_bytes_as_announced(tmp_path: Path, text: bytes) -> None:
    size = len(text).to_bytes(4, "little")
    numbers = b"c_codecs\nencode\nX" + size + text + b"\x8c\x06latin1\x86R"
    path = tmp_path / "a.pdparams"
    path.write_bytes(array_code(b"M\x90\x01\x85", FLOATS, numbers))
    with pytest.raises(CheckpointError, match=r"a\.pdparams is damaged: .*(bytes|text)"):
        read(path)


def test_a_pickle_that_would_fill_the_memory_is_refused_whatever_its_arrays_weigh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "LARGEST_PICKLE_BYTES", 1000)
    large = save(tmp_path / "large.pdparams", {"a": np.ones(100_000, np.float32)})
    assert read(large).tensors["a"].sum() == 100_000
    with pytest.raises(CheckpointError, match="far larger"):
        read(save(tmp_path / "a.pdparams", {"a": np.ones(1, np.float32), "b": [None] * 2000}))


def test_looking_at_a_file_touches_no_numbers(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pdparams", {"a": np.ones(1 << 20, np.float32)}, 2)
    content = bytearray(path.read_bytes())
    place = content.index(b"\xc2\x80?") + 3000  # in the text that stands for the numbers
    content[place : place + 2] = b"\xff\xff"
    path.write_bytes(content)
    assert look(path).shapes == {"a": (1 << 20,)}
    with pytest.raises(CheckpointError, match=r"a\.pdparams is damaged"):
        read(path)


def test_writing_into_a_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    for protocol in PROTOCOLS:
        path = save(tmp_path / "a.pdparams", {"a": np.ones(999, np.float32), "b": np.ones(1000, np.int8)}, protocol)
        before = path.read_bytes()
        for tensor in read(path).tensors.values():
            tensor.zero_()
        assert path.read_bytes() == before


# -- folders


def test_a_folder_of_paddlenlp_is_read_through_its_file_or_shards(tmp_path: Path) -> None:
    arrays = states()
    half = len(arrays) // 2
    shards = {
        f"model_state-0000{number + 1}-of-00002.pdparams": dict(part)
        for number, part in enumerate((list(arrays.items())[:half], list(arrays.items())[half:]))
    }
    for file, part in shards.items():
        save(tmp_path / file, with_table(part))
    index = tmp_path / "model_state.pdparams.index.json"
    places = {name: file for file, part in shards.items() for name in part}
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "ernie_vil"}))
    (tmp_path / "optimizer.pdopt").write_bytes(b"x")
    (tmp_path / "scheduler.pdparams").write_bytes(b"x")
    assert find_weights(tmp_path) == index
    found = read(tmp_path)
    assert list(found.tensors) == list(arrays) and found.extra[TABLE].keys() == arrays.keys()
    assert look(tmp_path).detail.startswith("config.json says ernie_vil; model_state.pdparams.index.json: 14 tensors")

    save(tmp_path / "model_state.pdparams", with_table(arrays))
    assert find_weights(tmp_path) == tmp_path / "model_state.pdparams"
    (tmp_path / next(iter(shards))).unlink()
    with pytest.raises(CheckpointError, match=r"does not exist \(named in model_state\.pdparams\.index\.json\)"):
        read(index)


def test_the_only_pdparams_of_a_folder_is_its_weights(tmp_path: Path) -> None:
    path = save(tmp_path / "ERNIE_VIL2_BASE_ViT.pdparams", states())
    (tmp_path / "ERNIE_VIL2_BASE_ViT.pdopt").write_bytes(b"x")
    assert find_weights(tmp_path) == path
