"""ERNIE-ViL 2.0's sizes, from the port's config.json, from the research release's JSON, or from shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from tuwen.errors import UsageError
from tuwen.models.ernie_vil2.towers import Config
from tuwen.nn.attention import ACTIVATIONS
from tuwen.nn.bert import BertConfig
from tuwen.nn.vit import ViTConfig

Shapes = Mapping[str, tuple[int, ...]]

EPS = 1e-5  # of the research release's text tower: a constant of its code, which no file names
CONTEXT_LENGTH = 48  # tokens of the research release's configuration; longer texts lose their end

_PORT_TEXT: dict[str, Any] = {
    "vocab_size": 40000,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 2048,
    "type_vocab_size": 0,
    "task_type_vocab_size": 3,
    "task_id": 0,
    "use_task_id": False,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-5,
}
_PORT_IMAGE: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-6,
}
# The first version of the port wrote everything flat.
_FLAT_IMAGE = {
    "image_resolution": "image_size",
    "vision_layers": "num_hidden_layers",
    "vision_heads": "num_attention_heads",
    "vision_embed_dim": "hidden_size",
    "vision_patch_size": "patch_size",
    "vision_hidden_act": "hidden_act",
    "vision_epsilon": "layer_norm_eps",
}


def from_port(settings: Mapping[str, Any]) -> Config:
    """PaddleNLP's config.json, new or flat, or the model_config.json of its first version."""
    settings = _unwrapped(settings)
    known = {"model_type", "text_config", "vision_config", *_PORT_TEXT, *_FLAT_IMAGE}
    if settings and not known & settings.keys():
        found = ", ".join(sorted(map(str, settings))[:6])
        raise UsageError(f"this is no config.json of PaddleNLP: it has {found}; expected text_config and vision_config")
    if "text_config" in settings or "vision_config" in settings:
        text = {**_PORT_TEXT, **(settings.get("text_config") or {})}
        image = {**_PORT_IMAGE, **(settings.get("vision_config") or {})}
    else:
        text = {**_PORT_TEXT, **{key: settings[key] for key in _PORT_TEXT if key in settings}}
        text["layer_norm_eps"] = settings.get("text_epsilon", text["layer_norm_eps"])
        image = {
            **_PORT_IMAGE,
            **{ours: settings[theirs] for theirs, ours in _FLAT_IMAGE.items() if theirs in settings},
        }
        image["intermediate_size"] = int(image["hidden_size"] * settings.get("vision_mlp_ratio", 4))
    return Config(
        ViTConfig(
            image["image_size"],
            image["patch_size"],
            image["hidden_size"],
            image["num_hidden_layers"],
            image["num_attention_heads"],
            hidden=image["intermediate_size"],
            activation=_activation(image["hidden_act"]),
            eps=image["layer_norm_eps"],
        ),
        BertConfig(
            text["vocab_size"],
            text["hidden_size"],
            text["num_hidden_layers"],
            text["num_attention_heads"],
            text["intermediate_size"],
            positions=text["max_position_embeddings"],
            segments=text["type_vocab_size"],
            activation=_activation(text["hidden_act"]),
            eps=text["layer_norm_eps"],
            dropout=text["hidden_dropout_prob"],
            attention_dropout=text["attention_probs_dropout_prob"],
            initializer_range=text["initializer_range"],
            pooler=True,
            tasks=text["task_type_vocab_size"] if text["use_task_id"] else 0,
            task=text["task_id"],
        ),
    )


def _unwrapped(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """model_config.json may hold the arguments of a class one level down."""
    arguments = settings.get("init_args")
    if isinstance(arguments, Mapping):
        return arguments
    if isinstance(arguments, list) and arguments and isinstance(arguments[0], Mapping):
        return arguments[0]
    return settings


def from_research(settings: Mapping[str, Any] | None, shapes: Shapes) -> Config:
    """Sizes from the shapes, and from the release's JSON of the text tower what they do not tell.

    settings: that JSON, with the arguments of the picture tower's constructor under "vision" where they are known; or
    {"text": it, "vision": those}. Heads are 64 wide unless they say otherwise.
    """
    given = settings or {}
    text = given["text"] if isinstance(given.get("text"), Mapping) else given
    return Config(_research_image(given.get("vision") or {}, shapes), _research_text(text, shapes))


def told_by(shapes: Shapes, settings: Mapping[str, Any], config: Config) -> bool:
    """Whether shapes and the JSON of the text tower tell the sizes of the picture tower."""
    try:
        found = from_research(settings, shapes).image
    except UsageError:
        return False
    return found == replace(config.image, hidden=found.hidden if config.image.hidden is None else config.image.hidden)


def _research_image(settings: Mapping[str, Any], shapes: Shapes) -> ViTConfig:
    width, _, patch, _ = shapes["visual.patch_embed.proj.weight"]
    side = isqrt(shapes["visual.positional_embedding"][1] - 1)
    return ViTConfig(
        settings.get("img_size", side * patch),
        patch,
        width,
        _depth(shapes, "visual.blocks."),
        settings.get("num_heads") or _heads(width, "picture"),
        hidden=shapes["visual.blocks.0.mlp.fc1.weight"][1],
        activation=_activation(settings.get("hidden_act", "quick_gelu")),
        eps=settings.get("epsilon", 1e-6),
    )


def _research_text(settings: Mapping[str, Any], shapes: Shapes) -> BertConfig:
    vocabulary, width = shapes["text_model.word_emb.weight"]
    layer = "text_model.encoder_stack.block.0"
    dropout = settings.get("intermediate_dropout_prob", settings.get("hidden_dropout_prob", 0.1))
    return BertConfig(
        vocabulary,
        width,
        _depth(shapes, "text_model.encoder_stack.block."),
        settings.get("num_attention_heads") or _heads(width, "text"),
        shapes[f"{layer}.ffn.i.weight"][1],
        positions=shapes["text_model.pos_emb.weight"][0],
        segments=0,
        activation=_activation(settings.get("hidden_act", "gelu")),
        eps=EPS,
        dropout=dropout,
        attention_dropout=settings.get("attention_probs_dropout_prob", 0.1),
        initializer_range=settings.get("initializer_range", 0.02),
        pooler=True,
    )


def _depth(shapes: Shapes, prefix: str) -> int:
    return len({name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)})


def _heads(width: int, tower: str) -> int:
    if width % 64 or width < 512:
        raise UsageError(
            f"the weights do not tell how many heads the {tower} tower of width {width} has: pass config= with "
            '{"vision": {"num_heads": ...}, "text": {"num_attention_heads": ...}}'
        )
    return width // 64


def _activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UsageError(f"hidden_act is {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return name
