"""BriVL's sizes, from its YAML configuration, from the text encoder's config.json, and from shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tuwen.errors import InputError, UsageError
from tuwen.models.brivl.names import TEXT_FILE
from tuwen.models.brivl.towers import BASE_TEXT, LARGE_TEXT, TOWERS, Config, of_tower
from tuwen.nn.attention import ACTIVATIONS
from tuwen.nn.bert import BertConfig
from tuwen.nn.efficientnet import SCALES, STAGES, EfficientNetConfig, scaled

Shapes = Mapping[str, tuple[int, ...]]

BASE_FILE = "_BASE_CONFIG_"  # a key that names the file to read first

# What `cfg/test_xyb.yml` of BriVL-1.0 says; other keys of its MODEL section are for training or told by the weights.
DEFAULTS: dict[str, Any] = {
    "ENCODER": "hfl/chinese-roberta-wwm-ext",
    "TEXT_TRANSFORMER_HEAD": 4,
    "TEXT_TRANSFORMER_LAYER": 4,
    "MAX_TEXT_LEN": 80,
    "CNN": "tf_efficientnet_b5_ns",
    "IMG_SIZE": 380,
    "IMG_TRANSFORMER_HEAD": 4,
    "IMG_TRANSFORMER_LAYER": 4,
    "MAX_IMG_LEN": 37,
    "GRID_SIZE": 4,
}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML configuration, laid over the file that its `_BASE_CONFIG_` names. InputError for what is none."""
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a YAML {type(content).__name__}, expected sections of settings")
    name = content.pop(BASE_FILE, None)
    return content if name is None else merged(read_yaml(path.parent / str(name)), content)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two configurations, `above` winning, section by section."""
    both = dict(below)
    for key, value in above.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return both


def from_settings(settings: Mapping[str, Any], text: Mapping[str, Any] | None = None, grid: bool = False) -> Config:
    """Sizes from the YAML configuration alone, for a model without weights.

    text: config.json of the text encoder, where ENCODER is not one of the two published ones. grid: pictures without
    boxes are pooled on BOX_GRID cells along an edge, as the 2.0 line does, which the configuration does not tell.
    """
    told = _told(settings)
    image = _network(settings)
    if told.get("IMG_FEATURE_DIM", image.head) != image.head:
        raise UsageError(f"IMG_FEATURE_DIM is {told['IMG_FEATURE_DIM']}, the {told['CNN']} gives {image.head}")
    words = _published_text(told["ENCODER"]) if text is None else _text_from(text)
    if told.get("TEXT_FEATURE_DIM", words.width) != words.width:
        raise UsageError(
            f"TEXT_FEATURE_DIM is {told['TEXT_FEATURE_DIM']}, the text encoder is {words.width} wide: pass its own "
            "config.json"
        )
    return _config(told, image, words, told["IMG_TRANSFORMER_LAYER"], told["TEXT_TRANSFORMER_LAYER"], grid=grid)


def from_shapes(
    shapes: Shapes, settings: Mapping[str, Any] | None, text: Mapping[str, Any] | None, grid: bool = False
) -> Config:
    """Sizes from a file's tensors; heads, lengths and the size of pictures from `settings`, else as published.

    settings: the YAML configuration; text: config.json of the text encoder, needed where its heads are not 64 wide.
    UsageError where settings speak of another network than the file holds.
    """
    told = _told(settings or {})
    plain = {name.removeprefix(TEXT_FILE): shape for name, shape in shapes.items()}
    towers = tuple(
        tower
        for tower, start in zip(TOWERS, ("imgencoder.", "textencoder."), strict=True)
        if any(name.startswith(start) for name in plain)
    )
    words = _text_from_shapes(plain, text) if "text" in towers else BASE_TEXT
    if "image" in towers:
        image = _network_from_shapes(plain, told["IMG_SIZE"])
        if _names_network(settings or {}) and not same_network(image, _network(settings or {})):
            raise UsageError(f"the configuration says CNN is {told['CNN']}, the weights are of another network")
    else:
        image = scaled(told["IMG_SIZE"], *SCALES["b5"][:2], head=plain["textencoder.learnable.textFC.fc2.weight"][0])
    image_layers = _count(plain, "imgencoder.learnable.imgAtt.layers.") or told["IMG_TRANSFORMER_LAYER"]
    text_layers = _count(plain, "textencoder.learnable.textAtt.layers.") or told["TEXT_TRANSFORMER_LAYER"]
    hidden = next((shape[0] for name, shape in plain.items() if name.endswith("layers.0.linear1.weight")), 2048)
    config = _config(told, image, words, image_layers, text_layers, hidden=hidden, towers=towers, grid=grid)
    return of_tower(config, towers[0]) if len(towers) == 1 else config


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The MODEL section, with what it is silent about."""
    model = settings.get("MODEL") if settings else {}
    if not isinstance(model, Mapping):
        found = ", ".join(sorted(map(str, settings)))
        raise UsageError(f"this is no configuration of BriVL: it has {found}, expected a section MODEL")
    return {**DEFAULTS, **model}


def _config(
    told: Mapping[str, Any],
    image: EfficientNetConfig,
    text: BertConfig,
    image_layers: int,
    text_layers: int,
    hidden: int = 2048,  # the default of torch's layer, which no configuration names
    towers: tuple[str, ...] = TOWERS,
    grid: bool = False,
) -> Config:
    return Config(
        image,
        text,
        image_layers,
        told["IMG_TRANSFORMER_HEAD"],
        text_layers,
        told["TEXT_TRANSFORMER_HEAD"],
        hidden,
        told["MAX_IMG_LEN"],
        told["GRID_SIZE"],
        told.get("BOX_GRID", 6) if grid else 0,
        told["MAX_TEXT_LEN"],
        towers,
    )


def _names_network(settings: Mapping[str, Any]) -> bool:
    return "CNN_CUSTOM" in settings or "CNN" in (settings.get("MODEL") or {})


def _network(settings: Mapping[str, Any]) -> EfficientNetConfig:
    """The picture network that CNN names, or that a section CNN_CUSTOM describes in its place."""
    told = _told(settings)
    custom = settings.get("CNN_CUSTOM")
    if custom is not None:
        try:
            return scaled(
                told["IMG_SIZE"],
                custom["channel_multiplier"],
                custom["depth_multiplier"],
                custom["head_channels"],
                custom["num_classes"],
            )
        except (KeyError, TypeError) as error:
            raise UsageError(f"the section CNN_CUSTOM is incomplete: {error}") from None
    found = re.fullmatch(r"(?:tf_)?efficientnet_(b[0-7]|l2)(?:_ns)?(?:_475)?", str(told["CNN"]))
    if found is None:
        raise UsageError(f"CNN is {told['CNN']!r}, expected tf_efficientnet_b0_ns to tf_efficientnet_b7_ns")
    width, depth, _ = SCALES[found[1]]
    return scaled(told["IMG_SIZE"], width, depth)


def _network_from_shapes(shapes: Shapes, image_size: int) -> EfficientNetConfig:
    start = "imgencoder.backbone."
    ends = ["conv_pwl" if stage.expansion > 1 else "conv_pw" for stage in STAGES]
    try:
        return EfficientNetConfig(
            image_size,
            shapes[f"{start}conv_stem.weight"][0],
            tuple(shapes[f"{start}blocks.{stage}.0.{end}.weight"][0] for stage, end in enumerate(ends)),
            tuple(_count(shapes, f"{start}blocks.{stage}.") for stage in range(len(STAGES))),
            shapes[f"{start}conv_head.weight"][0],
            shapes.get(f"{start}classifier.weight", (0,))[0],
            any(name.endswith("num_batches_tracked") for name in shapes if name.startswith(start)),
        )
    except KeyError as error:
        raise InputError(f"the weights lack {error}: they are not of an EfficientNet, or not complete") from None


def same_network(one: EfficientNetConfig, other: EfficientNetConfig) -> bool:
    """Whether two networks are one, whatever their pictures and their classifier."""
    return (one.stem, one.channels, one.repeats, one.head) == (other.stem, other.channels, other.repeats, other.head)


def _count(shapes: Shapes, start: str) -> int:
    return len({name.removeprefix(start).partition(".")[0] for name in shapes if name.startswith(start)})


def _published_text(encoder: str) -> BertConfig:
    return LARGE_TEXT if "large" in str(encoder) else BASE_TEXT


def is_text_settings(settings: Mapping[str, Any]) -> bool:
    """Whether this is config.json of a text encoder, not the configuration of BriVL."""
    return "hidden_size" in settings


def _text_from(settings: Mapping[str, Any]) -> BertConfig:
    """From the config.json of a BERT."""
    activation = settings.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise UsageError(f"hidden_act is {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    try:
        return BertConfig(
            settings["vocab_size"],
            settings["hidden_size"],
            settings["num_hidden_layers"],
            settings["num_attention_heads"],
            settings["intermediate_size"],
            settings.get("max_position_embeddings", 512),
            settings.get("type_vocab_size", 2),
            activation,
            settings.get("layer_norm_eps", 1e-12),
            settings.get("hidden_dropout_prob", 0.1),
            settings.get("attention_probs_dropout_prob", 0.1),
            settings.get("initializer_range", 0.02),
            pooler=True,
        )
    except KeyError as error:
        raise UsageError(f"the text encoder's config.json lacks {error}") from None


def _text_from_shapes(shapes: Shapes, settings: Mapping[str, Any] | None) -> BertConfig:
    start = "textencoder.backbone.bert."
    try:
        vocabulary, width = shapes[f"{start}embeddings.word_embeddings.weight"]
        positions = shapes[f"{start}embeddings.position_embeddings.weight"][0]
        segments = shapes[f"{start}embeddings.token_type_embeddings.weight"][0]
        hidden = shapes[f"{start}encoder.layer.0.intermediate.dense.weight"][0]
    except KeyError as error:
        raise InputError(f"the weights lack {error}: they are not of a BERT, or not complete") from None
    if settings is None and (width % 64 or width < 512):
        raise UsageError(
            f"the weights do not tell how many heads a text encoder of width {width} has: pass tokenizer= with its "
            "folder, in which config.json lies"
        )
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": _count(shapes, f"{start}encoder.layer."),
        "intermediate_size": hidden,
        "max_position_embeddings": positions,
        "type_vocab_size": segments,
    }
    text = _text_from({"num_attention_heads": width // 64, **(settings or {}), **sizes})
    return replace(text, pooler=f"{start}pooler.dense.weight" in shapes)
