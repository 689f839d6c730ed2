"""BriVL in the original's format, from our sizes: what lies in the file and beside it besides the encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tuwen.models.brivl.names import POSITION_IDS, TEXT_FILE, of_twins
from tuwen.models.brivl.settings import DEFAULTS, Shapes, same_network
from tuwen.models.brivl.towers import BASE_TEXT, LARGE_TEXT, TEMPERATURE, TOWERS, Config
from tuwen.models.described import OriginalFile
from tuwen.models.towers import bert_sizes
from tuwen.nn.bert import BertConfig
from tuwen.nn.efficientnet import SCALES, EfficientNetConfig, scaled
from tuwen.processing.processor import Processor

PLACE = "learnable"  # the key of the encoders in the file
SETTINGS_FILE, TEXT_SETTINGS_FILE = "cfg.yml", "config.json"
GRID = 6  # cells along an edge, of a model that does not look at them: the published file says so all the same
TRAINING = {"TOPK": 1, "QUEUE_SIZE": 9600, "MOMENTUM": 0.99, "TEMPERATURE": TEMPERATURE}


def original_form(config: Config) -> str:
    """The table of KEYS: the text tower alone has a file of its own kind."""
    return "text" if config.towers == ("text",) else "original"


def original_tensors(theirs: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Their tensors with those that the original's loading asks for besides: counting rows, and momentum copies.

    The copies are the encoders themselves, as where training starts.
    """
    start = TEXT_FILE if original_form(config) == "text" else ""
    whole = dict(theirs)
    if "text" in config.towers:
        whole[start + POSITION_IDS] = torch.arange(config.text.positions)[None]
    return whole if start else whole | {of_twins(name): tensor for name, tensor in whole.items()}


def original_file(config: Config, processor: Processor, name: str, shapes: Shapes) -> OriginalFile:
    """A .pth file, the YAML configuration beside it, and the config.json of the text encoder, which is a BERT."""
    settings = _settings(config)
    has_text = "text" in config.towers
    text = _bert(config.text) if has_text else None
    beside = {SETTINGS_FILE: settings} | ({} if text is None else {TEXT_SETTINGS_FILE: text})
    alone = original_form(config) == "text"
    notes = _notes(config, settings)
    return OriginalFile(".pth", None if alone else {}, settings, text, beside, tuple(notes), PLACE)


def _notes(config: Config, settings: Mapping[str, Any]) -> list[str]:
    """What the original's own code will miss in the file, or not know."""
    notes = []
    if config.towers != TOWERS:
        which = "BriVL-BUA-applications loads" if config.towers == ("image",) else "Text2Poster loads"
        notes.append(f"the original's extraction asks for both towers; {which} this one alone")
    else:
        notes.append("the momentum copies, which only training reads, are the encoders themselves")
    asked = {
        "the classifier of the picture network": "image" not in config.towers or config.image.classes,
        "its counts of batches": "image" not in config.towers or config.image.counters,
        "the pooler of the text encoder": "text" not in config.towers or config.text.pooler,
    }
    missing = [part for part, is_there in asked.items() if not is_there]
    if missing:
        notes.append(f"the original's strict loading asks for {', '.join(missing)}, which this model lacks")
    if "image" in config.towers and "CNN" not in settings["MODEL"]:
        notes.append("its picture network is none of B0 to B7: the original's code has no name for it")
    if config.grid:
        notes.append("BriVL-1.0's code ignores the grid and pools detected boxes; brivl-nmi's pools the grid")
    return notes


def _settings(config: Config) -> dict[str, Any]:
    """The YAML configuration, with GRID added where the model looks at a grid."""
    image, text = config.image, config.text
    network = _name_of(image)
    model = {
        "NAME": "VL",
        "ENCODER": _encoder(text),
        "TEXT_FEATURE_DIM": text.width,
        "TEXT_TRANSFORMER_HEAD": config.text_heads,
        "TEXT_TRANSFORMER_LAYER": config.text_layers,
        "MAX_TEXT_LEN": config.context_length,
        **({"CNN": network} if network and "image" in config.towers else {}),
        "IMG_SIZE": image.image_size,
        "IMG_FEATURE_DIM": config.embedding,
        "IMG_TRANSFORMER_HEAD": config.image_heads,
        "IMG_TRANSFORMER_LAYER": config.image_layers,
        "MAX_IMG_LEN": config.boxes,
        "BOX_GRID": config.grid or GRID,
        "GRID_SIZE": config.samples,
        "IS_EXTRACT": True,
        **TRAINING,
    }
    return {"MODEL": model} | ({"GRID": True} if config.grid else {})


def _name_of(image: EfficientNetConfig) -> str | None:
    """timm's name of the network, None where it has none."""
    found = (name for name, (width, depth, _) in SCALES.items() if same_network(image, scaled(1, width, depth)))
    return next((f"tf_efficientnet_{name}_ns" for name in found), None)


def _encoder(text: BertConfig) -> str:
    """The published text encoder of these sizes; where there is none, the folder that the file lies in."""
    base = str(DEFAULTS["ENCODER"])
    published = {BASE_TEXT: base, LARGE_TEXT: f"{base}-large"}
    return published.get(replace(text, pooler=True), ".")


def _bert(text: BertConfig) -> dict[str, Any]:
    """The config.json of the text encoder."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        **bert_sizes(text),
        "initializer_range": text.initializer_range,
        "layer_norm_eps": text.eps,
        "max_position_embeddings": text.positions,
        "type_vocab_size": text.segments,
        "pad_token_id": 0,
    }
