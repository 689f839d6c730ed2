"""Numbers that are known of ERNIE-ViL 2.0's published weights, to compare a file with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuwen.models.ernie_vil2.names import recognise
from tuwen.nn.heads import unit
from tuwen.processing.image import ImagePipeline

Check = tuple[str, Tensor, Tensor, float]  # name, ours, theirs, allowed difference

# What some of them need beside the weights: option -> what it is.
FILES = {"picture": "COCO's val2017/000000039769.jpg"}

# Of PaddleNLP's base-zh, as its documentation and its own tests give them; the tests allow 1e-3.
CAPTIONS = ("一只猫的照片", "一条狗的照片")
LOGITS = (20.84891510, 16.06993484)
TEXT_BEGINS = {
    "猫的照片": (0.04250504, -0.41429776, 0.26163983, 0.29910022, 0.39019185),
    "狗的照片": (0.06672225, -0.41456309, 0.13787819),
}
TEXT_ENDS = {"猫的照片": (0.26221892, 0.34387422, 0.18779707)}
IMAGE_BEGINS = (-0.59475428, -0.69795364, 0.22144008, 0.88066685, -0.58184201)
TEMPERATURE = 4.30022621
ATOL = 1e-3
LATER_EPS = 1e-12  # versions of the port from 2.6 on run with it, whatever the config says

# Of the base model's file: its tensors, but for a head that nothing uses, and the numbers in them.
TENSORS = {"research": 350, "paddlenlp": 398}
NUMBERS = {"picture tower": 85_799_424, "text tower": 117_939_456, "file": 203_738_881}
PICTURES, UNUSED = ("visual.", "vision_model."), ("visual.classfy.",)


def file_checks(tensors: Mapping[str, Tensor]) -> list[tuple[str, int, int]]:
    """(name, ours, theirs) of a published file of the base model; nothing of one that tuwen wrote."""
    form = recognise(tensors)
    if form is None:
        return []
    counts = {name: tensor.numel() for name, tensor in tensors.items() if not name.startswith(UNUSED)}
    found = {
        "picture tower": sum(count for name, count in counts.items() if name.startswith(PICTURES)),
        "text tower": sum(count for name, count in counts.items() if name.startswith("text_model.")),
        "file": sum(counts.values()),
    }
    numbers = [(f"numbers in the {part}", found[part], known) for part, known in NUMBERS.items()]
    return [("tensors in the file", len(counts), TENSORS[form]), *numbers]


def known(model: Any) -> bool:
    """Whether these are the weights that the numbers are of: the base model at the port's temperature."""
    return model.variant == "base" and abs(float(model.module.log_scale.detach()) - TEMPERATURE) < 0.01


def checks(model: Any, files: Mapping[str, Path]) -> list[Check]:
    """Every number that can be computed with what is at hand, with the epsilon that fits them better.

    The numbers do not say which version of the port they are from, and so which epsilon its text tower ran with.
    Pictures are prepared as the port does, for the research release's file, too.
    """
    with _pictures_of_port(model):
        found = {"of the config": _checks(model, files)}
        with epsilon(model.module.text, LATER_EPS):
            found[f"{LATER_EPS:g}"] = _checks(model, files)
    best = min(found, key=lambda eps: sum(float((ours - theirs).abs().max()) for _, ours, theirs, _ in found[eps]))
    return [(f"{name} (epsilon {best})", ours, theirs, allowed) for name, ours, theirs, allowed in found[best]]


def _checks(model: Any, files: Mapping[str, Path]) -> list[Check]:
    found = [("temperature", model.module.log_scale.detach().cpu(), torch.tensor(TEMPERATURE), ATOL)]
    for text, begins in TEXT_BEGINS.items():
        (feature,) = model.encode_text([text], normalize=False)
        found.append((f"text feature of {text}, begin", feature[: len(begins)], torch.tensor(begins), ATOL))
        ends = TEXT_ENDS.get(text, ())
        if ends:
            found.append((f"text feature of {text}, end", feature[-len(ends) :], torch.tensor(ends), ATOL))
    if "picture" in files:
        image = model.encode_image([str(files["picture"])], normalize=False)
        found.append(("image feature, begin", image[0, : len(IMAGE_BEGINS)], torch.tensor(IMAGE_BEGINS), ATOL))
        logits = model.logit_scale * unit(image) @ model.encode_text(list(CAPTIONS)).T
        found.append(("logits of two captions", logits[0], torch.tensor(LOGITS), ATOL))
    return found


@contextlib.contextmanager
def _pictures_of_port(model: Any) -> Iterator[None]:
    own = model.processor
    model.processor = replace(own, image=ImagePipeline.from_paddlenlp({}))
    try:
        yield
    finally:
        model.processor = own


@contextlib.contextmanager
def epsilon(text: nn.Module, eps: float) -> Iterator[None]:
    """The text tower with another epsilon in all its norms."""
    norms = [module for module in text.modules() if isinstance(module, nn.LayerNorm)]
    before = [norm.eps for norm in norms]
    try:
        for norm in norms:
            norm.eps = eps
        yield
    finally:
        for norm, own in zip(norms, before, strict=True):
            norm.eps = own
