"""Sizes: from published config files and from shapes, and back into config files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from tuwen.errors import CheckpointError, UsageError
from tuwen.models.chinese_clip.towers import BASE, Config
from tuwen.models.described import OriginalFile
from tuwen.nn.attention import ACTIVATIONS
from tuwen.nn.bert import BertConfig
from tuwen.nn.resnet import ResNetConfig
from tuwen.nn.vit import ViTConfig
from tuwen.processing.processor import Processor


def config_from(settings: Mapping[str, Any]) -> Config:
    """Sizes from tuwen's own description, the original's two merged JSON files, or transformers' config.json."""
    if "vision_config" in settings or settings.get("model_type") == "chinese_clip":
        return _from_transformers(settings)
    if "embed_dim" in settings:
        return _from_original(settings)
    if "embedding" in settings:
        return _from_own(settings)
    raise UsageError(
        f"this is no Chinese-CLIP config: its keys are {', '.join(sorted(settings)[:6])}; expected the original's "
        "pair of JSON files (embed_dim, ...), transformers' config.json (vision_config, ...) or a tuwen config.json"
    )


def _from_own(settings: Mapping[str, Any]) -> Config:
    image = dict(settings["image"])
    kind = ResNetConfig if "blocks" in image else ViTConfig
    if "blocks" in image:
        image["blocks"] = tuple(image["blocks"])
    try:
        return Config(kind(**image), BertConfig(**settings["text"]), settings["embedding"])
    except (KeyError, TypeError) as error:
        raise UsageError(f"the sizes of a Chinese-CLIP model are incomplete or misspelt: {error}") from None


def _from_original(settings: Mapping[str, Any]) -> Config:
    """`model_configs/VISION.json` and `TEXT.json` in one mapping, the text's keys winning."""
    text = BertConfig(
        vocabulary=settings["vocab_size"],
        width=settings["text_hidden_size"],
        layers=settings["text_num_hidden_layers"],
        heads=settings["text_num_attention_heads"],
        hidden=settings["text_intermediate_size"],
        positions=settings["text_max_position_embeddings"],
        segments=settings["text_type_vocab_size"],
        activation=_activation(settings["text_hidden_act"]),
        dropout=settings["text_hidden_dropout_prob"],
        attention_dropout=settings["text_attention_probs_dropout_prob"],
        initializer_range=settings["text_initializer_range"],
    )
    width, head = settings["vision_width"], settings.get("vision_head_width") or 64
    layers = settings["vision_layers"]
    layers = json.loads(layers) if isinstance(layers, str) else layers  # RN50.json has "[3,4,6,3]", a string
    size, embedding = settings["image_resolution"], settings["embed_dim"]
    if isinstance(layers, int):
        image: ViTConfig | ResNetConfig = ViTConfig(size, settings["vision_patch_size"], width, layers, width // head)
    else:
        image = ResNetConfig(size, tuple(layers), width, heads=width * 32 // head, embedding=embedding)
    return Config(image, text, embedding)


# What transformers' configuration classes hold where a config.json is silent.
_TRANSFORMERS_TEXT = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}
_TRANSFORMERS_IMAGE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


def _from_transformers(settings: Mapping[str, Any]) -> Config:
    text = {**_TRANSFORMERS_TEXT, **(settings.get("text_config") or {})}
    image = {**_TRANSFORMERS_IMAGE, **(settings.get("vision_config") or {})}
    return Config(
        ViTConfig(
            image_size=image["image_size"],
            patch_size=image["patch_size"],
            width=image["hidden_size"],
            layers=image["num_hidden_layers"],
            heads=image["num_attention_heads"],
            hidden=image["intermediate_size"],
            activation=_activation(image["hidden_act"]),
            eps=image["layer_norm_eps"],
        ),
        BertConfig(
            vocabulary=text["vocab_size"],
            width=text["hidden_size"],
            layers=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            hidden=text["intermediate_size"],
            positions=text["max_position_embeddings"],
            segments=text["type_vocab_size"],
            activation=_activation(text["hidden_act"]),
            eps=text["layer_norm_eps"],
            dropout=text["hidden_dropout_prob"],
            attention_dropout=text["attention_probs_dropout_prob"],
            initializer_range=text["initializer_range"],
        ),
        settings.get("projection_dim", 512),
    )


def _activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UsageError(f"the config asks for the activation {name!r}; known are {', '.join(ACTIVATIONS)}")
    return name


def config_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    """Sizes from the tensors of an original file, which carries no config.

    Only the numbers of heads are not in the shapes: they are taken from the published variants (64 wide; 80 in
    ViT-H-14), so a model of any other width needs its config files.
    """
    table = shapes["bert.embeddings.word_embeddings.weight"]
    layers = _count(shapes, "bert.encoder.layer.")
    text = BertConfig(
        vocabulary=table[0],
        width=table[1],
        layers=layers,
        heads=_heads(table[1], "text"),
        hidden=shapes["bert.encoder.layer.0.intermediate.dense.weight"][0],
        positions=shapes["bert.embeddings.position_embeddings.weight"][0],
        segments=shapes["bert.embeddings.token_type_embeddings.weight"][0],
    )
    embedding = shapes["text_projection"][1]
    if "visual.proj" in shapes:
        width, _, patch, _ = shapes["visual.conv1.weight"]
        side = math.isqrt(shapes["visual.positional_embedding"][0] - 1)
        blocks = _count(shapes, "visual.transformer.resblocks.")
        return Config(ViTConfig(side * patch, patch, width, blocks, _heads(width, "image")), text, embedding)
    width = shapes["visual.conv3.weight"][0]
    first, second, third, fourth = (_count(shapes, f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
    side = math.isqrt(shapes["visual.attnpool.positional_embedding"][0] - 1)
    image = ResNetConfig(side * 32, (first, second, third, fourth), width, _heads(width * 32, "image"), embedding)
    return Config(image, text, embedding)


def _count(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in shapes if name.startswith(prefix))


def _heads(width: int, tower: str) -> int:
    if width == 1280:
        return 16  # ViT-H-14 alone has heads of 80
    if width % 64 or width < 512:
        raise CheckpointError(
            f"the weights do not tell how many heads the {tower} tower of width {width} has: pass config= with the "
            "model's own config files (the original's VISION.json and TEXT.json, or a folder that holds them)"
        )
    return width // 64


def config_to_dict(config: Config) -> dict[str, Any]:
    """Plain data for tuwen's config.json; `config_from` reads it back."""
    return asdict(config)


def original_settings(config: Config) -> dict[str, dict[str, Any]]:
    """The original's two JSON files, "image" and "text"; CheckpointError for sizes that it cannot express."""
    image, text = config.image, config.text
    vision: dict[str, Any] = {"embed_dim": config.embedding, "image_resolution": image.image_size}
    if isinstance(image, ResNetConfig):
        vision |= {"vision_layers": str(list(image.blocks)), "vision_width": image.width, "vision_patch_size": None}
        vision["vision_head_width"] = image.width * 32 // image.heads
    else:
        vision |= {"vision_layers": image.layers, "vision_width": image.width, "vision_patch_size": image.patch_size}
        vision["vision_head_width"] = image.width // image.heads
        plain = ViTConfig(image.image_size, image.patch_size, image.width, image.layers, image.heads)
        if replace(image, hidden=None if image.hidden == 4 * image.width else image.hidden) != plain:
            raise CheckpointError("the original's format has no place for this image tower's activation, eps or width")
    if text.eps != BASE.eps:
        raise CheckpointError(f"the original's format has no place for a text eps of {text.eps}")
    words = {
        "vocab_size": text.vocabulary,
        "text_attention_probs_dropout_prob": text.attention_dropout,
        "text_hidden_act": text.activation,
        "text_hidden_dropout_prob": text.dropout,
        "text_hidden_size": text.width,
        "text_initializer_range": text.initializer_range,
        "text_intermediate_size": text.hidden,
        "text_max_position_embeddings": text.positions,
        "text_num_attention_heads": text.heads,
        "text_num_hidden_layers": text.layers,
        "text_type_vocab_size": text.segments,
    }
    return {"image": vision, "text": words}


def original_file(config: Config, processor: Processor, name: str, shapes: Mapping[str, Any]) -> OriginalFile:
    """A checkpoint of a run, and the pair of JSON files beside it where the tensors alone would not tell the sizes."""
    files = original_settings(config)
    content = {"epoch": 0, "step": 0, "name": name}
    if _told_by(shapes, config):
        return OriginalFile(".pt", content)
    merged = {**files["image"], **files["text"]}
    return OriginalFile(".pt", content, merged, beside={f"model_configs/{part}.json": files[part] for part in files})


def _told_by(shapes: Mapping[str, Any], config: Config) -> bool:
    try:
        return config_from_shapes(shapes) == config
    except CheckpointError:
        return False


def transformers_form(config: Config) -> str:
    """The table of KEYS of its folders."""
    return "transformers"


def transformers_pictures(config: Config, processor: Processor) -> tuple[dict[str, Any], list[str]]:
    """The picture settings for transformers' own image processor, and what that does otherwise: nothing."""
    return processor.image.to_transformers(), []


def transformers_settings(config: Config) -> dict[str, Any]:
    """config.json of a transformers folder; CheckpointError for the ResNet tower, which has no class there."""
    image, text = config.image, config.text
    if isinstance(image, ResNetConfig):
        raise CheckpointError("transformers has no Chinese-CLIP with a ResNet image tower: RN50 exists as .pt only")
    return {
        "architectures": ["ChineseCLIPModel"],
        "model_type": "chinese_clip",
        "projection_dim": config.embedding,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            "model_type": "chinese_clip_text_model",
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "intermediate_size": text.hidden,
            "max_position_embeddings": text.positions,
            "type_vocab_size": text.segments,
            "hidden_act": text.activation,
            "layer_norm_eps": text.eps,
            "hidden_dropout_prob": text.dropout,
            "attention_probs_dropout_prob": text.attention_dropout,
            "initializer_range": text.initializer_range,
            "pad_token_id": 0,
        },
        "vision_config": {
            "model_type": "chinese_clip_vision_model",
            "hidden_size": image.width,
            "num_hidden_layers": image.layers,
            "num_attention_heads": image.heads,
            "intermediate_size": image.hidden or 4 * image.width,
            "image_size": image.image_size,
            "patch_size": image.patch_size,
            "hidden_act": image.activation,
            "layer_norm_eps": image.eps,
            "projection_dim": config.embedding,
        },
    }
