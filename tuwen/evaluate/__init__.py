"""A model and held-out data -> the numbers of a benchmark, and its submission file."""

from __future__ import annotations

from tuwen.evaluate.scenes import distinct, on_scenes
from tuwen.evaluate.scored import Made, Scored

__all__ = ["Made", "Scored", "distinct", "on_scenes"]
