"""`tuwen doctor`: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import typer

from tuwen.cli import console, options

# extra -> the modules it brings; "core" is what tuwen cannot do without
EXTRAS = {
    "core": ("torch", "numpy", "PIL", "safetensors", "tokenizers", "huggingface_hub", "yaml", "tqdm"),
    "data": ("lmdb", "pyarrow", "webdataset"),
    "search": ("lancedb",),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
    "train": ("tensorboard",),
    "export": ("onnx", "onnxruntime", "onnxscript", "openvino"),
    "llm": ("openai",),
    "scale": ("ray",),
}
# What the matrix products of torch use where it is there.
FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16", "sve")

Check = tuple[str, str, str]  # subject, what was found, "ok", "-" (optional and absent) or "missing"


def command(quiet: options.Quiet = False, as_json: options.AsJson = False) -> None:
    """Show what this machine has and what is missing / 检查本机环境"""
    console.header("doctor", platform.platform(), quiet=quiet)
    checks = [*_versions(), *_processor(), *_graphics(), *_extras(), *_files()]
    if as_json:
        console.result([{"subject": subject, "found": found, "state": state} for subject, found, state in checks])
    else:
        console.table(["subject", "found", "state"], checks)
    if any(state == "missing" for _, _, state in checks):
        raise typer.Exit(3)


def _versions() -> Iterator[Check]:
    from tuwen import __version__

    yield "tuwen", __version__, "ok"
    yield "python", platform.python_version(), "ok"
    for name in ("torch", "numpy", "pillow", "tokenizers", "safetensors", "huggingface-hub"):
        try:
            yield name, metadata.version(name), "ok"
        except metadata.PackageNotFoundError:
            yield name, "pip install tuwen", "missing"


def _processor() -> Iterator[Check]:
    import torch

    from tuwen.nn.linear import packing_wins

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = console.amount(torch.get_num_threads(), "thread")
    yield "processor", f"{_processor_name()}, {console.amount(usable or 1, 'core')} usable, torch uses {threads}", "ok"
    present = _features()
    yield "instructions", " ".join(name for name in FEATURES if name in present) or "unknown", "ok"
    yield "torch's choice", torch.backends.cpu.get_cpu_capability(), "ok"
    for dtype in (torch.float32, torch.bfloat16):
        faster = "faster, used" if packing_wins(dtype) else "not faster, not used"
        yield f"packed products {str(dtype).removeprefix('torch.')}", faster, "ok"
    decoder = importlib.util.find_spec("simplejpeg")
    found = (
        "simplejpeg" if decoder else "Pillow only (pip install simplejpeg decodes 3x faster, pixel for pixel the same)"
    )
    yield "JPEG decoder", found, "ok" if decoder else "-"


def _processor_name() -> str:
    for line in _cpuinfo():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _features() -> set[str]:
    lines = [line for line in _cpuinfo() if line.startswith(("flags", "Features"))]
    return set(lines[0].partition(":")[2].split()) if lines else set()


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _graphics() -> Iterator[Check]:
    import torch

    if not torch.cuda.is_available():
        yield "GPU", "none that torch can use", "-"
    for number in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(number).total_memory / 2**30
        yield f"cuda:{number}", f"{torch.cuda.get_device_name(number)}, {memory:.0f} GiB", "ok"


def _extras() -> Iterator[Check]:
    for extra, modules in EXTRAS.items():
        absent = [name for name in modules if importlib.util.find_spec(name) is None]
        if extra == "core":
            yield (
                "core packages",
                f"pip install tuwen ({', '.join(absent)})" if absent else "all",
                "missing" if absent else "ok",
            )
        elif absent:
            yield f"extra {extra}", f"pip install 'tuwen[{extra}]' ({', '.join(absent)})", "-"
        else:
            yield f"extra {extra}", ", ".join(modules), "ok"


def _files() -> Iterator[Check]:
    from huggingface_hub import constants

    from tuwen import hub
    from tuwen.models import PUBLISHED

    demo = hub.bundled("demo")
    yield "model demo", str(demo) if demo else "not in this copy of tuwen: reinstall it", "ok" if demo else "missing"
    here = [name for name, published in PUBLISHED.items() if hub.cached(published)]
    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT)
    offline = ", offline" if constants.HF_HUB_OFFLINE else ""
    yield "hub", f"{endpoint}{offline}, cache {constants.HF_HUB_CACHE}", "ok"
    yield "models in the cache", ", ".join(here) or "none", "ok" if here else "-"
    yield "Chinese font", *_font()


def _font() -> tuple[str, str]:
    from tuwen.search.font import FILE, font

    try:
        return f"{font(16).getname()[0]}, bundled", "ok"
    except OSError as error:
        return f"{FILE} cannot be opened ({error}): reinstall tuwen", "missing"
