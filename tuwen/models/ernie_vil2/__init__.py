"""ERNIE-ViL 2.0: a vision transformer and an ERNIE 3.0 compared directly, arXiv 2209.15270, PaddlePaddle/ERNIE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn

from tuwen.errors import UsageError
from tuwen.models.described import config_from_dict, config_to_dict
from tuwen.models.ernie_vil2 import outputs, reference
from tuwen.models.ernie_vil2.names import DROP, KEYS, recognise
from tuwen.models.ernie_vil2.published import (
    INEXACT,
    as_original,
    original_file,
    original_form,
    paddlenlp_form,
    paddlenlp_pictures,
    paddlenlp_settings,
)
from tuwen.models.ernie_vil2.settings import CONTEXT_LENGTH, from_port, from_research
from tuwen.models.ernie_vil2.towers import VARIANTS, Config, ErnieViL2, build, variant_of
from tuwen.models.towers import published_names
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import Tokenizer

__all__ = [
    "DROP",
    "INEXACT",
    "KEYS",
    "LANGUAGES",
    "VARIANTS",
    "Config",
    "ErnieViL2",
    "as_original",
    "build",
    "config_from_own",
    "config_to_dict",
    "left_out",
    "original_file",
    "original_form",
    "outputs",
    "paddlenlp_form",
    "paddlenlp_pictures",
    "paddlenlp_settings",
    "processor",
    "published_parameters",
    "read_sizes",
    "recognise",
    "reference",
    "tasks",
    "tokenizer_style",
    "variant_of",
    "with_heads",
]

LANGUAGES = ("zh",)
ALIGN_CORNERS = False  # when positions are resized; neither original code does it

config_from_own = partial(config_from_dict, Config)


def read_sizes(
    form: str,
    settings: Mapping[str, Any] | None,
    shapes: Mapping[str, tuple[int, ...]],
    extra: Mapping[str, Any],
    beside: Mapping[str, Any] | None,
) -> Config:
    """Sizes of a state dict: of the port by its config.json, of the research release by its shapes and text JSON."""
    if form == "paddlenlp":
        return from_port(settings or {})
    return from_research(settings if settings is not None else beside, shapes)


def left_out(names: Iterable[str], config: Config) -> list[str]:
    """Tensors of the file that the model has no place for, besides those of DROP: none."""
    return []


def tasks(config: Config) -> tuple[str, ...]:
    """What every model of the family can do."""
    return ("embed", "search", "classify")


def with_heads(config: Config, names: tuple[str, ...]) -> Config:
    """The family has no heads to add."""
    raise UsageError(f"ERNIE-ViL 2.0 has no heads {', '.join(names)}: it compares vectors")


def tokenizer_style(form: str) -> str:
    """The port's tokenizer keeps special tokens whole and cuts symbols out; the research release's does neither."""
    return "paddlenlp" if form == "paddlenlp" else "ernie"


def processor(
    form: str,
    config: Config,
    tokenizer: Tokenizer,
    preprocessor: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None = None,
) -> Processor:
    """Tokenizer and picture pipeline of the release or of the port: their rules for pictures differ."""
    size = config.image.image_size
    if form == "paddlenlp":
        settings = preprocessor or {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}
        return Processor(tokenizer, ImagePipeline.from_paddlenlp(settings), config.text.longest)
    return Processor(tokenizer, ImagePipeline.ernie(size), min(CONTEXT_LENGTH, config.text.longest))


def published_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The module's parameters under the research release's names; what it keeps apart under the first of them."""
    return published_names(module, KEYS["research"])
