"""VLE's published folders, from our sizes: what lies beside the tensors."""

from __future__ import annotations

from typing import Any

from tuwen.models.vle.towers import Config
from tuwen.processing.processor import Processor


def transformers_form(config: Config) -> str:
    """The table of KEYS for these heads: a body alone has no prefix."""
    if not config.heads:
        return "transformers-bare"
    return "transformers-qa2r" if config.choose == "qa2r" else "transformers"


def transformers_pictures(config: Config, processor: Processor) -> tuple[dict[str, Any], list[str]]:
    """The picture settings for transformers' own image processor, and what that does otherwise: nothing."""
    return processor.image.to_transformers("clip"), []


def transformers_settings(config: Config) -> dict[str, Any]:
    """What `config_from` reads, and the published code too: the sizes of both towers and of the fusion, the answers."""
    image, text, fusion = config.image, config.text, config.fusion
    labels = {"id2label": dict(enumerate(config.answers))} if config.answers else {}
    numbers = {"label2id": {answer: number for number, answer in enumerate(config.answers)}} if labels else {}
    return {
        "model_type": "vle",
        "hidden_size": fusion.width,
        "num_hidden_layers": fusion.layers,
        "num_attention_heads": fusion.heads,
        "intermediate_size": fusion.hidden,
        "hidden_act": fusion.activation,
        "hidden_dropout_prob": fusion.dropout,
        "attention_probs_dropout_prob": fusion.attention_dropout,
        "layer_norm_eps": fusion.eps,
        "initializer_range": 0.02,
        "num_token_types": config.types,
        "classifier_dropout": None,
        **labels,
        **numbers,
        "text_config": {
            "model_type": "deberta-v2",
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "intermediate_size": text.hidden,
            "hidden_act": text.activation,
            "hidden_dropout_prob": text.dropout,
            "attention_probs_dropout_prob": text.attention_dropout,
            "layer_norm_eps": text.eps,
            "initializer_range": text.initializer_range,
            "max_position_embeddings": text.max_distance,
            "max_relative_positions": -1,  # as far as there are positions
            "position_buckets": text.buckets,
            "relative_attention": True,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
            "pad_token_id": 0,
            "pooler_dropout": 0,
            "pooler_hidden_act": "gelu",
            "pooler_hidden_size": text.width,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": image.width,
            "num_hidden_layers": image.layers,
            "num_attention_heads": image.heads,
            "intermediate_size": image.hidden or 4 * image.width,
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            "num_channels": 3,
            "hidden_act": image.activation,
            "layer_norm_eps": image.eps,
            "attention_dropout": 0.0,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
        },
    }
