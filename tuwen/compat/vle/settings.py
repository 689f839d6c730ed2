"""VLE's configuration object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tuwen.compat.settings import Settings, plain


class VLEConfig(Settings):
    """Sizes of both towers, dicts or objects, and of the fusion between them, under their published names.

    id2label: the answers of a question-answering head; num_labels in its place gives them no names.
    """

    KIND = "vle"
    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "num_token_types": 2,
        "hidden_size": 768,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "classifier_dropout": None,
    }
    PARTS: ClassVar[Mapping[str, type[Settings]]] = {"text_config": Settings, "vision_config": Settings}

    def __init__(self, text_config: Any = None, vision_config: Any = None, **settings: Any) -> None:
        vision = plain(vision_config)
        if vision.get("model_type") == "clip":  # a whole CLIP's, of which the picture tower is wanted
            vision = {**plain(vision.get("vision_config")), "model_type": "clip_vision_model"}
        super().__init__(text_config=plain(text_config), vision_config=vision, **settings)
