"""BridgeTower's configuration objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tuwen.compat.settings import Settings


class BridgeTowerTextConfig(Settings):
    """Sizes of the text tower, which are those of the fusion's layers too."""

    KIND = "bridgetower_text_model"
    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "vocab_size": 50265,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "initializer_factor": 1,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-05,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


class BridgeTowerVisionConfig(Settings):
    """Sizes of the picture tower."""

    KIND = "bridgetower_vision_model"
    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_channels": 3,
        "patch_size": 16,
        "image_size": 288,
        "initializer_factor": 1,
        "layer_norm_eps": 1e-05,
        "stop_gradient": False,
        "share_layernorm": True,
        "remove_last_layer": False,
    }


class BridgeTowerConfig(Settings):
    """Sizes of both towers, dicts or objects, and of the fusion between them.

    contrastive_hidden_size, logit_scale_init_value: width of the contrastive vectors and the logarithm that their scale
    starts from.
    """

    KIND = "bridgetower"
    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "share_cross_modal_transformer_layers": True,
        "hidden_act": "gelu",
        "hidden_size": 768,
        "initializer_factor": 1,
        "layer_norm_eps": 1e-05,
        "share_link_tower_layers": False,
        "link_tower_type": "add",
        "num_attention_heads": 12,
        "num_hidden_layers": 6,
        "tie_word_embeddings": False,
        "init_layernorm_from_vision_encoder": False,
        "contrastive_hidden_size": 512,
        "logit_scale_init_value": 2.6592,
    }
    PARTS: ClassVar[Mapping[str, type[Settings]]] = {
        "text_config": BridgeTowerTextConfig,
        "vision_config": BridgeTowerVisionConfig,
    }
