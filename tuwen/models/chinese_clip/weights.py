"""What the original does to weights: its rounding, and its start for pretraining."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tuwen import keymap
from tuwen.errors import CheckpointError
from tuwen.models.chinese_clip.names import DROP, KEYS
from tuwen.models.chinese_clip.towers import ChineseCLIP, Config, build
from tuwen.nn.positions import resize_grid
from tuwen.nn.vit import ViT


@torch.no_grad()
def round_to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors rounded to half precision where cn_clip's `load_from_name` rounds them, in the type they had.

    It turns the empty model to half precision before it loads: every convolution and linear layer, attention
    projections, all of the text tower, both projections. Image norms, class token, position tables and the scale keep
    their values.
    """
    return {name: tensor.half().to(tensor.dtype) if _is_rounded(name) else tensor for name, tensor in tensors.items()}


def _is_rounded(name: str) -> bool:
    if name.startswith("image."):
        return not any(part in name for part in ("norm", "class_token", "positions"))
    return name != "log_scale"


def initialise(config: Config, clip: Mapping[str, Tensor], bert: Mapping[str, Tensor]) -> ChineseCLIP:
    """A model to pretrain: image tower and scale of an OpenAI CLIP, text tower of a Chinese BERT; float32, eval mode.

    clip, bert: bare state dicts. `visual.*` and `logit_scale` are taken from the first, `bert.*` from the second,
    rounded to half precision as the original's `load` does. Positions of another grid are resized; the text projection
    keeps its random start.
    CheckpointError names what is missing, has no place, or has another shape.
    """
    image = {name: value for name, value in clip.items() if name.startswith("visual.") or name == "logit_scale"}
    text = {name: value for name, value in bert.items() if name.startswith("bert.")}
    # BERT files of transformers may carry counting rows too.
    drop = (*DROP, "bert.embeddings.position_ids", "bert.embeddings.token_type_ids")
    form = "original" if "visual.class_embedding" in image else "original-resnet"
    ours, _ = keymap.load(image | text, KEYS[form], drop)
    module = build(config)
    if isinstance(module.image, ViT) and "image.positions" in ours:
        ours["image.positions"] = resize_grid(ours["image.positions"], config.image.side, align_corners=True)
    start = module.state_dict()
    kept = {"text_projection.weight": start["text_projection.weight"]}
    problem = keymap.describe_mismatch(_shapes(ours | kept), _shapes(start))
    if problem:
        raise CheckpointError(f"these weights do not start a model of this config: {problem}")
    module.load_state_dict(round_to_half(ours) | kept)
    return module.eval()


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
