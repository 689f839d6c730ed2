"""What a run ran on: versions, processor, threads."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "pillow", "tokenizers", "safetensors")


def environment() -> dict[str, Any]:
    """Plain data for a run's file."""
    versions = {"tuwen": _tuwen(), "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in PACKAGES}
    found: dict[str, Any] = {
        "versions": versions,
        "system": platform.platform(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        found["graphics"] = torch.cuda.get_device_name()
    return found


def _tuwen() -> str:
    from tuwen import __version__

    return __version__


def processor() -> str:
    """The name of the processor, as its maker calls it where the system tells."""
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
