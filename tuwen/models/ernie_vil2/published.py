"""ERNIE-ViL 2.0 in the research release's format and in PaddleNLP's, from our sizes: what lies beside the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from tuwen.errors import CheckpointError
from tuwen.models.described import OriginalFile
from tuwen.models.ernie_vil2.settings import CONTEXT_LENGTH, Shapes, told_by
from tuwen.models.ernie_vil2.towers import VARIANTS, Config
from tuwen.models.towers import bert_sizes
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor

# The research release's code has one epsilon for every text tower: the difference is measured, not refused.
INEXACT = ("text.eps",)
TEXT_ACTIVATIONS = ("gelu", "relu")  # that the release's text tower knows; its picture tower knows one
TEXT_FILE = "ernie_config.json"


# -- the research release ----------------------------------------------------------------------------------------------


def original_form(config: Config) -> str:
    """The table of KEYS of its file."""
    return "research"


def as_original(config: Config, tensors: Mapping[str, Tensor]) -> tuple[Config, dict[str, Tensor]]:
    """Sizes and tensors as the release has a place for them. CheckpointError for tables and activations it has not."""
    if config.text.segments or config.text.tasks:
        raise CheckpointError(
            "the research release adds no segments or tasks to its words, this model has tables of them: write it for "
            "paddlenlp or tuwen"
        )
    known = config.text.activation in TEXT_ACTIVATIONS and config.image.activation == "quick_gelu"
    if not known:
        raise CheckpointError(
            f"the research release has quick_gelu for pictures and {' or '.join(TEXT_ACTIVATIONS)} for texts, this "
            f"model {config.image.activation} and {config.text.activation}: write it for paddlenlp or tuwen"
        )
    return config, dict(tensors)


def original_file(config: Config, processor: Processor, name: str, shapes: Shapes) -> OriginalFile:
    """A .pdparams file of the tensors alone, and the JSON file of the text tower beside it.

    Sizes of the picture tower that no tensor tells are in that JSON file too, under "vision", where we look for them.
    """
    text = config.text
    settings: dict[str, Any] = {
        "attention_probs_dropout_prob": text.attention_dropout,
        "hidden_act": text.activation,
        "hidden_dropout_prob": text.dropout,
        "hidden_size": text.width,
        "initializer_range": text.initializer_range,
        "max_position_embeddings": text.positions,
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.layers,
        "sent_type_vocab_size": 4,
        "task_type_vocab_size": 3,
        "vocab_size": text.vocabulary,
    }
    if text.hidden != 4 * text.width:
        settings["intermediate_size"] = text.hidden
    notes = []
    if not told_by(shapes, settings, config):
        settings["vision"] = {
            "img_size": config.image.image_size,
            "num_heads": config.image.heads,
            "epsilon": config.image.eps,
            "hidden_act": config.image.activation,
        }
    plain = replace(config.image, hidden=None)
    if all(plain != replace(sizes.image, hidden=None) for sizes in VARIANTS.values()):
        notes.append("the release's code has ViT-B/16 and ViT-L/14 written into it: it needs other sizes to load this")
    notes += _text_notes(processor, "ernie", min(CONTEXT_LENGTH, text.longest))
    return OriginalFile(".pdparams", {}, settings, None, {TEXT_FILE: settings}, tuple(notes))


def _text_notes(processor: Processor, style: str, length: int | None) -> list[str]:
    """What the code of a format does otherwise with texts. style, length: of its tokenizer, None for any length."""
    rules = {"ernie": "the research release's", "paddlenlp": "PaddleNLP's"}
    notes = []
    if getattr(processor.tokenizer, "style", style) != style:
        notes.append(
            f"texts become tokens by {rules[style]} rules, which differ from this model's on symbols and special tokens"
        )
    if processor.context_length != length:
        ours = "are not cut" if processor.context_length is None else f"end after {processor.context_length} tokens"
        theirs = "not cut" if length is None else f"cut after {length} tokens unless its settings say otherwise"
        notes.append(f"texts are {theirs}, with this model they {ours}")
    return notes


# -- PaddleNLP ---------------------------------------------------------------------------------------------------------


def paddlenlp_form(config: Config) -> str:
    """The table of KEYS of its folders."""
    return "paddlenlp"


def paddlenlp_pictures(config: Config, processor: Processor) -> tuple[dict[str, Any], list[str]]:
    """preprocessor_config.json, and what PaddleNLP does otherwise with texts.

    Its image processor resizes with Pillow: where the model's pictures are prepared by OpenCV's rules, the settings are
    those of the published folder.
    """
    length = None if processor.context_length == config.text.longest else processor.context_length
    notes = _text_notes(replace(processor, context_length=length), "paddlenlp", None)
    pipeline = processor.image
    if pipeline.resample == "opencv":
        size = config.image.image_size
        pipeline = ImagePipeline.from_paddlenlp({"size": size, "crop_size": size})
    return {**pipeline.to_transformers("paddlenlp"), "processor_class": "ErnieViLProcessor"}, notes


def paddlenlp_settings(config: Config) -> dict[str, Any]:
    """The config.json that `from_port` reads."""
    image, text = config.image, config.text
    return {
        "architectures": ["ErnieViLModel"],
        "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592,
        "model_type": "ernie_vil",
        "text_config": {
            "model_type": "ernie_vil_text_model",
            **bert_sizes(text),
            "max_position_embeddings": text.positions,
            "type_vocab_size": text.segments,
            "task_type_vocab_size": text.tasks or 3,
            "task_id": text.task,
            "use_task_id": bool(text.tasks),
            "initializer_range": text.initializer_range,
            "layer_norm_eps": text.eps,
            "pad_token_id": 0,
        },
        "vision_config": {
            "model_type": "ernie_vil_vision_model",
            "hidden_size": image.width,
            "num_hidden_layers": image.layers,
            "num_attention_heads": image.heads,
            "intermediate_size": image.hidden or 4 * image.width,
            "num_channels": 3,
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            "hidden_act": image.activation,
            "layer_norm_eps": image.eps,
            "attention_dropout": 0.0,
            "dropout": 0.0,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
        },
    }
