"""Conversions that are stopped: nothing half-written, and run again they end as if they never had been."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.datasets import files_of, save_split
from tuwen.data import formats, growing, lmdb_growing
from tuwen.data.lmdb_building import build_original
from tuwen.data.options import Writing
from tuwen.errors import InputError

ROOT = Path(__file__).parents[2]
TARGETS = ["chinese-clip", "chinese-clip-lmdb"]


class Stop(BaseException):
    pass


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes after every row, transactions of three rows."""
    monkeypatch.setattr(growing, "SECONDS", 0.0)
    monkeypatch.setattr(lmdb_growing, "BATCH_ROWS", 3)


def stopping_after(rows: int) -> Callable[[int], None]:
    left = rows

    def advance(count: int) -> None:
        nonlocal left
        left -= count
        if left < 0:
            raise Stop

    return advance


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("rows", range(17))
def test_stopped_after_any_row_and_run_again_it_is_the_same(to: str, rows: int, tmp_path: Path) -> None:
    dataset = formats.open_dataset(save_split(tmp_path / "raw", count=8))
    formats.write(dataset, tmp_path / "whole", to)
    with pytest.raises(Stop):
        formats.write(dataset, tmp_path / "out", to, writing=Writing(advance=stopping_after(rows)))
    hidden = [path for path in (tmp_path / "out").rglob("*") if not path.is_dir()]
    assert all(any(part.startswith(".") for part in path.parts) for path in hidden)
    started: list[tuple[int, int]] = []
    writing = Writing(expect=lambda total, done: started.append((total, done)))
    formats.write(formats.open_dataset(tmp_path / "raw"), tmp_path / "out", to, writing=writing)
    assert started[0][0] == 17
    assert started[0][1] >= min(rows - 3, 6)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("when", ["before", "after"])
def test_stopped_around_any_transaction_and_run_again_it_is_the_same(
    call: int, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_split(tmp_path / "raw", count=8)
    build_original(folder, tmp_path / "whole", "train", Writing())
    calls = 0
    commit, note = lmdb_growing.GrowingStore._commit, lmdb_growing.GrowingStore._write_note

    def counting(method: Callable[..., None]) -> Callable[..., None]:
        def counted(*given: object, **named: object) -> None:
            nonlocal calls
            method(*given, **named)
            calls += 1
            if calls == call:
                raise Stop

        return counted

    with monkeypatch.context() as patched, pytest.raises(Stop):
        if when == "before":  # the note is written, the transaction has not begun
            patched.setattr(lmdb_growing.GrowingStore, "_write_note", counting(note))
        else:
            patched.setattr(lmdb_growing.GrowingStore, "_commit", counting(commit))
        build_original(folder, tmp_path / "out", "train", Writing())
        raise Stop
    assert "2" not in build_original(folder, tmp_path / "out", "train", Writing())[1].split()
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_stopped_between_two_names_and_run_again_it_is_the_same(
    to: str, renames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = formats.open_dataset(save_split(tmp_path / "raw"))
    formats.write(dataset, tmp_path / "whole", to)
    replace, count = Path.replace, 0

    def counted(path: Path, target: Path) -> Path:
        nonlocal count
        if not target.name.startswith("."):
            count += 1
            if count > renames:
                raise Stop
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", counted)
        with suppress(Stop):
            formats.write(dataset, tmp_path / "out", to)
    if count > renames:
        formats.write(dataset, tmp_path / "out", to)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("to", TARGETS)
def test_killed_in_the_middle_and_run_again_it_is_the_same(to: str, tmp_path: Path) -> None:
    save_split(tmp_path / "raw", count=40)
    formats.write(formats.open_dataset(tmp_path / "raw"), tmp_path / "whole", to)
    code = f"""
import os, signal
from pathlib import Path
from typing import Any
from tuwen.data import formats, growing, lmdb_growing
from tuwen.data.options import Writing
growing.SECONDS, lmdb_growing.BATCH_ROWS = 0.0, 3
count = 0
def advance(rows):
    global count
    count += rows
    if count == 25:
        os.kill(os.getpid(), signal.SIGKILL)
folder = Path({str(tmp_path)!r})
formats.write(formats.open_dataset(folder / "raw"), folder / "out", {to!r}, writing=Writing(advance=advance))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    started: list[int] = []
    writing = Writing(expect=lambda total, done: started.append(done))
    formats.write(formats.open_dataset(tmp_path / "raw"), tmp_path / "out", to, writing=writing)
    assert 20 <= started[0] <= 25
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_failures_of_the_part_that_was_done_are_told_again(tmp_path: Path) -> None:
    for to in TARGETS:
        dataset = formats.open_dataset(save_split(tmp_path / "raw", count=8))
        pictures = dict(dataset.pictures)
        dataset.pictures = {**pictures, "7": str(tmp_path / "gone.png")}
        with pytest.raises(Stop):
            formats.write(dataset, tmp_path / to, to, writing=Writing(advance=stopping_after(7)))
        writing = Writing()
        formats.write(dataset, tmp_path / to, to, writing=writing)
        assert [failure.id for failure in writing.failures] == ["7"]
        texts = formats.open_dataset(tmp_path / to).texts
        assert all("7" not in text.image_ids for text in texts)


def test_a_run_with_other_data_begins_anew(tmp_path: Path) -> None:
    for to in TARGETS:
        with pytest.raises(Stop):
            dataset = formats.open_dataset(save_split(tmp_path / "raw", count=8))
            formats.write(dataset, tmp_path / to, to, writing=Writing(advance=stopping_after(9)))
        other = formats.open_dataset(save_split(tmp_path / "other", count=5, first=100))
        formats.write(other, tmp_path / to, to, "train")
        formats.write(other, tmp_path / f"{to} whole", to, "train")
        assert files_of(tmp_path / to) == files_of(tmp_path / f"{to} whole")


def test_what_a_machine_left_that_went_down_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = formats.open_dataset(save_split(tmp_path / "raw", count=8))
    formats.write(dataset, tmp_path / "whole", "chinese-clip-lmdb")
    with pytest.raises(Stop):
        formats.write(dataset, tmp_path / "out", "chinese-clip-lmdb", writing=Writing(advance=stopping_after(7)))
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(lmdb_growing, "BOOT", tmp_path / "boot")
    started: list[int] = []
    writing = Writing(expect=lambda total, done: started.append(done))
    formats.write(dataset, tmp_path / "out", "chinese-clip-lmdb", writing=writing)
    assert started == [0]
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("boot", ["there", "gone"])
def test_a_note_that_was_half_written_is_none(
    place: int, boot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if boot == "gone":  # then every transaction waits for the disk
        monkeypatch.setattr(lmdb_growing, "BOOT", tmp_path / "boot")
    dataset = formats.open_dataset(save_split(tmp_path / "raw", count=8))
    formats.write(dataset, tmp_path / "whole", "chinese-clip-lmdb")
    with pytest.raises(Stop):
        formats.write(dataset, tmp_path / "out", "chinese-clip-lmdb", writing=Writing(advance=stopping_after(7)))
    note = tmp_path / "out" / "train" / "imgs" / f".run.{place}.json"
    note.write_bytes(note.read_bytes()[:-20])
    formats.write(dataset, tmp_path / "out", "chinese-clip-lmdb")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


# -- a full disk ------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_sentence_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = formats.open_dataset(save_split(tmp_path / "raw"))
    opened = Path.open

    def full(path: Path, mode: str = "r", **named: Any) -> Any:
        return open("/dev/full", "wb") if path.name.endswith(".part") else opened(path, mode, **named)  # noqa: PTH123

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(InputError, match=r"cannot write to .*out: No space left on device; what is done so far"):
            formats.write(dataset, tmp_path / "out", "chinese-clip")
    assert not list((tmp_path / "out").glob("train_*"))
    formats.write(dataset, tmp_path / "out", "chinese-clip")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "raw")


@pytest.mark.parametrize("size", [100, 500, 900])
def test_files_that_cannot_grow_stay_for_the_next_run(size: int, tmp_path: Path) -> None:
    dataset = formats.open_dataset(save_split(tmp_path / "raw", count=60))
    with largest_file(size), pytest.raises(InputError, match=r"cannot write to .*out: .*run the same again"):
        formats.write(dataset, tmp_path / "out", "chinese-clip")
    assert not list((tmp_path / "out").glob("train_*"))
    formats.write(dataset, tmp_path / "out", "chinese-clip")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "raw")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_lmdb_that_cannot_grow_stays_for_the_next_run(tmp_path: Path) -> None:
    dataset = formats.open_dataset(save_split(tmp_path / "raw", count=60))
    formats.write(dataset, tmp_path / "whole", "chinese-clip-lmdb")
    with largest_file(30_000), pytest.raises(InputError, match=r"cannot write to .*imgs: .*run the same again"):
        formats.write(dataset, tmp_path / "out", "chinese-clip-lmdb")
    assert not list((tmp_path / "out").rglob("imgs/data.mdb"))
    started: list[int] = []
    writing = Writing(expect=lambda total, done: started.append(done))
    formats.write(dataset, tmp_path / "out", "chinese-clip-lmdb", writing=writing)
    assert started[0] > 0
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
