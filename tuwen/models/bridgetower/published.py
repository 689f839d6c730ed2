"""The config.json of BridgeTower's folders in transformers' format, from our sizes."""

from __future__ import annotations

from typing import Any

from tuwen.errors import CheckpointError
from tuwen.models.bridgetower.towers import Config


def transformers_settings(config: Config) -> dict[str, Any]:
    """What `from_transformers` reads. CheckpointError for what transformers has no class for: the original's models.

    The original runs its fusion with another epsilon than its bridges, and METER has no bridges.
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
        "layer_norm_eps": config.word_eps,
        "initializer_factor": 1,
        "link_tower_type": fusion.bridge,
        "share_link_tower_layers": False,
        "share_cross_modal_transformer_layers": config.shared_transforms,
        "init_layernorm_from_vision_encoder": False,
        "tie_word_embeddings": False,
        **({"contrastive_hidden_size": contrast[0], "logit_scale_init_value": 2.6592} if contrast else {}),
        "text_config": {
            "model_type": "bridgetower_text_model",
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "intermediate_size": text.hidden,
            "hidden_act": text.activation,
            "hidden_dropout_prob": text.dropout,
            "attention_probs_dropout_prob": text.attention_dropout,
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
