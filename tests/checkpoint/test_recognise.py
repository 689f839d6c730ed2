from __future__ import annotations

import gzip
import io
import json
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tuwen.checkpoint import find_weights, look, read, write_original, write_safetensors
from tuwen.errors import CheckpointError

WEIGHTS = {"module.logit_scale": torch.tensor(2.5), "module.bert.x.weight": torch.ones(2, 3, dtype=torch.float16)}


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pt"))
    return content.getvalue()


def torch_file(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, kind)
    return file.getvalue()


def numpy_pickle(**more: Any) -> bytes:
    return pickle.dumps({"linear.weight": np.ones((2, 3), np.float32), **more}, protocol=2)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 753123456\n"

# name -> bytes, kind, what the sentence says
FOREIGN: dict[str, tuple[bytes, str, str]] = {
    "empty.pt": (b"", "empty", r"empty \(0 bytes\): download it again"),
    "pointer.pt": (LFS, "git-lfs", "git-lfs pointer to a file of 753,123,456 bytes.*git lfs pull"),
    "page.bin": (b"<!DOCTYPE html><html><title>Sign in</title>", "html", r"web page \(Sign in\).*download failed"),
    "error.bin": (b"<?xml version='1.0'?><Error><Message>Denied</Message>", "html", r"web page \(Denied\)"),
    "error.pt": (b'{"error": "Repository not found"}', "json", "JSON file with error"),
    "notes.pt": ("权重在别处\n".encode() * 2000, "text", "plain text .*权重在别处"),
    "graph.onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "onnx", "ONNX graph: name the checkpoint"),
    "llama.gguf": (b"GGUF\x03\x00\x00\x00" + bytes(64), "gguf", "GGUF"),
    "keras.h5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "hdf5", "HDF5"),
    "weights.tar": (tarred(), "empty", r"weights\.pt in weights\.tar is empty \(0 bytes\)"),
    "weights.pt.gz": (gzip.compress(b"x"), "compressed", "gzip-compressed file: unpack it"),
    "photo.pt": (picture("PNG"), "picture", "PNG picture"),
    "photo.bin": (picture("JPEG"), "picture", "JPEG picture"),
    "blank.pt": (bytes(8192), "blank", "filled with zero bytes.*download it again"),
    "noise.pt": (b"\xde\xad\xbe\xef" * 50, "unknown", "no known format.*de ad be ef"),
    "cut.pt": (torch_file(WEIGHTS)[:600], "truncated", "cut short.*download or copy it again"),
    "cut.safetensors": (b"\x40\x1f\x00\x00\x00\x00\x00\x00{", "damaged", "header of 8,000 bytes"),
    "other.pt": (zipped(**{"a.txt": b"a"}), "zip", "a zip archive of a.txt"),
    "arrays.npz": (zipped(**{"a.npy": b"a"}), "zip", "numpy archive"),
    "cut.pdparams": (numpy_pickle()[:-40], "truncated", "cut short: the .* begin like a Paddle weight file"),
    "model.pdopt": (numpy_pickle(), "optimizer", "the optimizer state of a training run, without weights"),
    "evil.pdparams": (numpy_pickle(evil=print), "refused", "asks for builtins.print"),
    "text.pdparams": (pickle.dumps("text"), "other", "holds a str where a state dict"),
    "program.pkl": (pickle.dumps(print), "pickle", "plain Python pickle that names builtins.print"),
    "run.ckpt": (torch_file({"pytorch-lightning_version": "2", "epoch": 1}), "lightning", "PyTorch Lightning"),
    "mp_rank_00_model_states.pt": (torch_file({"module": WEIGHTS, "ds_version": "0.9"}), "deepspeed", "zero_to_fp32"),
    "wrapped.pt": (torch_file({"model": WEIGHTS, "epoch": 3}), "other", "a dict of model, epoch where a state dict"),
    "module.pt": (torch_file(nn.Linear(1, 1)), "refused", "asks for torch.nn.modules.linear.Linear"),
    "one.pt": (torch_file(torch.ones(2)), "other", "holds one tensor without a name"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_cannot_be_read_is_explained(tmp_path: Path, name: str) -> None:
    content, kind, said = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    found = look(tmp_path / name)
    assert found.kind == kind and not found.readable and not found.shapes
    with pytest.raises(CheckpointError, match=said) as raised:
        read(tmp_path / name)
    assert str(raised.value) == found.reason and name in found.reason and "\n" not in found.reason


@pytest.mark.parametrize("legacy", [False, True])
def test_an_original_checkpoint_is_described(tmp_path: Path, legacy: bool) -> None:
    content = {"epoch": 7, "step": 40000, "name": "run", "state_dict": WEIGHTS, "optimizer": {"state": WEIGHTS}}
    path = tmp_path / "a.pt"
    path.write_bytes(torch_file(content, _use_new_zipfile_serialization=not legacy))
    found = look(path)
    assert (found.kind, found.container) == ("checkpoint", "torch-legacy" if legacy else "torch-zip")
    assert found.detail == ("2 tensors, 7 values (1 float32, 1 float16); epoch 7; step 40000; name run; with optimizer")
    assert found.shapes == {"module.logit_scale": (), "module.bert.x.weight": (2, 3)}
    assert found.extra == {"epoch": 7, "step": 40000, "name": "run"}


def test_a_safetensors_file_and_a_bare_state_dict_are_described(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", WEIGHTS)
    write_original(tmp_path / "a.bin", WEIGHTS)
    for name, container in (("a.safetensors", "safetensors"), ("a.bin", "torch-zip")):
        found = look(tmp_path / name)
        assert (found.kind, found.container, found.readable) == ("state-dict", container, True)
        assert found.dtypes == {"float32": 1, "float16": 1}


def test_a_paddle_file_is_described_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("model.pdparams", "renamed.pt"):
        (tmp_path / name).write_bytes(numpy_pickle(**{"StructuredToParameterName@@": {"linear.weight": "w_0"}}))
        found = look(tmp_path / name)
        assert (found.kind, found.container, found.readable) == ("state-dict", "pdparams", True)
        assert found.detail == "1 tensor, 6 values (float32)" and found.shapes == {"linear.weight": (2, 3)}


def test_a_folder_is_described_by_its_config_and_weights(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", WEIGHTS)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "chinese_clip"}))
    found = look(tmp_path)
    assert found.kind == "folder" and found.detail.startswith(
        "config.json says chinese_clip; model.safetensors: 2 tensors"
    )


def test_the_weights_of_a_folder_are_found_by_name_or_as_the_only_ones(tmp_path: Path) -> None:
    assert find_weights(tmp_path) is None
    write_original(tmp_path / "clip_cn.pt", WEIGHTS, {})
    (tmp_path / "optimizer.pt").write_bytes(b"")
    assert find_weights(tmp_path) == tmp_path / "clip_cn.pt"
    write_original(tmp_path / "second.pt", WEIGHTS, {})
    assert find_weights(tmp_path) is None
    write_original(tmp_path / "pytorch_model.bin", WEIGHTS)
    assert find_weights(tmp_path) == tmp_path / "pytorch_model.bin"
    write_safetensors(tmp_path / "model.safetensors", WEIGHTS)
    assert find_weights(tmp_path) == tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    ("names", "kind", "said"),
    [
        ((), "empty", "empty folder"),
        (("readme.md",), "folder", "a folder with readme.md: expected model.safetensors"),
        (("a.pt", "b.pt"), "folder", "a folder with a.pt, b.pt"),
        (("latest", "global_step12"), "deepspeed", "DeepSpeed"),
        ((".metadata", "__0_0.distcp"), "distributed", "dcp_to_torch"),
        (("adapter_config.json", "adapter_model.md"), "adapter", "without its base model"),
    ],
)
def test_a_folder_without_weights_is_explained(tmp_path: Path, names: tuple[str, ...], kind: str, said: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    found = look(tmp_path)
    assert found.kind == kind and said in found.reason


def torchscript(path: Path, names: tuple[str, ...]) -> Path:
    """A TorchScript archive as torch.jit.save lays one out, without the compiler, which recent torch deprecates."""
    state = b"".join(b"X" + len(name).to_bytes(4, "little") + name.encode() + b"N" for name in names)
    code = b"\x80\x02c__torch__.model\nModel\n)\x81}(" + state + b"ub."
    path.write_bytes(zipped(**{"m/data.pkl": code, "m/constants.pkl": b"\x80\x02).", "m/code/__torch__/model.py": b""}))
    return path


@pytest.mark.parametrize("clip", [True, False])
def test_a_torchscript_program_is_recognised_and_the_way_out_given(tmp_path: Path, clip: bool) -> None:
    names = ("visual", "transformer", "token_embedding", "logit_scale") if clip else ("fc",)
    found = look(torchscript(tmp_path / "ViT-B-32.pt", names))
    assert found.kind == "torchscript" and ("OpenAI" in found.detail) is clip
    assert "torch.jit.load('ViT-B-32.pt').state_dict()" in found.reason


def test_looking_makes_no_tensor_and_needs_no_torch(tmp_path: Path) -> None:
    write_original(tmp_path / "a.pt", WEIGHTS, {})
    code = (
        "import sys; from tuwen.checkpoint.recognise import look\n"
        f"assert look({str(tmp_path / 'a.pt')!r}).readable; assert 'torch' not in sys.modules"
    )
    # Importing the folder's public names loads torch, so the modules under it are loaded past it.
    prelude = (
        "import sys, types; from pathlib import Path; import tuwen\n"
        "folder = types.ModuleType('tuwen.checkpoint'); "
        "folder.__path__ = [str(Path(tuwen.__file__).parent / 'checkpoint')]\n"
        "sys.modules['tuwen.checkpoint'] = folder\n"
    )
    subprocess.run([sys.executable, "-c", prelude + code], check=True, cwd=Path(__file__).parents[2])


def test_an_unreadable_path_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(tmp_path / "nowhere").kind == "missing"
    (tmp_path / "a.pt").write_bytes(b"x")

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    opened: Callable[..., Any] = denied
    monkeypatch.setattr(Path, "open", opened)
    found = look(tmp_path / "a.pt")
    assert found.kind == "unreadable" and "Permission denied" in found.reason
