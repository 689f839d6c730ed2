"""BriVL's sizes from its YAML configuration, from the text encoder's, and from shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.models import tiny_brivl
from tests.models.tiny_brivl import CONFIG
from tuwen import keymap
from tuwen.errors import InputError, UsageError
from tuwen.models import brivl
from tuwen.models.brivl import KEYS, VARIANTS

PUBLISHED = {
    "NAME": "VL",
    "ENCODER": "hfl/chinese-roberta-wwm-ext",
    "TEXT_FEATURE_DIM": 768,
    "TEXT_TRANSFORMER_HEAD": 4,
    "TEXT_TRANSFORMER_LAYER": 4,
    "MAX_TEXT_LEN": 80,
    "CNN": "tf_efficientnet_b5_ns",
    "IMG_SIZE": 380,
    "IMG_FEATURE_DIM": 2048,
    "IMG_TRANSFORMER_HEAD": 4,
    "IMG_TRANSFORMER_LAYER": 4,
    "MAX_IMG_LEN": 37,
    "BOX_GRID": 6,
    "TOPK": 1,
    "QUEUE_SIZE": 9600,
    "MOMENTUM": 0.99,
    "TEMPERATURE": 0.07,
    "GRID_SIZE": 4,
    "IS_EXTRACT": True,
}
LARGE = {
    "ENCODER": "hfl/chinese-roberta-wwm-ext-large",
    "TEXT_FEATURE_DIM": 1024,
    "CNN": "tf_efficientnet_b7_ns",
    "IMG_SIZE": 600,
    "IMG_FEATURE_DIM": 2560,
}
BERT = {
    "model_type": "bert",
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 96,
}
SHAPES = {
    name: tuple(tensor.shape)
    for name, tensor in keymap.store(tiny_brivl.module().state_dict(), KEYS["original"]).items()
}
TINY = {
    "MODEL": {"IMG_SIZE": 96, "MAX_IMG_LEN": 5, "MAX_TEXT_LEN": 12},
    "CNN_CUSTOM": {"channel_multiplier": 0.1, "depth_multiplier": 0.1, "head_channels": 24, "num_classes": 3},
}


def test_the_published_configuration_is_the_published_variant() -> None:
    assert brivl.from_settings({"MODEL": PUBLISHED}) == VARIANTS["1.0"]
    assert brivl.from_settings({"MODEL": {}}) == VARIANTS["1.0"]
    nmi = brivl.from_settings({"MODEL": {**PUBLISHED, "IMG_SIZE": 456}}, grid=True)
    assert nmi == VARIANTS["roberta-base"]
    assert brivl.from_settings({"MODEL": {**PUBLISHED, **LARGE}}, grid=True) == VARIANTS["roberta-large"]


def test_shapes_tell_what_a_configuration_would() -> None:
    config = brivl.read_sizes("original", TINY, SHAPES, {}, BERT)
    assert config == CONFIG
    assert brivl.read_sizes("original", {**TINY, "GRID": True}, SHAPES, {}, BERT) == replace(CONFIG, grid=6)


def test_without_a_configuration_it_is_as_published() -> None:
    alone = brivl.read_sizes("original", None, SHAPES, {}, BERT)
    assert (alone.image.image_size, alone.boxes, alone.samples, alone.grid) == (380, 37, 4, 0)


def test_the_text_encoders_config_may_be_given_in_its_place() -> None:
    short: dict[str, Any] = {"MODEL": {"MAX_TEXT_LEN": 12}}
    found = brivl.read_sizes("original", {**BERT, "hidden_act": "relu"}, {**SHAPES}, {}, None)
    assert found.text.activation == "relu"
    assert brivl.read_sizes("original", None, SHAPES, {}, BERT).image_layers == 2
    assert brivl.read_sizes("original", short, SHAPES, {}, BERT).context_length == 12
    short["MODEL"]["CNN"] = "tf_efficientnet_b5_ns"
    with pytest.raises(UsageError, match="CNN is tf_efficientnet_b5_ns, the weights are of another network"):
        brivl.read_sizes("original", short, SHAPES, {}, BERT)


def test_heads_that_nothing_tells_are_asked_for() -> None:
    with pytest.raises(UsageError, match="how many heads a text encoder of width 16 has: pass tokenizer="):
        brivl.read_sizes("original", TINY, SHAPES, {}, None)


def test_a_file_lies_over_the_one_it_names(tmp_path: Path) -> None:
    (tmp_path / "below.yml").write_text(yaml.safe_dump({"MODEL": PUBLISHED, "DATASET": {"WORKERS": 8}}))
    above = {"_BASE_CONFIG_": "below.yml", "MODEL": {"IMG_SIZE": 456}}
    (tmp_path / "above.yml").write_text(yaml.safe_dump(above))
    read = brivl.read_yaml(tmp_path / "above.yml")
    assert read == {"MODEL": {**PUBLISHED, "IMG_SIZE": 456}, "DATASET": {"WORKERS": 8}}


@pytest.mark.parametrize("content", ["- a list", "a: [", "just words"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "cfg.yml").write_text(content)
    with pytest.raises(InputError, match=r"cfg\.yml"):
        brivl.read_yaml(tmp_path / "cfg.yml")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yml cannot be read as YAML"):
        brivl.read_yaml(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"MODEL": {"CNN": "resnet50"}}, "CNN is 'resnet50', expected tf_efficientnet_b0_ns to"),
        ({"MODEL": {"IMG_FEATURE_DIM": 1792}}, "IMG_FEATURE_DIM is 1792, the tf_efficientnet_b5_ns gives 2048"),
        ({"MODEL": {"TEXT_FEATURE_DIM": 1024}}, "TEXT_FEATURE_DIM is 1024, the text encoder is 768 wide"),
        ({"MODEL": {}, "CNN_CUSTOM": {"channel_multiplier": 1}}, "CNN_CUSTOM is incomplete: 'depth_multiplier'"),
        ({"DATASET": {}}, "expected a section MODEL"),
        ({"MODEL": 3}, "expected a section MODEL"),
    ],
)
def test_a_configuration_that_makes_no_model_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        brivl.from_settings(settings)


def test_weights_that_lack_a_part_are_named() -> None:
    few = {name: shape for name, shape in SHAPES.items() if "conv_head" not in name}
    with pytest.raises(InputError, match=r"lack 'imgencoder\.backbone\.conv_head\.weight'"):
        brivl.read_sizes("original", None, few, {}, BERT)
    few = {name: shape for name, shape in SHAPES.items() if "word_embeddings" not in name}
    with pytest.raises(InputError, match=r"lack 'textencoder\.backbone\.bert\.embeddings\.word_embeddings"):
        brivl.read_sizes("original", None, few, {}, BERT)
