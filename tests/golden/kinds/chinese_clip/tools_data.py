"""The data tools: raw files to LMDB as the original builds it and back, and texts of pictures turned round."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import lmdb
from typer.testing import CliRunner

from tests.golden.case import Case, Expected
from tuwen.cli import app
from tuwen.data import formats
from tuwen.data.dataset import Dataset

Entries = list[list[Any]]


def check_data(case: Case, expected: Expected) -> None:
    """The part of the case that is about data: LMDBs, their printed lines, and the inverted annotation."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir()
        for file in (*case.path.glob("*_imgs.tsv"), *case.path.glob("*_texts.jsonl")):
            shutil.copyfile(file, folder / file.name)
        _check_build(folder, expected)
        _check_other_ways(case, folder, Path(name))
        for key in [key for key in expected.keys("") if key.endswith(".tr.jsonl")]:
            source = key.replace(".tr.jsonl", ".jsonl")
            _run("data", "build", folder / source, "--to", "tr", "--format", "original")
            expected.equal(key, (folder / key).read_text(encoding="utf-8"))


def _run(*words: object) -> str:
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def _check_build(folder: Path, expected: Expected) -> None:
    out = _run("data", "build", folder, "--format", "original", "--quiet")
    lines = out.replace(str(folder.parent), "WORK").splitlines()
    expected.equal("build_lmdb.stdout", [*sorted(lines[:-1]), lines[-1]])  # the order of splits is that of a set
    built = folder / "lmdb"
    files = sorted(file.relative_to(built).as_posix() for file in built.rglob("*") if file.is_file())
    expected.equal("lmdb.files", files)
    for key in expected.keys("lmdb."):
        parts = key.split(".")
        if len(parts) == 3 and parts[2] == "imgs":
            expected.equal(key, _images(built / parts[1] / "imgs"))
        elif len(parts) == 3 and parts[2] == "pairs":
            expected.equal(key, _pairs(built / parts[1] / "pairs"))
        elif parts[-1] == "pair_pickle_protocol":
            pickled = [value for name, value in _dump(built / parts[1] / "pairs") if name != "num_samples"]
            expected.equal(key, sorted({value[1] for value in pickled}))


def _dump(folder: Path) -> list[tuple[str, bytes]]:
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as reading:
        return [(key.decode(), value) for key, value in reading.cursor()]


def _images(folder: Path) -> Entries:
    return [[key, _shown(key, value)] for key, value in _dump(folder)]


def _shown(key: str, value: bytes) -> str:
    return value.decode() if key == "num_images" else hashlib.sha256(value).hexdigest()


def _pairs(folder: Path) -> Entries:
    return [
        [key, value.decode() if key == "num_samples" else list(pickle.loads(value))] for key, value in _dump(folder)
    ]


def _check_other_ways(case: Case, folder: Path, work: Path) -> None:
    """Our own writer fills an LMDB alike, ours and the original's read alike, and the raw files come back the same."""
    raw = work / "again"
    for split in formats.splits(folder, "chinese-clip"):
        from_raw = formats.open_dataset(folder, split, "chinese-clip")
        lines = (folder / f"{split}_imgs.tsv").read_bytes().count(b"\n")
        if from_raw.failures or from_raw.notes or len(from_raw.pictures) != lines:
            continue  # an id that comes twice counts once with us
        formats.write(from_raw, work / "ours", "chinese-clip-lmdb", split)
        for part in ("imgs", "pairs"):
            assert _dump(work / "ours" / split / part) == _dump(folder / "lmdb" / split / part), (split, part)
        _check_same(formats.open_dataset(work / "ours", split), from_raw)
        formats.write(from_raw, raw, "chinese-clip", split)
        for name, row in ((f"{split}_imgs.tsv", str.split), (f"{split}_texts.jsonl", json.loads)):
            ours, theirs = ((where / name).read_text(encoding="utf-8").splitlines() for where in (raw, folder))
            assert list(map(row, ours)) == list(map(row, theirs)), name
        recorded = case.path / f"lmdb_{split}"
        if recorded.is_dir():
            _check_same(formats.open_dataset(recorded), from_raw)


def _check_same(built: Dataset, raw: Dataset) -> None:
    assert not built.failures
    assert not built.notes
    assert {id: built.pictures[id] for id in built.pictures} == {id: raw.pictures[id] for id in raw.pictures}
    paired = [(text.id, text.text, text.image_ids) for text in raw.texts if text.image_ids]
    assert [(text.id, text.text, text.image_ids) for text in built.texts] == paired
