"""Paddle's weight file, written: what pickle with numpy, and our own reader, find in it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tuwen.checkpoint import look, read, write_pdparams
from tuwen.checkpoint.paddle import TABLE
from tuwen.errors import CheckpointError

NUMBERS = torch.Generator().manual_seed(3)


def tensors() -> dict[str, Tensor]:
    """Of every type, below and above the lengths at which the container says things otherwise, and odd ones."""
    kinds = (torch.float16, torch.float32, torch.float64, torch.int8, torch.int16, torch.int32, torch.int64)
    found = {f"of.{kind}": (torch.randn(5, 41, generator=NUMBERS) * 3).to(kind) for kind in kinds}
    return found | {
        "transposed": torch.randn(30, 70, generator=NUMBERS).T,
        "part": torch.randn(9, 9, generator=NUMBERS)[2:5, ::2],
        "scale": torch.tensor(2.65926),
        "none": torch.zeros(0, 3),
        "flags": torch.tensor([True, False]),
        "bytes": torch.arange(200, dtype=torch.uint8),
        "complex": torch.randn(3, generator=NUMBERS, dtype=torch.complex64),
        "名" * 200: torch.ones(1),
    }


def pickled(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = pickle.loads(path.read_bytes())
    return content


def test_pickle_and_numpy_find_every_array_and_the_table_of_names(tmp_path: Path) -> None:
    expected = tensors()
    write_pdparams(tmp_path / "a.pdparams", expected)
    found = pickled(tmp_path / "a.pdparams")
    assert list(found) == [*expected, TABLE]
    assert found.pop(TABLE).keys() == expected.keys()
    for name, tensor in expected.items():
        assert isinstance(found[name], np.ndarray) and found[name].flags.c_contiguous
        assert found[name].dtype == tensor.contiguous().numpy().dtype, name
        assert np.array_equal(found[name], tensor.numpy()), name


def test_our_reader_finds_the_same_bits(tmp_path: Path) -> None:
    expected = tensors() | {"half": torch.randn(40, 40, generator=NUMBERS).bfloat16()}
    write_pdparams(tmp_path / "a.pdparams", expected)
    found = read(tmp_path / "a.pdparams")
    assert (found.container, list(found.tensors), found.notes) == ("pdparams", list(expected), [])
    for name, tensor in expected.items():
        assert found.tensors[name].dtype == tensor.dtype and torch.equal(found.tensors[name], tensor), name
    assert look(tmp_path / "a.pdparams").kind == "state-dict"


def test_bfloat16_is_uint16_with_the_same_bits(tmp_path: Path) -> None:
    tensor = torch.randn(7, generator=NUMBERS).bfloat16()
    write_pdparams(tmp_path / "a.pdparams", {"a": tensor})
    array = pickled(tmp_path / "a.pdparams")["a"]
    assert array.dtype == np.uint16
    assert np.array_equal(array, tensor.view(torch.uint16).numpy())


def test_numpy_is_named_as_every_version_knows_it(tmp_path: Path) -> None:
    write_pdparams(tmp_path / "a.pdparams", {"a": torch.ones(2)})
    content = (tmp_path / "a.pdparams").read_bytes()
    assert content.startswith(b"\x80\x04")
    assert b"numpy.core.multiarray" in content and b"numpy._core" not in content


def test_a_type_that_paddle_has_not_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a is of type torch.float8_e4m3fn, which .pdparams cannot hold"):
        write_pdparams(tmp_path / "a.pdparams", {"a": torch.ones(2).to(torch.float8_e4m3fn)})
    assert not list(tmp_path.iterdir())
