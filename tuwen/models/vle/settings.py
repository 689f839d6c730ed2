"""VLE's sizes, from its config.json and the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuwen.errors import UsageError
from tuwen.models.described import Shapes, shape_of
from tuwen.models.vle.names import split_heads
from tuwen.models.vle.towers import Config
from tuwen.nn.attention import ACTIVATIONS
from tuwen.nn.deberta import DebertaConfig
from tuwen.nn.fusion import FusionConfig
from tuwen.nn.vit import ViTConfig

# What the configuration classes hold where a config.json is silent.
_TEXT: dict[str, Any] = {
    "vocab_size": 128100,
    "hidden_size": 1536,
    "num_hidden_layers": 24,
    "num_attention_heads": 24,
    "intermediate_size": 6144,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "max_relative_positions": -1,
    "position_buckets": -1,
    "layer_norm_eps": 1e-7,
    "initializer_range": 0.02,
}
_IMAGE: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
}
_TOP: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
    "num_token_types": 2,
}
# What the tower has in every DeBERTa-v3; another value means another model.
_V3: dict[str, tuple[Any, ...]] = {
    "relative_attention": (True,),
    "share_att_key": (True,),
    "norm_rel_ebd": ("layer_norm",),
    "position_biased_input": (False,),
    "type_vocab_size": (0,),
    "conv_kernel_size": (0, None),
}


def config_from(settings: Mapping[str, Any], shapes: Shapes) -> Config:
    """Sizes from config.json; heads from the tensors that are there."""
    top = {**_TOP, **settings}
    vision = settings.get("vision_config") or {}
    if vision.get("model_type") == "clip":
        vision = vision.get("vision_config") or {}
    return Config(
        image=image_config(vision),
        text=text_config(settings.get("text_config") or {}),
        fusion=FusionConfig(
            top["hidden_size"],
            top["num_hidden_layers"],
            top["num_attention_heads"],
            top["intermediate_size"],
            activation=_activation(top["hidden_act"]),
            eps=top["layer_norm_eps"],
            dropout=top["hidden_dropout_prob"],
            attention_dropout=top["attention_probs_dropout_prob"],
        ),
        heads=heads_of(shapes),
        types=top["num_token_types"],
        choose="qa2r" if "vcr_qa2r_logit.0.weight" in shapes and "vcr_q2a_logit.0.weight" not in shapes else "q2a",
        answers=answers_of(settings.get("id2label") or {}),
    )


def image_config(settings: Mapping[str, Any]) -> ViTConfig:
    """A CLIP vision model's config.json -> its sizes. Its epsilon is not read: the original code runs 1e-5 always."""
    image = {**_IMAGE, **settings}
    return ViTConfig(
        image["image_size"],
        image["patch_size"],
        image["hidden_size"],
        image["num_hidden_layers"],
        image["num_attention_heads"],
        hidden=image["intermediate_size"],
        activation=_activation(image["hidden_act"]),
    )


def text_config(settings: Mapping[str, Any]) -> DebertaConfig:
    """A DeBERTa-v3's config.json -> its sizes. UsageError for a DeBERTa of another make."""
    for name, allowed in _V3.items():
        if settings.get(name, allowed[0]) not in allowed:
            raise UsageError(f"{name} of the text tower is {settings[name]!r}: a DeBERTa-v3 has {allowed[0]!r}")
    kinds = settings.get("pos_att_type", ["p2c", "c2p"])
    if set(kinds.lower().split("|") if isinstance(kinds, str) else kinds) != {"p2c", "c2p"}:
        raise UsageError(f"pos_att_type of the text tower is {kinds!r}: a DeBERTa-v3 has p2c and c2p")
    text = {**_TEXT, **settings}
    if text["position_buckets"] < 1:
        raise UsageError("position_buckets of the text tower is not set: a DeBERTa-v3 has 256")
    farthest = text["max_relative_positions"]
    return DebertaConfig(
        text["vocab_size"],
        text["hidden_size"],
        text["num_hidden_layers"],
        text["num_attention_heads"],
        text["intermediate_size"],
        buckets=text["position_buckets"],
        max_distance=farthest if farthest >= 1 else text["max_position_embeddings"],
        activation=_activation(text["hidden_act"]),
        eps=text["layer_norm_eps"],
        dropout=text["hidden_dropout_prob"],
        attention_dropout=text["attention_probs_dropout_prob"],
        initializer_range=text["initializer_range"],
    )


def answers_of(labels: Mapping[str, str] | list[str]) -> tuple[str, ...]:
    """id2label, a dict of numbers (as strings) or a list -> the answers in order. UsageError where numbers lack."""
    if isinstance(labels, list):
        return tuple(labels)
    try:
        numbered = {int(number): text for number, text in labels.items()}
    except ValueError as error:
        raise UsageError(f"id2label of the config has a key that is no number: {error}") from None
    if sorted(numbered) != list(range(len(numbered))):
        raise UsageError(f"id2label names {len(numbered)} answers, but not the numbers 0 to {len(numbered) - 1}")
    return tuple(numbered[number] for number in range(len(numbered)))


def heads_of(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The heads whose tensors are there, with the widths of their layers."""
    known, _ = split_heads(shapes)
    heads: dict[str, tuple[int, ...]] = {}
    if "match" in known:
        heads["match"] = (shape_of(shapes, "itm_score.fc.weight")[0],)
    if "fill" in known:
        heads["fill"] = (shape_of(shapes, "mlm_score.1.predictions.bias")[0],)
    for theirs, ours in (
        ("vqa_classifier", "answer"),
        ("pbc_classifier", "ground"),
        ("vcr_qa2r_logit", "choose"),
        ("vcr_q2a_logit", "choose"),
    ):
        if f"{theirs}.0.weight" in shapes:
            heads[ours] = (shapes[f"{theirs}.0.weight"][0], shape_of(shapes, f"{theirs}.3.weight")[0])
    return heads


def with_heads(config: Config, names: tuple[str, ...]) -> Config:
    """The same with these heads too, of the sizes that the original would give new ones."""
    width = config.fusion.width
    fresh = {
        "match": (2,),
        "fill": (config.text.vocabulary,),
        "ground": (width, 2),
        "answer": (2 * width, len(config.answers) or 2),  # two labels where none are named, as in transformers
        "choose": (2 * width, 1),
    }
    unknown = [name for name in names if name not in fresh]
    if unknown:
        raise UsageError(f"VLE has no heads {unknown}: it knows {', '.join(fresh)}")
    missing = {name: fresh[name] for name in names if name not in config.heads}
    return replace(config, heads={**config.heads, **missing})


def _activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UsageError(f"hidden_act is {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return name
