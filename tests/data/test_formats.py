"""Formats by name: recognised, opened, refused with a way out."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.datasets import save_split
from tuwen.data import formats
from tuwen.data.dataset import KINDS, QUESTIONS, Dataset
from tuwen.errors import InputError, MissingExtra, UsageError


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_format_says_what_it_is(name: str) -> None:
    module = formats.module(name)
    assert name == module.NAME
    assert module.TITLE
    assert set(module.KINDS) <= set(KINDS)
    assert module.KINDS
    assert all(callable(getattr(module, part)) for part in ("looks_like", "splits", "open_dataset"))


@pytest.mark.parametrize("name", formats.FORMATS)
def test_an_empty_folder_and_a_strange_file_are_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "strange.bin").write_bytes(bytes(range(256)))
    (tmp_path / "empty").mkdir()
    module = formats.module(name)
    assert not module.looks_like(tmp_path / "strange.bin")
    assert not module.looks_like(tmp_path / "empty")


def test_what_is_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is nothing at .*none: expected a dataset"):
        formats.open_dataset(tmp_path / "none")
    with pytest.raises(InputError, match=r"looks like none of chinese-clip, .*name its format"):
        formats.recognise(tmp_path)
    with pytest.raises(UsageError, match=r"no format 'lmdbx': expected one of chinese-clip"):
        formats.open_dataset(tmp_path, format="lmdbx")


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("no", name="lmdb")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtra, match=r"the format chinese-clip-lmdb needs lmdb: pip install 'tuwen\[data\]'"):
        formats.module("chinese-clip-lmdb")
    with pytest.raises(InputError, match=r"cannot be read without pip install 'tuwen\[data\]'"):
        formats.recognise(tmp_path)


def test_a_format_that_cannot_hold_a_dataset_is_refused(tmp_path: Path) -> None:
    dataset = Dataset("vqav2", tmp_path, QUESTIONS, {}, [])
    with pytest.raises(UsageError, match=r"chinese-clip cannot hold questions, only pairs: write one of .*arrow"):
        formats.write(dataset, tmp_path / "out", "chinese-clip", "train")
    with pytest.raises(UsageError, match=r"vqav2 is read only: write one of chinese-clip, chinese-clip-lmdb"):
        formats.write(dataset, tmp_path / "out", "vqav2", "train")


def test_a_dataset_is_recognised_and_opened_by_its_path(tmp_path: Path) -> None:
    save_split(tmp_path, "valid")
    assert formats.recognise(tmp_path) == "chinese-clip"
    assert formats.open_dataset(str(tmp_path)).split == "valid"
