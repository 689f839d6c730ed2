from __future__ import annotations

import argparse
import collections
import os
import pathlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tuwen.checkpoint import bare, find_weights, look, read
from tuwen.errors import CheckpointError

FORMS = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def states() -> dict[str, Tensor]:
    return collections.OrderedDict(
        {"model.a.weight": torch.randn(2, 3), "model.a.ids": torch.arange(4), "model.b": torch.randn(5).half()}
    )


def lightning(states: dict[str, Any], **more: Any) -> dict[str, Any]:
    settings = {"config": {"image_size": 288, "loss_names": {"itm": 1}, "path": ""}}
    start = {"epoch": 3, "global_step": 1200, "pytorch-lightning_version": "1.5.10", "state_dict": states}
    return {**start, "hparams_name": "kwargs", "hyper_parameters": settings, **more}


def trainer_state() -> dict[str, Any]:
    moments = {"step": 2, "exp_avg": torch.randn(2, 3)}
    optimizer = {"state": {0: moments}, "param_groups": [{"lr": 1e-5, "params": [0]}]}
    schedule = {"base_lrs": [1e-5], "last_epoch": 2}
    return {"callbacks": {}, "optimizer_states": [optimizer], "lr_schedulers": [schedule], "loops": {"fit": {}}}


def save(content: Any, path: Path, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A package of classes that exists where a file is written and not where it is read."""
    module = types.ModuleType("pytorch_lightning")
    monkeypatch.setitem(sys.modules, "pytorch_lightning", module)

    def named(name: str, parent: type, path: str = "pytorch_lightning") -> type:
        kind = type(name, (parent,), {"__module__": path})
        if path not in sys.modules:
            monkeypatch.setitem(sys.modules, path, types.ModuleType(path))
        setattr(sys.modules[path], name, kind)
        return kind

    module.named = named  # type: ignore[attr-defined]
    return module


@FORMS
@pytest.mark.parametrize("more", [{}, trainer_state()], ids=["weights", "full"])
def test_a_lightning_file_gives_its_state_dict_and_settings(tmp_path: Path, more: dict[str, Any], legacy: bool) -> None:
    expected = states()
    path = save(lightning(expected, **more), tmp_path / "a.ckpt", legacy)
    found = read(path)
    assert found.container == ("torch-legacy" if legacy else "torch-zip")
    assert list(found.tensors) == list(expected)
    for name, tensor in expected.items():
        assert found.tensors[name].dtype == tensor.dtype and torch.equal(found.tensors[name], tensor)
    assert found.extra == {key: value for key, value in lightning({}).items() if key != "state_dict"}
    assert sorted(found.notes) == sorted(f"left out: {key}" for key in more)


def test_the_optimizer_of_a_lightning_file_comes_when_asked_for(tmp_path: Path) -> None:
    more = trainer_state()
    found = read(save(lightning(states(), **more), tmp_path / "a.ckpt"), optimizer=True)
    (expected,), (optimizer,) = more["optimizer_states"], found.extra["optimizer"]
    assert optimizer["param_groups"] == expected["param_groups"]
    assert torch.equal(optimizer["state"][0]["exp_avg"], expected["state"][0]["exp_avg"])
    assert "left out: optimizer_states" not in found.notes


def test_settings_of_known_kinds_become_plain_data(tmp_path: Path, trainer: types.ModuleType) -> None:
    attributes = trainer.named("AttributeDict", dict, "pytorch_lightning.utilities.parsing")
    settings = attributes(
        folder=Path("data") / "vqa",
        windows=pathlib.PureWindowsPath("c:\\x"),
        device=torch.device("cuda", 1),
        dtype=torch.float16,
        size=torch.Size([2, 3]),
        rate=np.float64(0.5),
        options=argparse.Namespace(lr=0.1, kind=float, other=str),
        counts=collections.defaultdict(int, {"a": 1}),
        recent=collections.deque([1, 2], maxlen=2),
    )
    found = read(save(lightning(states(), hyper_parameters=settings), tmp_path / "a.ckpt"))
    assert found.notes == []
    assert found.extra["hyper_parameters"] == {
        "folder": "data/vqa",
        "windows": "c:\\x",
        "device": "cuda:1",
        "dtype": "float16",
        "size": (2, 3),
        "rate": 0.5,
        "options": {"lr": 0.1, "kind": "float", "other": "str"},
        "counts": {"a": 1},
        "recent": [1, 2],
    }


def test_objects_are_left_out_by_name_and_the_rest_is_read(tmp_path: Path, trainer: types.ModuleType) -> None:
    callback = trainer.named("ModelCheckpoint", object)
    loss = trainer.named("Loss", object)()
    loss.weight = torch.ones(2)
    config = {"image_size": 224, "loss": loss, "classes": [1, callback, 3], "weights": torch.ones(2)}
    config |= {"table": np.array([{}], dtype=object), "activation": torch.nn.functional.gelu}
    content = lightning(
        {**states(), "metric": loss},
        hyper_parameters={"config": config},
        callbacks={callback: {"best": loss}},
        mine=loss,
        ema={"a": torch.ones(1)},
    )
    found = read(save(content, tmp_path / "a.ckpt"))
    assert list(found.tensors) == list(states())
    assert found.extra["hyper_parameters"] == {"config": {"image_size": 224, "classes": [1, 3]}}
    assert found.notes == [
        "left out, no tensor: metric",
        "left out, no plain data: hyper_parameters.config.loss (pytorch_lightning.Loss)",
        "left out, no plain data: hyper_parameters.config.weights (a tensor)",
        "left out, no plain data: hyper_parameters.config.table (a numpy array of objects)",
        f"left out, no plain data: hyper_parameters.config.activation ({torch.nn.functional.gelu.__module__}.gelu)",
        "left out, no plain data: hyper_parameters.config.classes.1 (pytorch_lightning.ModelCheckpoint)",
        "left out: callbacks",
        "left out, no plain data: mine (pytorch_lightning.Loss)",
        "left out: ema",
    ]


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@FORMS
@pytest.mark.parametrize("where", ["hyper_parameters", "callbacks", "state_dict", "optimizer_states"])
@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Calls(os.system, "echo x > pwned"), "(posix|nt).system"),
        (Calls(eval, "open('pwned', 'w')"), "builtins.eval"),
        (Calls(getattr, "text", "format"), "builtins.getattr"),
        (Calls(torch.hub.load, "someone/repo", "model"), "torch.hub.load"),
        (os.system, "(posix|nt).system"),
    ],
    ids=["system", "eval", "getattr", "hub", "uncalled"],
)
def test_a_lightning_file_that_asks_to_run_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: Any, name: str, where: str, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    content = lightning(states())
    content[where] = {**content["state_dict"], "b": evil} if where == "state_dict" else {"a": [evil]}
    with pytest.raises(CheckpointError, match=rf"evil\.ckpt asks for .*{name}.*does not run"):
        read(save(content, tmp_path / "evil.ckpt", legacy))
    assert not (tmp_path / "pwned").exists()


def test_settings_that_hold_themselves_cost_only_the_settings(tmp_path: Path) -> None:
    knot: list[Any] = []
    knot += [knot, knot]
    found = read(save(lightning(states(), mine=knot), tmp_path / "a.ckpt"))
    assert list(found.tensors) == list(states())
    assert found.notes == ["left out: mine (data nested deeper than 64 levels)"]


@pytest.mark.parametrize("weights", [{}, None, {"a": 1}], ids=str)
def test_a_lightning_file_without_weights_is_explained(tmp_path: Path, weights: Any) -> None:
    with pytest.raises(CheckpointError, match=r"a\.ckpt is a PyTorch Lightning checkpoint .*holds no tensors"):
        read(save(lightning(weights), tmp_path / "a.ckpt"))


@FORMS
def test_a_lightning_file_is_described(tmp_path: Path, legacy: bool) -> None:
    found = look(save(lightning(states(), **trainer_state()), tmp_path / "a.ckpt", legacy))
    assert (found.kind, found.container) == ("lightning", "torch-legacy" if legacy else "torch-zip")
    assert found.detail == (
        "3 tensors, 15 values (1 float32, 1 int64, 1 float16); PyTorch Lightning 1.5.10; epoch 3; global_step 1200; "
        "with optimizer_states"
    )
    assert found.extra["hyper_parameters"]["config"]["image_size"] == 288


def test_the_only_ckpt_of_a_folder_is_found(tmp_path: Path) -> None:
    path = save(lightning(states()), tmp_path / "step=3.ckpt")
    (tmp_path / "vocab.json").write_text("{}")
    assert find_weights(tmp_path) == path
    assert list(read(tmp_path).tensors) == list(states()) and look(tmp_path).kind == "folder"
    save(lightning(states()), tmp_path / "last.ckpt")
    assert find_weights(tmp_path) is None


@FORMS
def test_a_lightning_file_cut_or_changed_anywhere_is_one_sentence(tmp_path: Path, legacy: bool) -> None:
    whole = save(lightning({"a": torch.ones(2)}, **trainer_state()), tmp_path / "a.ckpt", legacy).read_bytes()
    for place in range(0, len(whole) - 1, 53):
        (tmp_path / "cut.ckpt").write_bytes(whole[:place])
        with pytest.raises(CheckpointError, match=r"cut\.ckpt is "):
            read(tmp_path / "cut.ckpt")
        (tmp_path / "b.ckpt").write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            read(tmp_path / "b.ckpt", optimizer=True)
        except CheckpointError as error:
            assert "b.ckpt" in str(error) and "\n" not in str(error)


def test_weights_of_a_lightning_file_lie_in_the_file_until_touched(tmp_path: Path) -> None:
    large = torch.zeros(1 << 20)
    path = save(lightning({"a": large, "b": large[:4]}), tmp_path / "a.ckpt")
    tensors = read(path).tensors
    assert tensors["a"].untyped_storage().data_ptr() == tensors["b"].untyped_storage().data_ptr()
    tensors["a"].fill_(1)
    assert torch.equal(read(path).tensors["a"], large)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["module.model.a", "module.model.b"], ["a", "b"]),
        (["model.a", "model.b"], ["a", "b"]),
        (["module.a", "module.model.b"], ["a", "model.b"]),
        (["model.a", "b"], ["model.a", "b"]),
        (["x.model.a", "x.module.b"], ["x.model.a", "x.module.b"]),
        (["model.image.model.a", "model.models.b"], ["image.model.a", "models.b"]),
        (["_orig_mod.module.a"], ["a"]),
        (["module."], ["module."]),
        ([], []),
    ],
)
def test_prefixes_are_stripped_where_every_name_has_them(names: list[str], short: list[str]) -> None:
    assert bare({name: place for place, name in enumerate(names)}) == {name: place for place, name in enumerate(short)}
