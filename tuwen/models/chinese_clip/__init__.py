"""Chinese-CLIP: a CLIP image tower (ViT or ResNet) and a Chinese BERT, arXiv 2211.01335, OFA-Sys/Chinese-CLIP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tuwen.errors import UsageError
from tuwen.models.chinese_clip.names import DROP, KEYS, original_form, published_parameters, recognise
from tuwen.models.chinese_clip.settings import (
    config_from,
    config_from_shapes,
    config_to_dict,
    original_file,
    original_settings,
    transformers_form,
    transformers_pictures,
    transformers_settings,
)
from tuwen.models.chinese_clip.towers import VARIANTS, ChineseCLIP, Config, build, variant_of
from tuwen.models.chinese_clip.weights import initialise, round_to_half
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import Tokenizer

__all__ = [
    "CONTEXT_LENGTH",
    "DROP",
    "KEYS",
    "LANGUAGES",
    "VARIANTS",
    "ChineseCLIP",
    "Config",
    "build",
    "config_from",
    "config_from_own",
    "config_from_shapes",
    "config_to_dict",
    "initialise",
    "left_out",
    "original_file",
    "original_form",
    "original_settings",
    "processor",
    "published_parameters",
    "read_sizes",
    "recognise",
    "round_to_half",
    "tasks",
    "tokenizer_style",
    "transformers_form",
    "transformers_pictures",
    "transformers_settings",
    "variant_of",
    "with_heads",
]

CONTEXT_LENGTH = 52  # tokens; longer texts lose their end, as in the original

LANGUAGES = ("zh",)
ALIGN_CORNERS = True  # when positions are resized, as the original's finetuning does it

config_from_own = config_from


def read_sizes(
    form: str,
    settings: Mapping[str, Any] | None,
    shapes: Mapping[str, tuple[int, ...]],
    extra: Mapping[str, Any],
    beside: Mapping[str, Any] | None,
) -> Config:
    """Sizes of a state dict: from the description beside the weights, else from the shapes."""
    return config_from_shapes(shapes) if settings is None else config_from(settings)


def left_out(names: Iterable[str], config: Config) -> list[str]:
    """Tensors of the file that the model has no place for, besides those of DROP: none."""
    return []


def tasks(config: Config) -> tuple[str, ...]:
    """What every model of the family can do."""
    return ("embed", "search", "classify")


def with_heads(config: Config, names: tuple[str, ...]) -> Config:
    """The family has no heads to add."""
    raise UsageError(f"Chinese-CLIP has no heads {', '.join(names)}: it compares vectors")


def tokenizer_style(form: str) -> str:
    """The rules of a vocab.txt: transformers', or cn_clip's own."""
    return "transformers" if form.startswith("transformers") else "cn_clip"


def processor(
    form: str,
    config: Config,
    tokenizer: Tokenizer,
    preprocessor: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None = None,
) -> Processor:
    """Tokenizer and picture pipeline as the format's own code has them: the original's, or transformers'."""
    if form == "transformers":
        size = {"height": config.image.image_size, "width": config.image.image_size}
        pipeline = ImagePipeline.from_transformers(dict(preprocessor or {"size": size, "do_center_crop": False}))
    else:
        pipeline = ImagePipeline(size=(config.image.image_size, config.image.image_size))
    return Processor(tokenizer, pipeline, context_length=min(CONTEXT_LENGTH, config.text.positions))
