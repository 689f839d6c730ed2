"""VLE: DeBERTa-v3 and CLIP's picture tower, fused by co-attention, iflytek/VLE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn

from tuwen.errors import CheckpointError
from tuwen.models.described import config_from_dict, config_to_dict
from tuwen.models.towers import published_names
from tuwen.models.vle.names import DROP, HEADS, KEYS, recognise, split_heads
from tuwen.models.vle.published import transformers_form, transformers_pictures, transformers_settings
from tuwen.models.vle.settings import config_from, with_heads
from tuwen.models.vle.start import from_towers
from tuwen.models.vle.towers import VARIANTS, VLE, Config, build, new_head, variant_of
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import Tokenizer

__all__ = [
    "DROP",
    "HEADS",
    "KEYS",
    "LANGUAGES",
    "VARIANTS",
    "VLE",
    "Config",
    "build",
    "config_from_own",
    "config_to_dict",
    "from_towers",
    "left_out",
    "new_head",
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

config_from_own = partial(config_from_dict, Config)


def read_sizes(
    form: str,
    settings: Mapping[str, Any] | None,
    shapes: Mapping[str, tuple[int, ...]],
    extra: Mapping[str, Any],
    beside: Mapping[str, Any] | None,
) -> Config:
    """Sizes and heads of a state dict, by the config.json of its folder. CheckpointError without one."""
    if settings is None:
        raise CheckpointError("VLE's weights need the config.json beside them, or config= with it")
    return config_from(settings, shapes)


def left_out(names: Iterable[str], config: Config) -> list[str]:
    """Tensors of heads that nobody knows, such as the unpublished one for masked patches."""
    names = list(names)
    _, strange = split_heads(names)
    if config.choose == "q2a" and "vcr_q2a_logit.0.weight" in names:
        strange += [name for name in names if name.startswith("vcr_qa2r_logit.")]
    return strange


def tasks(config: Config) -> tuple[str, ...]:
    """What a model with these heads can do."""
    return tuple(head for head in ("match", "answer", "ground", "fill", "choose") if head in config.heads)


def tokenizer_style(form: str) -> str:
    """The SentencePiece model says all itself."""
    return "transformers"


def processor(
    form: str,
    config: Config,
    tokenizer: Tokenizer,
    preprocessor: Mapping[str, Any] | None,
    extra: Mapping[str, Any] | None = None,
) -> Processor:
    """Tokenizer and picture pipeline; texts are never cut: the text tower takes any length."""
    size = config.image.image_size
    settings = preprocessor or {"size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}}
    return Processor(tokenizer, ImagePipeline.from_clip(settings), None)


def published_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The module's parameters under published names: what we keep together (query, key, value) under the first."""
    form = "transformers-qa2r" if module.config.choose == "qa2r" else "transformers"  # type: ignore[union-attr]
    return published_names(module, KEYS[form])
