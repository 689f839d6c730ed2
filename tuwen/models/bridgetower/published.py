"""BridgeTower in transformers' format and in the original's, from our sizes: what lies beside the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tuwen.errors import CheckpointError
from tuwen.models.bridgetower.names import HEADS
from tuwen.models.bridgetower.towers import Config
from tuwen.models.described import OriginalFile
from tuwen.models.towers import bert_sizes
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.published import TRANSFORMS

# The two formats run the same weights with other numbers here: their difference is measured, not refused.
INEXACT = ("fusion.eps", "word_eps")
MAX_TEXT_LENGTH = 50  # tokens, of the original's runs
CLIP = {14: "CLIP-ViT-L/14", 32: "CLIP-ViT-B/32"}  # the picture towers by their patches; else B/16
TEMPERATURE = 0.07  # where the original starts; it trains it with its contrastive heads only


# -- transformers ------------------------------------------------------------------------------------------------------


def transformers_form(config: Config) -> str:
    """The table of KEYS for these heads: a body alone has no prefix."""
    return "transformers" if config.heads else "transformers-bare"


def as_transformers(config: Config, tensors: Mapping[str, Tensor]) -> tuple[Config, dict[str, Tensor]]:
    """Sizes and tensors as transformers has a place for them. CheckpointError for heads and models that it has not."""
    if not config.fusion.bridge:
        raise CheckpointError("transformers has no METER, which has no bridges: keep the .ckpt, or write it for tuwen")
    homeless = [head for head in config.heads if head not in ("match", "fill", "contrast")]
    if homeless:
        raise CheckpointError(
            f"transformers has no place for {', '.join(_published(homeless))}: keep the .ckpt, or write it for tuwen"
        )
    if config.contrast_on == "transform":
        return config, dict(tensors)
    _refuse_contrast(config, "transformers feeds its contrastive picture head with transformed states")
    kept = {name: tensor for name, tensor in tensors.items() if name != "temperature"}
    return replace(config, contrast_on="transform"), kept


def transformers_pictures(config: Config, processor: Processor) -> tuple[dict[str, Any], list[str]]:
    """The picture settings for transformers' own image processor, and what that does otherwise, if anything."""
    if processor.image.divisor is not None or processor.image.size is None:
        return processor.image.to_transformers("bridgetower"), []
    pipeline = ImagePipeline.from_bridgetower({"size": config.image.image_size})
    key = transform_of(processor.image, config.image.image_size)
    what = f"the transform {key!r}" if key else "this model's pipeline"
    return pipeline.to_transformers("bridgetower"), [
        f"pictures are prepared by BridgeTowerImageProcessor, which cannot do what {what} does: scores will differ"
    ]


def transformers_settings(config: Config) -> dict[str, Any]:
    """The config.json that `from_transformers` reads, of what `as_transformers` gives.

    CheckpointError for what transformers has no class for: the original's models, whose fusion runs with another
    epsilon than its bridges, and METER, which has no bridges.
    """
    image, text, fusion = config.image, config.text, config.fusion
    if config.contrast_on != "transform" or not fusion.bridge:
        raise CheckpointError("transformers has no place for the original's BridgeTower or for METER: save it as tuwen")
    contrast = config.heads.get("contrast")
    return {
        "model_type": "bridgetower",
        "hidden_size": fusion.width,
        "num_hidden_layers": fusion.layers,
        "num_attention_heads": fusion.heads,
        "hidden_act": config.word_activation,
        "layer_norm_eps": fusion.bridge_eps,
        "initializer_factor": 1,
        "link_tower_type": fusion.bridge,
        "share_link_tower_layers": False,
        "share_cross_modal_transformer_layers": config.shared_transforms,
        "init_layernorm_from_vision_encoder": False,
        "tie_word_embeddings": False,
        **({"contrastive_hidden_size": contrast[0], "logit_scale_init_value": 2.6592} if contrast else {}),
        "text_config": {
            "model_type": "bridgetower_text_model",
            **bert_sizes(text),
            "max_position_embeddings": text.positions,
            "type_vocab_size": text.segments,
            "layer_norm_eps": text.eps,
            "initializer_factor": 1,
            "initializer_range": text.initializer_range,
            "pad_token_id": text.padding,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        "vision_config": {
            "model_type": "bridgetower_vision_model",
            "hidden_size": image.width,
            "num_hidden_layers": image.layers,
            "num_channels": 3,
            "patch_size": image.patch_size,
            "image_size": image.image_size,
            "layer_norm_eps": image.eps,
            "initializer_factor": 1,
            "share_layernorm": True,
            "stop_gradient": False,
            "remove_last_layer": False,
        },
    }


# -- the original ------------------------------------------------------------------------------------------------------


def original_form(config: Config) -> str:
    """The table of KEYS of its files."""
    return "original"


def as_original(config: Config, tensors: Mapping[str, Tensor]) -> tuple[Config, dict[str, Tensor]]:
    """Sizes and tensors as the original has a place for them. CheckpointError for heads and models that it has not."""
    if config.contrast_on == "tower":
        return config, dict(tensors)
    _refuse_contrast(config, "the original feeds its contrastive picture head with the tower's own states")
    if config.fusion.bridge != "add" or not config.shared_transforms:
        raise CheckpointError(
            f"the original has bridges of the kind 'add' and one transform for all levels, this model has "
            f"{config.fusion.bridge!r}{'' if config.shared_transforms else ' and one for each'}: write it for "
            "transformers or tuwen"
        )
    dtype = tensors["types.weight"].dtype
    return replace(config, contrast_on="tower"), {**tensors, "temperature": torch.tensor(TEMPERATURE, dtype=dtype)}


def original_file(config: Config, processor: Processor, name: str, shapes: Mapping[str, Any]) -> OriginalFile:
    """A Lightning checkpoint with the settings of a run, and RoBERTa's config.json beside it.

    CheckpointError for sizes that those settings cannot say.
    """
    fusion, length = config.fusion, processor.context_length
    if fusion.hidden % fusion.width or fusion.dropout != fusion.attention_dropout:
        raise CheckpointError(
            f"the original's feed-forward layers are a multiple of their width, and it has one dropout: this fusion "
            f"has {fusion.hidden} on {fusion.width}, and {fusion.dropout} and {fusion.attention_dropout}"
        )
    key = transform_of(processor.image, config.image.image_size)
    notes = [] if key else ["pictures are prepared by the original's transform 'clip', which resizes them otherwise"]
    if length is None or processor.overflow != "cut":
        length = MAX_TEXT_LENGTH
        notes.append(f"texts are cut to {length} tokens")
    run = {
        "model_type": "BT" if fusion.bridge else "METER",
        "meter_fusion": config.gates,
        "image_size": config.image.image_size,
        "patch_size": config.image.patch_size,
        "vit": CLIP.get(config.image.patch_size, "CLIP-ViT-B/16"),
        "tokenizer": "roberta-large" if config.text.width == 1024 else "roberta-base",
        "vocab_size": config.text.vocabulary,
        "max_text_len": length,
        "val_transform_keys": [key or "clip"],
        "input_image_embed_size": config.image.width,
        "input_text_embed_size": config.text.width,
        "hidden_size": fusion.width,
        "num_heads": fusion.heads,
        "num_layers": fusion.layers,
        "mlp_ratio": fusion.hidden // fusion.width,
        "drop_rate": fusion.dropout,
    }
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "1.5.10",
        "hparams_name": "kwargs",
        "hyper_parameters": {"config": run},
    }
    text = _roberta(config)
    return OriginalFile(".ckpt", content, None, text, {"config.json": text}, tuple(notes))


def transform_of(pipeline: ImagePipeline, size: int) -> str | None:
    """The original's key of the transform that does the same; None where it has none."""
    plain = replace(pipeline, max_pixels=0)
    return next((key for key in TRANSFORMS if replace(ImagePipeline.transform(key, size), max_pixels=0) == plain), None)


def _refuse_contrast(config: Config, why: str) -> None:
    if "contrast" in config.heads:
        raise CheckpointError(
            f"{', '.join(_published(['contrast']))} cannot be converted: {why}, so the weights would mean something "
            "else; write the model for tuwen"
        )


def _published(heads: list[str]) -> list[str]:
    """The first parts of the published names of these heads."""
    return [theirs for theirs, ours in HEADS.items() if ours in heads]


def _roberta(config: Config) -> dict[str, Any]:
    """The config.json of the RoBERTa that the text tower is."""
    text = config.text
    return {
        "architectures": ["RobertaModel"],
        "model_type": "roberta",
        **bert_sizes(text),
        "initializer_range": text.initializer_range,
        "layer_norm_eps": text.eps,
        "max_position_embeddings": text.positions,
        "type_vocab_size": text.segments,
        "pad_token_id": text.padding,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
