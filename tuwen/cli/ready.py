"""A model, loaded as the options of a command say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuwen.cli.memory import keep_freed_memory
from tuwen.errors import UsageError

if TYPE_CHECKING:
    from tuwen.model import Model


def ready(
    name: str,
    device: str | None = None,
    dtype: str = "float32",
    tokenizer: Path | None = None,
    config: Path | None = None,
    answers: Path | None = None,
) -> Model:
    """The model, or the error that says what is wrong with its name or an option."""
    keep_freed_memory()
    from tuwen.loading import load

    check_device(device)
    return load(name, tokenizer=tokenizer, config=config, device=device, dtype=dtype, answers=answers)


def check_device(device: str | None) -> None:
    """UsageError for a device that torch does not know or this machine does not have."""
    if device is None:
        return
    import torch

    try:
        kind = torch.device(device)
    except RuntimeError:
        raise UsageError(f"device is {device!r}: it must be one such as cpu, cuda or cuda:1") from None
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device is {device!r}, but this machine has {torch.cuda.device_count()} CUDA devices: use cpu"
        )


def described(name: str, model: Model) -> str:
    """A model in a header: "demo, 4.5 M parameters, cpu, float32"."""
    parameters = sum(parameter.numel() for parameter in model.module.parameters())
    return f"{name}, {parameters / 1e6:.1f} M parameters, {model.device}, {str(model.dtype).removeprefix('torch.')}"


def short(name: str) -> str:
    """A model's name; of a folder or file the last part of its path."""
    return Path(name).name if Path(name).exists() else name


def recipe_of(name: str, dtype: str, tokenizer: Path | None, config: Path | None) -> dict[str, Any]:
    """What is needed to load the same model again: paths are made absolute, names stay as they are."""
    again = {"name": _absolute(Path(name)) if Path(name).exists() else name, "dtype": dtype}
    for key, path in (("tokenizer", tokenizer), ("config", config)):
        if path is not None:
            again[key] = _absolute(path)
    return again


def _absolute(path: Path) -> str:
    return str(path.expanduser().resolve())
