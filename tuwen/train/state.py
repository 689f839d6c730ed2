"""Save and resume, exactly: weights, optimizer and step in one file that appears whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from tuwen.errors import InputError


def save(path: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: dict[str, Any]) -> None:
    """Everything the next step depends on; random numbers are drawn from the step's own seed and need no saving."""
    temporary = path.with_name(path.name + ".part")
    torch.save(
        {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "recipe": recipe}, temporary
    )
    temporary.replace(path)


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, recipe: dict[str, Any]) -> int:
    """The step to go on from. A state saved under other settings than `recipe` is an InputError that names them."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    other = [key for key in recipe if state["recipe"].get(key) != recipe[key]]
    if other:
        raise InputError(
            f"{path} belongs to a run with other settings ({', '.join(other)}): choose another output folder"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    step: int = state["step"]
    return step
