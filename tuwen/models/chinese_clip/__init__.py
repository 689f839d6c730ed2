"""Chinese-CLIP: a CLIP image tower (ViT or ResNet) and a Chinese BERT, arXiv 2211.01335, OFA-Sys/Chinese-CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuwen.models.chinese_clip.names import DROP, KEYS, original_form, published_parameters, recognise
from tuwen.models.chinese_clip.settings import (
    config_from,
    config_from_shapes,
    config_to_dict,
    original_settings,
    transformers_settings,
)
from tuwen.models.chinese_clip.towers import VARIANTS, ChineseCLIP, Config, build, variant_of
from tuwen.models.chinese_clip.weights import initialise, round_to_half
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.wordpiece import WordPiece

__all__ = [
    "CONTEXT_LENGTH",
    "DROP",
    "KEYS",
    "LANGUAGES",
    "TASKS",
    "VARIANTS",
    "ChineseCLIP",
    "Config",
    "build",
    "config_from",
    "config_from_shapes",
    "config_to_dict",
    "initialise",
    "original_form",
    "original_settings",
    "processor",
    "published_parameters",
    "recognise",
    "round_to_half",
    "transformers_settings",
    "variant_of",
]

CONTEXT_LENGTH = 52  # tokens; longer texts lose their end, as in the original

TASKS = ("embed", "search", "classify")
LANGUAGES = ("zh",)


def processor(form: str, config: Config, tokenizer: WordPiece, preprocessor: Mapping[str, Any] | None) -> Processor:
    """Tokenizer and picture pipeline as the format's own code has them: the original's, or transformers'."""
    if form == "transformers":
        size = {"height": config.image.image_size, "width": config.image.image_size}
        pipeline = ImagePipeline.from_transformers(dict(preprocessor or {"size": size, "do_center_crop": False}))
    else:
        pipeline = ImagePipeline(size=(config.image.image_size, config.image.image_size))
    return Processor(tokenizer, pipeline, context_length=min(CONTEXT_LENGTH, config.text.positions))
