"""The program as a user starts it: quick to help, one sentence for an error, the promised exit codes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tuwen.cli.program import COMMANDS

ROOT = Path(__file__).parents[2]


def start(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tuwen", *map(str, words)]
    whole = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(command, cwd=cwd, env=whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def test_help_takes_less_than_half_a_second() -> None:
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code, out, _ = finish(start("--help"))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Of the processor, not of the clock: other tests run beside this one.
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        assert code == 0
        assert "Search an embedded folder / 搜索已嵌入的文件夹" in out
    assert min(seconds) < 0.5


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_every_command_has_help_in_both_languages(name: str, call: Call) -> None:
    out = call(name, "--help").stdout
    assert "Show this message" in out
    assert " / " in out
    assert any("\u4e00" <= letter <= "\u9fff" for letter in out)


def test_the_version_is_told(call: Call) -> None:
    from tuwen import __version__

    assert call("--version").stdout == f"tuwen {__version__}\n"


@pytest.mark.parametrize("words", [["nothing"], ["embed"], ["embed", "x", "-o", "y", "--batch-size", "0"]])
def test_wrong_usage_is_exit_code_2(words: list[str], call: Call) -> None:
    result = call(*words)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


def test_an_error_is_one_sentence_on_stderr(tmp_path: Path) -> None:
    code, out, error = finish(start("embed", tmp_path / "none", "-o", tmp_path / "out"))
    assert (code, out) == (4, "")
    assert error.count("\n") == 1
    assert error.startswith("tuwen: ")
    assert "none does not exist" in error
    assert not (tmp_path / "out").exists()


def test_a_traceback_is_shown_when_asked_for(tmp_path: Path) -> None:
    code, _, error = finish(start("embed", tmp_path / "none", "-o", tmp_path / "out", TUWEN_DEBUG="1"))
    assert code == 1
    assert "Traceback" in error


def test_an_interrupted_run_exits_130_and_keeps_what_is_done(model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"红色的猫 {number}" for number in range(60_000)), encoding="utf-8")
    words = ["embed", texts, "-m", model, "-o", tmp_path / "out"]
    process = start(*words)
    partial = tmp_path / "out" / ".partial"
    deadline = time.monotonic() + 100
    while not list(partial.glob("*.npy")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    code, _, error = finish(process)
    assert code == 130, error
    assert "Traceback" not in error
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert list(partial.glob("*.npy"))
