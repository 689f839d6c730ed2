"""The memory setting is made where the C library has it, and nothing else happens elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuwen.cli import memory

ROOT = Path(__file__).parents[2]


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)
    assert memory.keep_freed_memory() is False


def test_a_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert memory.keep_freed_memory() is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of the GNU library")
def test_it_can_be_set_in_a_process_of_its_own() -> None:
    code = "from tuwen.cli.memory import keep_freed_memory; print(keep_freed_memory())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("True", "False")
