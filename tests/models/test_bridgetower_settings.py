"""What BridgeTower's descriptions mean: transformers' settings, and what an original checkpoint tells of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models import published_fusion, tiny_fusion
from tests.models.published import Shapes
from tuwen.errors import CheckpointError, UsageError
from tuwen.models import bridgetower
from tuwen.models.bridgetower import VARIANTS, BridgeTower, Config


def on_meta(config: Config) -> BridgeTower:
    """All of the shapes and none of the memory."""
    with torch.device("meta"):
        return BridgeTower(config)


def shapes_of(tensors: dict[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


BASE_TEXT = {
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-05,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "position_embedding_type": "absolute",
    "use_cache": True,
    "classifier_dropout": None,
}
LARGE_TEXT = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
COMMON = {
    "model_type": "bridgetower",
    "share_cross_modal_transformer_layers": True,
    "drop_rate": 0.1,
    "head_hidden_scale": 2,
    "hidden_act": "gelu",
    "is_encoder_decoder": False,
    "layer_norm_eps": 1e-05,
    "share_link_tower_layers": False,
    "link_tower_type": "add",
    "max_text_len": 50,
    "mlp_ratio": 4,
    "num_hidden_layers": 6,
    "tie_word_embeddings": False,
    "text_config_dict": None,
    "vision_config_dict": None,
}
BASE_JSON: dict[str, Any] = {
    **COMMON,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "input_image_embed_size": 768,
    "input_text_embed_size": 768,
    "text_config": BASE_TEXT,
    "vision_config": {
        "patch_size": 16,
        "image_size": 288,
        "stop_gradient": False,
        "share_layernorm": True,
        "remove_last_layer": False,
    },
}
LARGE_JSON: dict[str, Any] = {
    **COMMON,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "contrastive_hidden_size": 512,
    "logit_scale_init_value": 2.6592,
    "initializer_factor": 1,
    "init_layernorm_from_vision_encoder": False,
    "text_config": {**BASE_TEXT, **LARGE_TEXT},
    "vision_config": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "image_size": 294,
        "initializer_factor": 1,
        "stop_gradient": False,
        "share_layernorm": True,
    },
}


def read(settings: dict[str, Any], shapes: Shapes) -> Config:
    return bridgetower.read_sizes("transformers", settings, shapes, {}, None)


def changed(**settings: Any) -> dict[str, Any]:
    return {**BASE_JSON, **settings}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_published_settings_give_the_published_sizes(variant: str) -> None:
    settings = BASE_JSON if variant.startswith("base") else LARGE_JSON
    assert read(settings, published_fusion.transformers(VARIANTS[variant])) == VARIANTS[variant]


def test_settings_that_are_silent_mean_a_base_model() -> None:
    assert read({"model_type": "bridgetower"}, published_fusion.transformers(VARIANTS["base"])) == VARIANTS["base"]


@pytest.mark.parametrize("name", tiny_fusion.BRIDGETOWERS)
def test_a_saved_config_is_read_back_equal(name: str) -> None:
    config = replace(tiny_fusion.BRIDGETOWERS[name], answers=("yes", "no"))
    plain = json.loads(json.dumps(bridgetower.config_to_dict(config)))
    assert bridgetower.config_from_own(plain) == config


def test_the_fusion_takes_its_sizes_from_the_text_tower() -> None:
    text = {**BASE_TEXT, "num_attention_heads": 6, "intermediate_size": 1000, "layer_norm_eps": 1e-3}
    config = read(changed(text_config=text, num_attention_heads=12, layer_norm_eps=1e-2), {})
    assert (config.fusion.heads, config.fusion.hidden, config.fusion.eps) == (6, 1000, 1e-3)
    assert (config.fusion.bridge_eps, config.word_eps) == (1e-2, 1e-2)


def test_more_picture_layers_than_text_layers_are_never_built() -> None:
    vision = {**BASE_JSON["vision_config"], "num_hidden_layers": 14}
    assert read(changed(vision_config=vision), {}).image.layers == 12
    one_more = {**vision, "num_hidden_layers": 13, "remove_last_layer": True}
    assert read(changed(vision_config=one_more), {}).image.layers == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share_link_tower_layers": True}, "share_link_tower_layers"),
        (
            {"link_tower_type": "multiply"},
            "link_tower_type is 'multiply', expected one of add, scaled_add, interpolate",
        ),
        ({"hidden_size": 512}, "512"),
        ({"hidden_act": "swish"}, "swish"),
        ({"vision_config": {"num_hidden_layers": 11}}, "11 layers"),
        ({"vision_config": {"num_hidden_layers": 12, "remove_last_layer": True}}, "11 layers"),
    ],
)
def test_settings_that_no_model_can_have_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(changed(**settings), {})


def test_more_fusion_layers_than_levels_are_refused() -> None:
    assert len(on_meta(read(changed(num_hidden_layers=13), {})).fusion.text_layers) == 13
    with pytest.raises(UsageError, match="14 fusion layers"):
        on_meta(read(changed(num_hidden_layers=14), {}))


ORIGINAL_SETTINGS = {
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 4,
    "mlp_ratio": 2,
    "drop_rate": 0.1,
    "image_size": 24,
    "patch_size": 8,
}
ROBERTA = {"model_type": "roberta", "num_attention_heads": 4, "layer_norm_eps": 1e-5}


def test_a_checkpoint_tells_its_own_sizes_but_not_its_roberta() -> None:
    shapes = published_fusion.original(tiny_fusion.ORIGINAL)
    told = {"hyper_parameters": {"config": ORIGINAL_SETTINGS}}
    config = bridgetower.read_sizes("original", None, shapes, told, ROBERTA)
    assert config.image == tiny_fusion.ORIGINAL.image
    assert config.text == tiny_fusion.ORIGINAL.text
    assert config.fusion == tiny_fusion.ORIGINAL.fusion
    assert config.heads == tiny_fusion.ORIGINAL.heads
    assert shapes_of(on_meta(config).state_dict()) == shapes_of(on_meta(tiny_fusion.ORIGINAL).state_dict())
    passed = bridgetower.read_sizes("original", told["hyper_parameters"]["config"], shapes, {}, ROBERTA)
    assert passed == config


@pytest.mark.parametrize("name", ["meter", "meter with gates"])
def test_a_checkpoint_without_bridges_is_a_meter(name: str) -> None:
    shapes = published_fusion.original(tiny_fusion.BRIDGETOWERS[name])
    told = {"hyper_parameters": {"config": ORIGINAL_SETTINGS}}
    config = bridgetower.read_sizes("original", None, shapes, told, ROBERTA)
    assert config.fusion.bridge is None
    assert not config.norm_inputs
    assert config.gates == (name == "meter with gates")


def test_weights_without_a_description_are_refused() -> None:
    shapes = published_fusion.original(tiny_fusion.ORIGINAL)
    with pytest.raises(CheckpointError, match="config="):
        bridgetower.read_sizes("original", None, shapes, {}, ROBERTA)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        bridgetower.read_sizes("transformers", None, {}, {}, None)
