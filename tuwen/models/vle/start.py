"""A VLE made of two pretrained towers: they keep their weights, all between them is new."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tuwen import checkpoint, hub, keymap
from tuwen.checkpoint import bare
from tuwen.errors import CheckpointError, InputError, UsageError
from tuwen.models.vle.names import KEYS
from tuwen.models.vle.settings import config_from
from tuwen.models.vle.towers import VLE

CONFIG = "config.json"
START = 0.02  # deviation of fresh weights, as the original draws them
# A tensor that every tower of the kind has, after whatever its file puts before the names, and our body's name for it.
IMAGE_SIGN, IMAGE_BODY = "embeddings.class_embedding", "vision_model.vision_model."
TEXT_SIGN, TEXT_BODY = "encoder.rel_embeddings.weight", "text_model."


class Tower(NamedTuple):
    """A tower as its authors publish it: the content of its config.json, and its tensors under their names."""

    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def from_towers(
    vision: str | Path | Tower,
    text: str | Path | Tower,
    settings: Mapping[str, Any] | None = None,
    image_layers: int | None = None,
) -> VLE:
    """A model whose towers are trained and whose fusion is fresh, from torch's generator; in float32 and eval mode.

    vision: a CLIP in transformers' format, whole or its picture tower alone; text: a DeBERTa-v3; each a folder, a
    repository of the hub, or a `Tower`. Parts of their files that no tower of VLE has, such as CLIP's text side, are
    not read. settings: sizes of the fusion under the names of VLE's config.json (hidden_size, num_hidden_layers,
    num_attention_heads, intermediate_size, num_token_types, ...). image_layers: keep this many of the picture tower's
    first blocks: the published models keep 11 of 12, and 23 of 24.

    CheckpointError where a file holds no such tower, or another size than its config.json says.
    """
    image, words = read_tower(vision, IMAGE_SIGN, IMAGE_BODY), read_tower(text, TEXT_SIGN, TEXT_BODY)
    config = config_from({**(settings or {}), "vision_config": image.settings, "text_config": words.settings}, {})
    if image_layers is not None:
        if not 0 < image_layers <= config.image.layers:
            raise UsageError(f"image_layers is {image_layers}: the picture tower has {config.image.layers}")
        config = replace(config, image=replace(config.image, layers=image_layers))
    model = VLE(config)
    fresh(model)
    towers = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name.startswith(("image.", "text."))  # the two projections have names of their own
    }
    wanted = keymap.store(towers, KEYS["transformers-bare"])
    found = {name: tensor for name, tensor in {**image.tensors, **words.tensors}.items() if name in wanted}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise CheckpointError(f"the towers lack {keymap.several(missing)}: are they a CLIP and a DeBERTa-v3?")
    ours, _ = keymap.load(found, KEYS["transformers-bare"])
    problem = keymap.describe_mismatch(_shapes(ours), _shapes(towers))
    if problem:
        raise CheckpointError(f"the towers do not fit the sizes of their config.json: {problem}")
    model.load_state_dict({name: tensor.float() for name, tensor in ours.items()}, strict=False)
    return model.eval()


def fresh(model: VLE) -> None:
    """Everything but the towers as the original starts it: weights normal with 0.02, biases 0, norms 1 and 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("image.", "text.", "heads.")) or ".norm_" in name:
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=START)


def read_tower(place: str | Path | Tower, sign: str, body: str) -> Tower:
    """The tower, its tensors named as in VLE's own files: `body` stands where the file has whatever it has.

    sign: the end of a name that tells where the tower's names begin.
    """
    found = place if isinstance(place, Tower) else _read_folder(place)
    name = next((name for name in found.tensors if name.endswith(sign)), None)
    if name is None:
        some = ", ".join(list(found.tensors)[:3])
        raise CheckpointError(f"{_label(place)} has no tensor that ends in {sign}, only {some}, ...: no tower for VLE")
    prefix = name.removesuffix(sign)
    settings = found.settings.get("vision_config", found.settings) if sign == IMAGE_SIGN else found.settings
    tensors = {
        body + name.removeprefix(prefix): tensor for name, tensor in found.tensors.items() if name.startswith(prefix)
    }
    return Tower(settings, tensors)


def _read_folder(place: str | Path) -> Tower:
    folder = Path(place)
    if not folder.is_dir():
        folder = hub.folder(str(place))
    weights = checkpoint.find_weights(folder)
    if weights is None:
        raise CheckpointError(f"{folder} has no weights: expected model.safetensors or pytorch_model.bin")
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / CONFIG} cannot be read: {error}") from None
    return Tower(settings, bare(checkpoint.read(weights).tensors))


def _label(place: str | Path | Tower) -> str:
    return "the tower" if isinstance(place, Tower) else str(place)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
