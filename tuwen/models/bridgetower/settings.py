"""BridgeTower's sizes, from transformers' config.json or from what an original checkpoint tells about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuwen.errors import CheckpointError, UsageError
from tuwen.models.bridgetower.names import split_heads
from tuwen.models.bridgetower.towers import Config
from tuwen.models.described import Shapes, shape_of
from tuwen.nn.attention import ACTIVATIONS
from tuwen.nn.bert import BertConfig
from tuwen.nn.fusion import BRIDGES, FusionConfig
from tuwen.nn.vit import ViTConfig

# What transformers' configuration classes hold where a config.json is silent.
_TEXT = {
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "pad_token_id": 1,
}
_IMAGE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "patch_size": 16,
    "image_size": 288,
    "layer_norm_eps": 1e-5,
    "remove_last_layer": False,
}
_TOP = {"hidden_size": 768, "num_hidden_layers": 6, "hidden_act": "gelu", "layer_norm_eps": 1e-5}


def from_transformers(settings: Mapping[str, Any], shapes: Shapes) -> Config:
    """Sizes from config.json; heads from the tensors that are there."""
    top = {**_TOP, **settings}
    text = bert_config({**_TEXT, **(settings.get("text_config") or {})})
    if top.get("share_link_tower_layers"):
        raise UsageError("share_link_tower_layers is on: no published code runs such a model")
    bridge = top.get("link_tower_type", "add")
    if bridge not in BRIDGES:
        raise UsageError(f"link_tower_type is {bridge!r}, expected one of {', '.join(BRIDGES)}")
    if top["hidden_size"] != text.width:
        raise UsageError(f"hidden_size {top['hidden_size']} and the text tower's {text.width} must be equal")
    return Config(
        image=_image({**_IMAGE, **(settings.get("vision_config") or {})}, text.layers),
        text=text,
        # Heads, inner width, activation, dropout and epsilon of the fusion come from the text tower's settings.
        fusion=FusionConfig(
            width=top["hidden_size"],
            layers=top["num_hidden_layers"],
            heads=text.heads,
            hidden=text.hidden,
            activation=text.activation,
            eps=text.eps,
            dropout=text.dropout,
            attention_dropout=text.attention_dropout,
            bridge=bridge,
            bridge_eps=top["layer_norm_eps"],
        ),
        heads=heads_of(shapes),
        shared_transforms=top.get("share_cross_modal_transformer_layers", True),
        word_eps=top["layer_norm_eps"],
        word_activation=_activation(top["hidden_act"]),
    )


def bert_config(settings: Mapping[str, Any]) -> BertConfig:
    """A RoBERTa's config.json -> its sizes."""
    try:
        return BertConfig(
            vocabulary=settings["vocab_size"],
            width=settings["hidden_size"],
            layers=settings["num_hidden_layers"],
            heads=settings["num_attention_heads"],
            hidden=settings["intermediate_size"],
            positions=settings["max_position_embeddings"],
            segments=settings["type_vocab_size"],
            activation=_activation(settings["hidden_act"]),
            eps=settings["layer_norm_eps"],
            dropout=settings["hidden_dropout_prob"],
            attention_dropout=settings["attention_probs_dropout_prob"],
            initializer_range=settings.get("initializer_range", 0.02),
            padding=settings.get("pad_token_id", 1),
            pooler=True,
        )
    except KeyError as error:
        raise UsageError(f"the text tower's config lacks {error}") from None


def _image(settings: Mapping[str, Any], text_layers: int) -> ViTConfig:
    layers = settings["num_hidden_layers"] - bool(settings["remove_last_layer"])
    if layers < text_layers:
        raise UsageError(f"the picture tower has {layers} layers, the text tower {text_layers}: bridges need as many")
    return ViTConfig(
        image_size=settings["image_size"],
        patch_size=settings["patch_size"],
        width=settings["hidden_size"],
        layers=text_layers,  # blocks beyond the text tower's depth are never run
        heads=settings["hidden_size"] // 64,
        eps=settings["layer_norm_eps"],
    )


def from_original(settings: Mapping[str, Any], roberta: Mapping[str, Any] | None, shapes: Shapes) -> Config:
    """Sizes from the configuration that a Lightning checkpoint holds, RoBERTa's config.json, and the tensors.

    Without RoBERTa's file its published sizes are taken: heads of width 64, 514 positions.
    """
    try:
        width, layers, mlp_ratio = settings["hidden_size"], settings["num_layers"], settings["mlp_ratio"]
        heads, dropout = settings["num_heads"], settings["drop_rate"]
        image_size, patch_size = settings["image_size"], settings["patch_size"]
    except KeyError as error:
        raise UsageError(f"the checkpoint's own configuration lacks {error}: pass config= with it") from None
    meter = "cross_modal_text_layernorm.weight" not in shapes
    text = _roberta(roberta, shapes)
    image_width = shape_of(shapes, "vit_model.visual.class_embedding")[0]
    return Config(
        image=ViTConfig(
            image_size,
            patch_size,
            image_width,
            _depth(shapes, "vit_model.visual.transformer.resblocks."),
            image_width // 64,
        ),
        text=text,
        # The original builds the fusion from a fresh RobertaConfig, whose epsilon is 1e-12.
        fusion=FusionConfig(
            width,
            layers,
            heads,
            width * mlp_ratio,
            eps=1e-12,
            dropout=dropout,
            attention_dropout=dropout,
            bridge=None if meter else "add",
        ),
        heads=heads_of(shapes),
        norm_inputs=not meter,
        gates="text_gate.weight" in shapes,
        types=shape_of(shapes, "token_type_embeddings.weight")[0],
        word_eps=1e-12,
        contrast_on="tower",
    )


def _roberta(settings: Mapping[str, Any] | None, shapes: Shapes) -> BertConfig:
    start = "text_transformer.embeddings"
    vocabulary, width = shape_of(shapes, f"{start}.word_embeddings.weight")
    found = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": _depth(shapes, "text_transformer.encoder.layer."),
        "intermediate_size": shape_of(shapes, "text_transformer.encoder.layer.0.intermediate.dense.weight")[0],
        "max_position_embeddings": shape_of(shapes, f"{start}.position_embeddings.weight")[0],
        "type_vocab_size": shape_of(shapes, f"{start}.token_type_embeddings.weight")[0],
    }
    told = settings or {}
    wrong = [f"{name} {told[name]} instead of {size}" for name, size in found.items() if told.get(name, size) != size]
    if wrong:
        raise CheckpointError(
            f"the RoBERTa in tokenizer= or config= is not the checkpoint's: it has {', '.join(wrong)}; pass the folder "
            "of the one that the model was trained with"
        )
    if settings is None and width % 64:
        raise CheckpointError(
            f"a RoBERTa of width {width} is none of the published ones: pass the folder with its config.json as "
            "tokenizer= or config="
        )
    return bert_config({**_TEXT, "num_attention_heads": width // 64, **told, **found})


def _depth(shapes: Shapes, prefix: str) -> int:
    """Layers, counted from 0 under this prefix."""
    numbers = {int(name.removeprefix(prefix).partition(".")[0]) for name in shapes if name.startswith(prefix)}
    return len(numbers)


def heads_of(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The heads whose tensors are there, with the widths of their layers."""
    known, _ = split_heads(shapes)
    heads: dict[str, tuple[int, ...]] = {}
    if "match" in known:
        heads["match"] = (shape_of(shapes, "itm_score.fc.weight")[0],)
    if "fill" in known:
        heads["fill"] = (shape_of(shapes, "mlm_score.decoder.weight")[0],)
    if "itc_text_head.fc.weight" in shapes:
        parts = ("itc_text_head.fc.weight", "itc_cross_modal_head.fc.weight")
        heads["contrast"] = tuple(shapes[name][0] for name in parts if name in shapes)
    for theirs, ours in (("vqa_classifier", "answer"), ("nlvr2_classifier", "pair"), ("snli_classifier", "entail")):
        if ours in known:
            layers = (f"{theirs}.0.weight", f"{theirs}.3.weight")
            heads[ours] = tuple(shapes[name][0] for name in layers if name in shapes)
    if "rank" in known:
        heads["rank"] = (shape_of(shapes, "rank_output.weight")[0],)
    return heads


def _activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UsageError(f"hidden_act is {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return name


def with_heads(config: Config, names: tuple[str, ...]) -> Config:
    """The same with these heads too, of the sizes that the original would give new ones."""
    width, vocabulary = config.fusion.width, config.text.vocabulary
    fresh = {
        "match": (2,),
        "fill": (vocabulary,),
        "contrast": (512, 512) if config.contrast_on == "transform" else (256,),
        "answer": (4 * width, len(config.answers) or 3129),
        "entail": (4 * width, 3),
        "pair": (3 * width, 2),
        "rank": (1,),
    }
    unknown = [name for name in names if name not in fresh]
    if unknown:
        raise UsageError(f"BridgeTower has no heads {unknown}: it knows {', '.join(fresh)}")
    missing = {name: fresh[name] for name in names if name not in config.heads}
    return replace(config, heads={**config.heads, **missing})
