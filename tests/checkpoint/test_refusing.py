"""No weight file runs anything, whatever it is packed in, and none that is cut short is taken for a whole one."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import tuwen
from tests.checkpoint.test_archives import save as save_tar
from tests.checkpoint.test_archives import torch_file
from tests.checkpoint.test_paddle import Calls, Named, sliced
from tuwen.checkpoint import look, read
from tuwen.cli import app
from tuwen.errors import CheckpointError

CODE = Path(tuwen.__file__).parent
PADDLE = Path(__file__).parents[1] / "golden" / "cases" / "ernie_vil" / "03_pdparams_containers"
EVIL = Calls(os.system, "echo pwned > pwned")
NAMED = r"(posix|nt)\.system"

Maker = Callable[[Any], dict[str, bytes]]


def paddle(value: Any, protocol: int = 4) -> bytes:
    return pickle.dumps(value, protocol=protocol)


def arrays(evil: Any) -> dict[str, Any]:
    return {"a.weight": np.ones((3, 40), np.float32), "a.bias": np.ones(3, np.float32), "b": evil}


def tensors(evil: Any) -> dict[str, Any]:
    return {"a.weight": torch.ones(3, 40), "a.bias": torch.ones(3), "b": evil}


def run(evil: Any) -> dict[str, Any]:
    moments = {"linear_0.w_0_moment1_0": Named("m", np.ones(2, np.float32))}
    return {"model": {"a": Named("a", np.ones(9, np.float32))}, "optimizer": {**moments, "evil": evil}, "epoch": 1}


def cut(evil: Any) -> dict[str, Any]:
    return {**sliced(np.ones((7, 111), np.float32), 300), "c": evil}


def shards(ending: str, first: bytes, second: bytes) -> dict[str, bytes]:
    stem = {"pdparams": "model_state", "bin": "pytorch_model"}[ending]
    names = [f"{stem}-0000{number}-of-00002.{ending}" for number in (1, 2)]
    places = {"w": names[0], "a.weight": names[1]}
    index = json.dumps({"metadata": {}, "weight_map": places}).encode()
    return {names[0]: first, names[1]: second, f"{stem}.{ending}.index.json": index}


def tarred(name: str, content: bytes) -> dict[str, bytes]:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return {"BriVL.tar": file.getvalue()}


# Each kind of file or folder, with something in it that wants to be run: file names -> bytes.
CONTAINERS: dict[str, Maker] = {
    "pdparams, plain": lambda evil: {"a.pdparams": paddle(arrays(evil))},
    "pdparams, protocol 2": lambda evil: {"a.pdparams": paddle(arrays(evil), 2)},
    "pdparams, nested": lambda evil: {"a.pdparams": paddle({"net": {"visual": arrays(evil)}}, 3)},
    "pdparams, of a run": lambda evil: {"a.pdparams": paddle(run(evil))},
    "pdopt": lambda evil: {"a.pdopt": paddle({"linear_0.w_0_moment1_0": np.ones(2), "LR_Scheduler": evil})},
    "pdparams, cut in slices": lambda evil: {"a.pdparams": paddle(cut(evil), 2)},
    "pth, zip": lambda evil: {"a.pth": torch_file({"learnable": tensors(evil)})},
    "pth, legacy": lambda evil: {"a.pth": torch_file({"learnable": tensors(evil)}, legacy=True)},
    "pth, a bare state dict": lambda evil: {"a.pth": torch_file(tensors(evil))},
    "tar of a pth": lambda evil: tarred("BriVL/a.pth", torch_file({"learnable": tensors(evil)})),
    "tar of a legacy pth": lambda evil: tarred("a.pth", torch_file({"learnable": tensors(evil)}, legacy=True)),
    "tar of a pdparams": lambda evil: tarred("a.pdparams", paddle(arrays(evil))),
    "folder of PaddleNLP": lambda evil: {"model_state.pdparams": paddle(arrays(evil)), "config.json": b"{}"},
    "folder of Hugging Face": lambda evil: {"pytorch_model.bin": torch_file(tensors(evil)), "config.json": b"{}"},
    "shards of PaddleNLP": lambda evil: shards("pdparams", paddle({"w": np.ones(2)}), paddle(arrays(evil))),
    "shards of Hugging Face": lambda evil: shards("bin", torch_file({"w": torch.ones(2)}), torch_file(tensors(evil))),
}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """The file, or the folder where there are several."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder if len(files) > 1 else folder / next(iter(files))


@pytest.mark.parametrize("kind", CONTAINERS)
def test_what_wants_to_be_run_is_named_and_nothing_is_run_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "given", CONTAINERS[kind](EVIL))
    assert look(path).kind == "refused"
    with pytest.raises(CheckpointError, match=rf"asks for {NAMED}, which no weight file needs and tuwen does not run"):
        read(path)
    with pytest.raises(CheckpointError, match=NAMED):
        tuwen.load(path)
    for words in (["inspect"], ["inspect", "--fingerprint"], ["convert", "--to", "tuwen", "out"], ["verify"]):
        result = CliRunner().invoke(app, [words[0], str(path), *words[1:]])
        assert result.exit_code == 4, words
        assert "system" in result.stderr
    assert sorted(name.name for name in tmp_path.iterdir()) == ["given"]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_same_containers_without_it_are_read(tmp_path: Path, kind: str) -> None:
    path = written(
        tmp_path / "given", CONTAINERS[kind](np.ones(2) if "pd" in kind or "Paddle" in kind else torch.ones(2))
    )
    assert look(path).readable == (kind != "pdopt")


TEXT = b"X\x12\x00\x00\x00echo pwned > pwned"
# Every way that a pickle has to get something called; what is said of it.
WAYS = {
    "REDUCE": (b"cos\nsystem\n" + TEXT + b"\x85R", r"asks for os\.system"),
    "STACK_GLOBAL": (b"\x8c\x05posix\x8c\x06system\x93" + TEXT + b"\x85R", r"asks for posix\.system"),
    "a name with dots": (b"\x8c\x05numpy\x8c\x09os.system\x93" + TEXT + b"\x85R", r"asks for numpy\.os\.system"),
    "OBJ": (b"(cos\nsystem\n" + TEXT + b"o", r"asks for os\.system"),
    "INST": (b"(" + TEXT + b"ios\nsystem\n", r"asks for os\.system"),
    "NEWOBJ": (b"csubprocess\nPopen\n" + TEXT + b"\x85\x81", r"asks for subprocess\.Popen"),
    "NEWOBJ_EX": (b"csubprocess\nPopen\n" + TEXT + b"\x85}\x92", r"asks for subprocess\.Popen"),
    "BUILD": (b"cos\n_Environ\n)\x81}" + TEXT + b"K\x01sb", r"asks for os\._Environ"),
    "only the name": (b"cos\nsystem\n", r"asks for os\.system"),
    "Python 2": (b"c__builtin__\neval\n" + TEXT + b"\x85R", r"asks for builtins\.eval"),
    "EXT1": (b"\x82\x01", r"damaged: operation EXT1, which no weight file needs"),
    "EXT4": (b"\x84\x01\x00\x00\x00", r"damaged: operation EXT4, which no weight file needs"),
    "PERSID": (b"Pos.system\n", "damaged: a reference"),
    "BINPERSID": (TEXT + b"Q", "damaged: a reference"),
    "NEXT_BUFFER": (b"\x97", "damaged: operation NEXT_BUFFER, which no weight file needs"),
}


@pytest.mark.parametrize("container", ["pdparams", "pth"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_call_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, container: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fragment, said = WAYS[way]
    code = b"\x80\x02}X\x01\x00\x00\x00a" + fragment + b"s."
    if container == "pdparams":
        (tmp_path / "evil.pdparams").write_bytes(code)
    else:
        with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
            archive.writestr("archive/data.pkl", code)
    with pytest.raises(CheckpointError, match=rf"^evil\.{container} .*{said}"):
        read(tmp_path / f"evil.{container}")
    assert len(list(tmp_path.iterdir())) == 1


UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
SAFE = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}


@pytest.mark.parametrize("path", sorted(CODE.rglob("*.py")), ids=lambda path: str(path.relative_to(CODE)))
def test_nothing_in_the_package_unpickles(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in UNPICKLERS
        elif isinstance(node, ast.Import):  # under their own names, so that the next line sees what is used of them
            assert not [alias for alias in node.names if alias.asname and alias.name in UNPICKLERS]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in UNPICKLERS:
            assert node.attr in ("dump", "dumps")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in SAFE:
            assert SAFE[ast.unparse(node.func)] in [ast.unparse(keyword) for keyword in node.keywords]


# -- archives


OUTSIDE = ("../outside", "BriVL/../../outside", "/tmp/outside", "C:\\outside", "x" * 200 + "/../../../outside")
LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_that_points_outside_is_refused_by_every_command_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: int
) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    good = {"BriVL/a.pth": torch_file({"learnable": tensors(torch.ones(1))})}
    archives = [save_tar(inside / "a.tar", {**good, name: b"x"}, form=form).read_bytes() for name in OUTSIDE]
    for kind in LINKS:
        link = tarfile.TarInfo("BriVL/link")
        link.type, link.linkname = kind, "../../outside"
        archives.append(save_tar(inside / "a.tar", good, link, form=form).read_bytes())
    for content in archives:
        (inside / "a.tar").write_bytes(content)
        for words in (["inspect", "a.tar"], ["convert", "a.tar", "out"]):
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 4
            assert "a.tar is a tar archive with " in " ".join(result.stderr.split())
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["a", "b", "a.tar"]


# -- files that are cut short


def test_a_file_that_paddle_wrote_is_never_read_when_a_byte_is_missing(tmp_path: Path) -> None:
    for whole in sorted(PADDLE.glob("*.pdparams")):
        content = whole.read_bytes()
        path = tmp_path / whole.name
        for size in [*range(0, len(content), 5), len(content) - 2, len(content) - 1]:
            path.write_bytes(content[:size])
            with pytest.raises(CheckpointError, match=rf"^{whole.name} is .*(again|tuwen reads)"):
                read(path)


@pytest.mark.parametrize(
    "kind", ["pdparams, nested", "pdparams, cut in slices", "folder of PaddleNLP", "shards of PaddleNLP"]
)
def test_every_form_of_a_paddle_file_that_is_cut_short_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "given", CONTAINERS[kind](np.ones(2, np.float32)))
    file = sorted((tmp_path / "given").glob("*.pdparams"))[-1]
    content = file.read_bytes()
    for size in range(2, len(content), len(content) // 9):
        file.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=rf"^{file.name} is cut short: the [\d,]+ bytes here begin like"):
            read(path)
    result = CliRunner().invoke(app, ["convert", str(path), "out"])
    assert result.exit_code == 4 and f"{file.name} is cut short" in " ".join(result.stderr.split())
    assert [name.name for name in tmp_path.iterdir()] == ["given"]
