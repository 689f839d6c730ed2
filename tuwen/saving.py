"""tuwen's own model folder: model.safetensors, config.json, tokenizer.json, preprocessor.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tuwen import __version__, checkpoint
from tuwen.processing.processor import Processor

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def write_folder(
    folder: Path, tensors: Mapping[str, Tensor], processor: Processor, described: Mapping[str, Any]
) -> None:
    """Tensors under our names, bit for bit; `described` holds family, variant, languages and config.

    config.json comes last: a folder without it is not taken for a model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_safetensors(folder / WEIGHTS, tensors)
    processor.save(folder)
    write_json(folder / CONFIG, {"tuwen": __version__, **described})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Indented JSON that appears whole."""
    with checkpoint.replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
