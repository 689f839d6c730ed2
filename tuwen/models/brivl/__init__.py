"""BriVL (WenLan): regions of an EfficientNet's map compared with a Chinese BERT, arXiv 2103.06561, BAAI-WuDao/BriVL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn

from tuwen.errors import UsageError
from tuwen.models.brivl import outputs, reference
from tuwen.models.brivl.names import DROP, KEYS, momentum, one_tower, recognise
from tuwen.models.brivl.published import original_file, original_form, original_tensors
from tuwen.models.brivl.settings import from_settings, from_shapes, is_text_settings, read_yaml
from tuwen.models.brivl.towers import TEMPERATURE, TOWERS, VARIANTS, BriVL, Config, build, of_tower, variant_of
from tuwen.models.brivl.training import freeze
from tuwen.models.described import config_from_dict, config_to_dict
from tuwen.models.towers import published_names
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import Tokenizer

__all__ = [
    "DROP",
    "KEYS",
    "LANGUAGES",
    "TEMPERATURE",
    "TOWERS",
    "VARIANTS",
    "BriVL",
    "Config",
    "build",
    "config_from_own",
    "config_to_dict",
    "freeze",
    "from_settings",
    "left_out",
    "momentum",
    "of_tower",
    "one_tower",
    "original_file",
    "original_form",
    "original_tensors",
    "outputs",
    "processor",
    "published_parameters",
    "read_sizes",
    "read_yaml",
    "recognise",
    "reference",
    "tasks",
    "tokenizer_style",
    "variant_of",
    "with_heads",
]

LANGUAGES = ("zh",)
ALIGN_CORNERS = False  # no positions are resized: the picture tower has none

config_from_own = partial(config_from_dict, Config)


def read_sizes(
    form: str,
    settings: Mapping[str, Any] | None,
    shapes: Mapping[str, tuple[int, ...]],
    extra: Mapping[str, Any],
    beside: Mapping[str, Any] | None,
) -> Config:
    """Sizes of a state dict: from its shapes, and from what they do not tell as BriVL-1.0 has it, unless given.

    settings: the YAML configuration as a mapping (sections MODEL and, for networks of other sizes, CNN_CUSTOM); a key
    GRID, true, pools pictures without boxes on its BOX_GRID, as the 2.0 line does. Or the text encoder's config.json,
    which `beside` is otherwise.
    """
    if settings is not None and is_text_settings(settings):
        settings, beside = None, settings
    plain = {key: value for key, value in (settings or {}).items() if key != "GRID"}
    return from_shapes(shapes, plain or None, beside, grid=bool((settings or {}).get("GRID")))


def left_out(names: Iterable[str], config: Config) -> list[str]:
    """Tensors of the file that the model has no place for, besides those of DROP: none."""
    return []


def tasks(config: Config) -> tuple[str, ...]:
    """What a model with these towers can do."""
    return ("embed", "search", "classify") if set(config.towers) == set(TOWERS) else ("embed",)


def with_heads(config: Config, names: tuple[str, ...]) -> Config:
    """The family has no heads to add."""
    raise UsageError(f"BriVL has no heads {', '.join(names)}: it compares vectors")


def tokenizer_style(form: str) -> str:
    """transformers' own BertTokenizer, special tokens in a text included."""
    return "transformers"


def processor(
    form: str,
    config: Config,
    tokenizer: Tokenizer,
    preprocessor: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None = None,
) -> Processor:
    """Tokenizer and picture pipeline of all published code: the picture resized as a tensor, without antialiasing."""
    return Processor(tokenizer, ImagePipeline.brivl(config.image.image_size), config.context_length)


def published_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The module's parameters under published names: what we keep together (query, key, value) under the first."""
    return published_names(module, KEYS["original"])
