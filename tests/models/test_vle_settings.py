"""What VLE's descriptions mean: the published config.json and other ways to say the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.models import published_fusion, tiny_fusion
from tests.models.published import Shapes
from tuwen.errors import CheckpointError, UsageError
from tuwen.models import vle
from tuwen.models.vle import VARIANTS, Config

TEXT_JSON = {
    "model_type": "deberta-v2",
    "vocab_size": 128100,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-07,
    "max_position_embeddings": 512,
    "max_relative_positions": -1,
    "norm_rel_ebd": "layer_norm",
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "position_buckets": 256,
    "relative_attention": True,
    "share_att_key": True,
    "type_vocab_size": 0,
}
IMAGE_JSON = {
    "model_type": "clip_vision_model",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 11,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-05,
}
BASE_JSON: dict[str, Any] = {
    "model_type": "vle",
    "hidden_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "num_token_types": 2,
    "text_config": TEXT_JSON,
    "vision_config": IMAGE_JSON,
}
TOWERS = {"text_config": TEXT_JSON, "vision_config": IMAGE_JSON}


def read(settings: dict[str, Any], shapes: Shapes | None = None) -> Config:
    return vle.read_sizes("transformers", settings, shapes or {}, {}, None)


def test_the_published_settings_give_the_published_sizes() -> None:
    assert read(BASE_JSON, published_fusion.vle_folder(VARIANTS["base"])) == VARIANTS["base"]
    names = {str(number): f"answer {number}" for number in range(3129)}
    vqa = {**BASE_JSON, "vision_config": {**IMAGE_JSON, "image_size": 576}, "id2label": names}
    found = read(vqa, published_fusion.vle_folder(VARIANTS["base-vqa"]))
    assert found.answers[:2] == ("answer 0", "answer 1")
    assert replace(found, answers=()) == VARIANTS["base-vqa"]
    reasons = {**BASE_JSON, "vision_config": {**IMAGE_JSON, "image_size": 384}, "num_token_types": 83}
    assert read(reasons, published_fusion.vle_folder(VARIANTS["base-vcr-qa2r"])) == VARIANTS["base-vcr-qa2r"]


def test_settings_that_are_silent_mean_what_the_originals_classes_hold() -> None:
    assert read(TOWERS).fusion == VARIANTS["base"].fusion
    assert read(TOWERS).types == 2


def test_other_ways_to_say_the_same_give_the_same_sizes() -> None:
    wanted = read(BASE_JSON)
    assert read({**BASE_JSON, "text_config": {**TEXT_JSON, "pos_att_type": "p2c|c2p"}}) == wanted
    clip = {"model_type": "clip", "projection_dim": 512, "vision_config": IMAGE_JSON}
    assert read({**BASE_JSON, "vision_config": clip}) == wanted
    # The original code runs its picture tower with 1e-5, whatever its config says.
    assert read({**BASE_JSON, "vision_config": {**IMAGE_JSON, "layer_norm_eps": 1e-3}}) == wanted


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text_config": {**TEXT_JSON, "share_att_key": False}}, "share_att_key of the text tower is False"),
        ({"text_config": {**TEXT_JSON, "pos_att_type": ["c2p"]}}, "pos_att_type"),
        ({"text_config": {**TEXT_JSON, "position_buckets": -1}}, "position_buckets"),
        ({"text_config": {**TEXT_JSON, "type_vocab_size": 2}}, "type_vocab_size of the text tower is 2"),
        ({"text_config": {**TEXT_JSON, "norm_rel_ebd": "none"}}, "norm_rel_ebd"),
        ({"hidden_act": "swish"}, "swish"),
        ({"id2label": {"0": "yes", "2": "no"}}, "id2label names 2 answers"),
    ],
)
def test_settings_of_another_model_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read({**BASE_JSON, **settings})


def test_weights_without_their_settings_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        vle.read_sizes("transformers", None, {}, {}, None)


@pytest.mark.parametrize("name", tiny_fusion.VLES)
def test_a_saved_config_is_read_back_equal(name: str) -> None:
    config = replace(tiny_fusion.VLES[name], answers=("yes", "no"))
    plain = json.loads(json.dumps(vle.config_to_dict(config)))
    assert vle.config_from_own(plain) == config
