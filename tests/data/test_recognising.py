"""One sample of each format: told apart, by what is there and not by what it is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import official
from tests.data.test_round_trips import TARGETS, sample, written
from tests.datasets import png
from tuwen.data import formats


def save_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(1))


def save_class_folders(root: Path) -> Path:
    for name in ("cat", "dog"):
        save_picture(root / "test" / name / "1.png")
    (root / "label.txt").write_text("cat\ndog\n", encoding="utf-8")
    return root


def save_side_texts(root: Path) -> Path:
    save_picture(root / "cats" / "1.png")
    (root / "cats" / "1.txt").write_text("一只猫\n", encoding="utf-8")
    return root


READ_ONLY: dict[str, Callable[[Path], Path]] = {
    "vcr": official.save_vcr,
    "vqav2": official.some_vqa,
    "nlvr2": official.save_nlvr2,
    "snli-ve": official.save_snli_ve,
    "karpathy": lambda root: official.save_karpathy(root) / "karpathy" / "dataset_coco.json",
    "ai-challenger": official.save_ai_challenger,
    "visual-genome": official.save_visual_genome,
    "web-captions": lambda root: official.save_web_captions(root) / "cc",
    "class-folders": save_class_folders,
    "folder": save_side_texts,
}


@pytest.mark.parametrize("name", [*TARGETS, *(f"{name} read" for name in READ_ONLY)])
def test_a_sample_of_each_format_is_told_from_all_others(name: str, tmp_path: Path) -> None:
    root = tmp_path / "metadata images train"
    make = READ_ONLY.get(name.removesuffix(" read"))
    path = make(root) if make and name.endswith(" read") else written(sample(), name, root)
    assert formats.recognise(path) == name.split()[0]
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else []
    alone = [file for file in files if file.suffix in (".tar", ".parquet", ".data")]
    assert [formats.recognise(file) for file in alone] == [name.split()[0]] * len(alone)


def test_there_is_a_sample_of_every_format() -> None:
    assert {name.split()[0] for name in [*TARGETS, *READ_ONLY]} == set(formats.FORMATS)
