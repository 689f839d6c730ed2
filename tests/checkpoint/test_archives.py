from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tuwen.checkpoint import archives, find_weights, look, read, write_safetensors
from tuwen.errors import CheckpointError


def learnable() -> dict[str, Tensor]:
    return {
        "imgencoder.learnable.imgFC.fc1.weight": torch.randn(20, 30),
        "imgencoder_mom.learnable.imgFC.fc1.weight": torch.randn(20, 30).half(),
        "textencoder.backbone.bert.embeddings.position_ids": torch.arange(512)[None],
    }


def torch_file(content: Any, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def safetensors_file(tensors: dict[str, Tensor], folder: Path) -> bytes:
    write_safetensors(folder / "x.safetensors", tensors)
    return (folder / "x.safetensors").read_bytes()


def entry(name: str, **settings: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in settings.items():
        setattr(info, key, value)
    return info


def save(
    path: Path, files: dict[str, bytes], *more: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT, first: bool = False
) -> Path:
    """A tar archive of these files, and of entries without content after them, or `first`."""
    with tarfile.open(path, "w", format=form) as archive:
        for info in more if first else ():
            archive.addfile(info)
        for name, content in files.items():
            archive.addfile(entry(name, size=len(content)), io.BytesIO(content))
        for info in () if first else more:
            archive.addfile(info)
    return path


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_the_weights_of_a_tar_are_those_of_the_file_inside(tmp_path: Path, legacy: bool, form: int) -> None:
    expected = learnable()
    files = {
        "BriVL/readme.md": b"weights",
        "BriVL/._weights.pth": b"what macOS leaves",
        "BriVL/weights.pth": torch_file({"learnable": expected, "epoch": 5}, legacy),
        "BriVL/cfg.yml": b"MODEL:\n",
    }
    path = save(tmp_path / "BriVL-1.0-5500w.tar", files, entry("BriVL", type=tarfile.DIRTYPE), form=form, first=True)
    found = read(path)
    assert_same(found.tensors, expected)
    assert found.extra == {"epoch": 5} and found.container == ("torch-legacy" if legacy else "torch-zip")
    seen = look(path)
    assert seen.kind == "checkpoint" and seen.detail.startswith("BriVL/weights.pth: 3 tensors, 1,712 values")
    assert list(seen.shapes) == list(expected)


@pytest.mark.parametrize("padding", [0, 3, 5000])
def test_every_container_is_read_wherever_it_lies_in_the_archive(tmp_path: Path, padding: int) -> None:
    expected = learnable()
    numbers = {name: tensor.numpy() for name, tensor in expected.items()}
    contents = {
        "a.safetensors": safetensors_file(expected, tmp_path),
        "a.pdparams": pickle.dumps(numbers, protocol=4),
        "b.pdparams": pickle.dumps(numbers, protocol=2),
    }
    for name, content in contents.items():
        path = save(tmp_path / f"{name}.tar", {"x" * 200 + "/readme": bytes(padding), name: content, "z": b"z"})
        assert_same(dict(sorted(read(path).tensors.items())), dict(sorted(expected.items())))


def test_tensors_of_an_archive_that_are_written_into_leave_it_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tar", {"a.pth": torch_file({"learnable": learnable()})})
    before = path.read_bytes()
    for tensor in read(path).tensors.values():
        tensor.zero_()
    assert path.read_bytes() == before and sorted(tmp_path.iterdir()) == [path]


def test_a_folder_gives_its_archive_where_it_has_no_other_weights(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tar", {"a.pth": torch_file(learnable())})
    assert find_weights(tmp_path) == path
    (tmp_path / "b.pth").write_bytes(torch_file(learnable()))
    assert find_weights(tmp_path) == tmp_path / "b.pth"


# -- what is refused

GOOD = {"a.pth": torch_file(learnable())}
OUTSIDE = ("../a.pth", "folder/../../a.pth", "/etc/a.pth", "..\\a.pth", "C:\\a.pth", "\\\\host\\share\\a.pth", "..")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_points_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    for files in ({name: GOOD["a.pth"]}, {**GOOD, name: b"x"}):
        path = save(tmp_path / "a.tar", files)
        with pytest.raises(CheckpointError, match=r"a\.tar is a tar archive with the name .* points out of its folder"):
            read(path)
        assert look(path).kind == "tar"


SPECIAL: dict[str, tuple[dict[str, Any], str]] = {
    "symlink": ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "the link b.pth to /etc/passwd"),
    "hard link": ({"type": tarfile.LNKTYPE, "linkname": "a.pth"}, r"the link b\.pth to a\.pth"),
    "device": ({"type": tarfile.CHRTYPE, "devmajor": 1}, r"b\.pth, which is neither a plain file nor a folder"),
    "disk": ({"type": tarfile.BLKTYPE}, r"b\.pth, which is neither"),
    "pipe": ({"type": tarfile.FIFOTYPE}, r"b\.pth, which is neither"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("first", [False, True])
def test_a_link_or_device_is_refused_wherever_it_stands(tmp_path: Path, kind: str, first: bool) -> None:
    settings, said = SPECIAL[kind]
    with pytest.raises(CheckpointError, match=rf"a\.tar is a tar archive with {said}"):
        read(save(tmp_path / "a.tar", GOOD, entry("b.pth", **settings), first=first))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.pth": b"1", "b/c.pth": b"2"}, r"with several weight files \(a\.pth, b/c\.pth\): unpack it"),
        ({"readme.md": b"1", "b": b"2"}, r"without a weight file \(readme\.md, b\): unpack it"),
        ({"a.tar": b"1"}, r"without a weight file \(a\.tar\)"),
    ],
)
def test_an_archive_without_one_weight_file_is_explained(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(CheckpointError, match=rf"a\.tar is a tar archive {said}"):
        read(save(tmp_path / "a.tar", files))


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("echo pwned > pwned",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pth", lambda: torch_file({"learnable": {**learnable(), "b": Evil()}})),
        ("a.pth", lambda: torch_file({"learnable": learnable(), "optimizer": Evil()})),
        ("a.pth", lambda: torch_file({"learnable": learnable(), "cfg": Evil()}, legacy=True)),
        ("a.pdparams", lambda: pickle.dumps({"a": np.ones(2), "b": Evil()}, protocol=4)),
    ],
    ids=["weights", "beside", "legacy", "paddle"],
)
def test_what_asks_to_run_something_is_refused_inside_and_outside_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: Callable[[], bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content())
    with pytest.raises(CheckpointError, match=rf"^{name} asks for (posix|nt)\.system.*does not run"):
        read(tmp_path / name)
    with pytest.raises(CheckpointError, match=rf"^{name} in x\.tar asks for (posix|nt)\.system.*does not run"):
        read(save(tmp_path / "x.tar", {name: content()}))
    assert not (tmp_path / "pwned").exists()


def test_what_is_no_weight_file_is_named_with_its_archive(tmp_path: Path) -> None:
    for content, said in (
        (b"<html>", r"a\.pth in x\.tar is a web page"),
        (b"", r"a\.pth in x\.tar is empty"),
        (pickle.dumps(print), r"a\.pth in x\.tar is a plain Python pickle that names builtins\.print"),
        (GOOD["a.pth"][:700], r"a\.pth in x\.tar is cut short"),
        (torch_file(learnable(), legacy=True)[:-50], r"a\.pth in x\.tar is damaged"),
        (pickle.dumps({"a": np.ones(2)})[:-9], r"a\.pth in x\.tar is "),
        (torch_file({"epoch": 3}), r"a\.pth in x\.tar holds a dict of epoch"),
    ):
        with pytest.raises(CheckpointError, match=f"^{said}"):
            read(save(tmp_path / "x.tar", {"a.pth": content}))


def test_a_compressed_archive_is_to_be_unpacked_first(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(save(tmp_path / "a.tar", GOOD).read_bytes()))
    with pytest.raises(CheckpointError, match=r"a\.tar\.gz is a gzip-compressed file: unpack it first"):
        read(path)


# -- damage


def test_an_archive_cut_anywhere_is_one_sentence(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.tar", {"readme": b"x" * 700, **GOOD}).read_bytes()
    end = whole.rindex(b"PK\5\6") + 22
    for size in range(300, end, 379):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"cut\.tar is .*(cut short|damaged|without a weight file)"):
            read(tmp_path / "cut.tar")
    (tmp_path / "cut.tar").write_bytes(whole[: -(-end // 512) * 512])
    assert len(read(tmp_path / "cut.tar").tensors) == 3  # only the mark of the end is missing


def test_an_archive_with_flipped_bytes_never_gives_another_error(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.tar", {"readme": b"x" * 700, **GOOD}, form=tarfile.PAX_FORMAT).read_bytes()
    path = tmp_path / "b.tar"
    headers = [*range(0, 512, 5), *range(1536, 2048, 5), *range(2048, 6000, 97)]
    for place in headers:
        for flip in (0x15, 0x80):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            try:
                read(path)
            except CheckpointError as error:
                assert "b.tar" in str(error) and "\n" not in str(error)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_HEADER_BYTES", 4096)
    path = save(tmp_path / "a.tar", {"x" * 9000: b"", **GOOD})
    with pytest.raises(CheckpointError, match=r"damaged \(a header of [\d,]+ bytes\)"):
        read(path)


def test_an_archive_of_a_great_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 20)
    path = save(tmp_path / "a.tar", {**{f"{number}.txt": b"" for number in range(30)}, **GOOD})
    with pytest.raises(CheckpointError, match="of more than 20 files"):
        read(path)


def test_a_size_below_nothing_is_one_sentence(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tar", {"readme": b"", **GOOD}, form=tarfile.GNU_FORMAT)
    content = bytearray(path.read_bytes())
    content[124:136] = (-512 & (1 << 96) - 1).to_bytes(12, "big")  # GNU's way to write a negative number
    header = content[:148] + b" " * 8 + content[156:512]
    content[148:156] = f"{sum(header):06o}\0 ".encode()
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a\.tar is a tar archive"):
        read(path)
