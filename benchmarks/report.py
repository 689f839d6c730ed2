"""The results as a page."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.cases import Row

PAGE = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pillow", "simplejpeg")

HEAD = """# Speed

How many times faster tuwen is than transformers' `ChineseCLIPModel` and `ChineseCLIPProcessor` (Pillow backend), used
as its model page shows, texts padded to the model's {length} tokens. Both sides have the same random weights of the
sizes ViT-B-16 and RoBERTa-wwm base, float32 unless a row says otherwise, and run in turns in one process; ratios are
medians of per-round ratios ({rounds} rounds), and each run asserts that the features of both sides agree.

Written by `make bench` (`python -m benchmarks`); for one case: `python -m benchmarks captions`.

{machine}

| what | against | bar | CPU time, 1 thread | wall, 2 threads | ms per item, peer → tuwen | lowest cosine |
|---|---|---|---|---|---|---|
"""


def machine() -> str:
    """The machine and the versions, in one paragraph."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"Machine: {_processor()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, no GPU; "
        f"{platform.system()}, Python {platform.python_version()}, {packages}."
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", path.read_text(encoding="utf-8")) if path.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def line(row: Row) -> str:
    """One row of the table."""
    bar = "" if row.bar is None else f"{row.bar:g}x"
    return (
        f"| {row.what} | {row.peer} | {bar} | **{row.cpu_ratio:.2f}x** | {row.wall_ratio:.2f}x | "
        f"{row.peer_ms:.1f} → {row.ours_ms:.1f} | {row.cosine:.7f} (at least {row.cosine_bar}) |"
    )


def write(rows: Sequence[Row], start_up_s: float, length: int, rounds: int) -> None:
    """Write RESULTS.md beside this file."""
    table = "\n".join(line(row) for row in rows)
    head = HEAD.format(machine=machine(), length=length, rounds=rounds)
    notes = NOTES.format(start_up_s=start_up_s)
    PAGE.write_text(head + table + "\n" + notes, encoding="utf-8")


NOTES = """
`tuwen --help` takes {start_up_s:.2f} s in a fresh process (bar: 0.5 s).

## How to read this
- **CPU time, 1 thread** is the time of all threads of the process, pinned to one processor: the figure to trust,
  because other work on the machine hardly moves it. Milliseconds are of this run. **Wall, 2 threads** is what a person
  waits for.
- Texts are packed without padding, with one attention for each length, and the last layer computes the [CLS] token
  alone. oneDNN's product on a weight that was laid out once is used where a trial, once per process, finds it faster
  than torch's default: where it is not, expect about half of these ratios in float32.
- "padded to the longest" is the peer with `padding=True`, which still pads most texts of a batch.
- `resize="exact"` gives the pixels of Pillow's decoder and resize, as the peer does, so only what surrounds these two
  can be faster. `resize="fast"` is an option: torch's resize, of which single values differ by a level or two.
- Texts are random characters, one token each, with the lengths of captions and of queries. Pictures are noise of every
  scale with edges, JPEG quality 88, 4:2:0.
- bfloat16 is compared with the peer's float32.
"""
