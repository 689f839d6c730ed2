"""BridgeTower: RoBERTa and CLIP's picture tower with bridges into their fusion, arXiv 2206.08657, and its METER."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn

from tuwen.errors import CheckpointError
from tuwen.models.bridgetower.names import DROP, HEADS, KEYS, recognise, split_heads
from tuwen.models.bridgetower.published import (
    INEXACT,
    as_original,
    as_transformers,
    original_file,
    original_form,
    transformers_form,
    transformers_pictures,
    transformers_settings,
)
from tuwen.models.bridgetower.settings import from_original, from_transformers, with_heads
from tuwen.models.bridgetower.towers import VARIANTS, BridgeTower, Config, build, new_head, variant_of
from tuwen.models.described import config_from_dict, config_to_dict
from tuwen.models.towers import published_names
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import Tokenizer

__all__ = [
    "ALIGN_CORNERS",
    "ANY_SIZE",
    "DROP",
    "HEADS",
    "INEXACT",
    "KEYS",
    "LANGUAGES",
    "VARIANTS",
    "BridgeTower",
    "Config",
    "as_original",
    "as_transformers",
    "build",
    "config_from_own",
    "config_to_dict",
    "left_out",
    "new_head",
    "original_file",
    "original_form",
    "processor",
    "published_parameters",
    "read_sizes",
    "recognise",
    "tasks",
    "tokenizer_style",
    "transformers_form",
    "transformers_pictures",
    "transformers_settings",
    "variant_of",
    "with_heads",
]

LANGUAGES = ("en",)
ALIGN_CORNERS = False  # when positions are resized
ANY_SIZE = True  # transformers interpolates positions for pictures of any shape

config_from_own = partial(config_from_dict, Config)


def read_sizes(
    form: str,
    settings: Mapping[str, Any] | None,
    shapes: Mapping[str, tuple[int, ...]],
    extra: Mapping[str, Any],
    beside: Mapping[str, Any] | None,
) -> Config:
    """Sizes and heads of a state dict in this format.

    settings: config.json, or an original's configuration; extra: what lies in the file beside the tensors; beside: the
    text tower's own config.json.
    """
    if form != "original":
        if settings is None:
            raise CheckpointError("weights in transformers' format need the config.json beside them, or config=")
        return from_transformers(settings, shapes)
    told = (extra.get("hyper_parameters") or {}).get("config")
    if settings is not None and settings.get("model_type") == "roberta":
        settings, beside = None, settings
    if settings is None and told is None:
        raise CheckpointError("this checkpoint holds no configuration of its run: pass it as config=")
    return from_original({**(told or {}), **(settings or {})}, beside, shapes)


def left_out(names: Iterable[str], config: Config) -> list[str]:
    """Tensors of the file that the model has no place for: unknown heads, and picture blocks that are never run."""
    names = list(names)
    _, strange = split_heads(names)
    for name in names:
        _, found, rest = name.partition("visual.transformer.resblocks.")
        if found and int(rest.partition(".")[0]) >= config.image.layers:
            strange.append(name)
    return strange


def tasks(config: Config) -> tuple[str, ...]:
    """What a model with these heads can do."""
    by_head = {
        "contrast": ("embed", "search", "classify"),
        "match": ("match",),
        "answer": ("answer",),
        "fill": ("fill",),
        "pair": ("pair",),
        "entail": ("entail",),
    }
    return tuple(task for head, own in by_head.items() if head in config.heads for task in own)


def tokenizer_style(form: str) -> str:
    """RoBERTa's files say all themselves."""
    return "transformers"


def processor(
    form: str,
    config: Config,
    tokenizer: Tokenizer,
    preprocessor: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None = None,
) -> Processor:
    """Tokenizer and picture pipeline as the format's own code has them: transformers', or the original's.

    A folder without picture settings is for pictures of the model's size. The original cuts texts to its
    `max_text_len`; transformers takes what has positions and cuts nothing.
    """
    if form != "original":
        pipeline = ImagePipeline.from_bridgetower(
            {"size": config.image.image_size} if preprocessor is None else preprocessor
        )
        return Processor(tokenizer, pipeline, config.text.longest, overflow="error")
    told = ((extra or {}).get("hyper_parameters") or {}).get("config") or {}
    keys = told.get("val_transform_keys") or ["clip"]
    pipeline = ImagePipeline.transform(keys[0], config.image.image_size)
    return Processor(tokenizer, pipeline, min(told.get("max_text_len") or 50, config.text.longest))


def published_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The module's parameters under published names: what we keep together (query, key, value) under the first."""
    form = "original" if module.config.contrast_on == "tower" else "transformers"  # type: ignore[union-attr]
    return published_names(module, KEYS[form])
