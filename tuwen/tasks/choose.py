"""Which of several choices answers a question about a picture, or which is the reason for its answer?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tuwen import models
from tuwen.errors import UnsupportedTask, UsageError
from tuwen.processing.decode import decode
from tuwen.processing.patches import area_of, check_box, nearest_patches
from tuwen.processing.vcr import Choice, Names, batch, prepare
from tuwen.types import Images

if TYPE_CHECKING:
    from PIL import Image

    from tuwen.processing.vcr import Words
    from tuwen.types import Picture

TASKS = ("q2a", "qa2r")  # what published heads choose: the answer to a question, or the reason for an answer


def choose(
    model: Any,
    image: Picture,
    question: str | Words,
    choices: Sequence[str | Words],
    boxes: Sequence[Sequence[float]] | None = None,
    objects: Sequence[str] | None = None,
    answer: str | Words | None = None,
    mapping: str = "whole",
    names: Names | None = None,
    projected: Tensor | None = None,
) -> Tensor:
    """Probabilities over the choices (C,), float32 on the CPU; with an `answer` the choices are reasons for it.

    question, choices, answer: plain texts, or lists of words in which a list of numbers stands for objects, as in the
    annotations of VCR: ["Does", [0], "live", "here", "?"]; beyond `processing.vcr.LENGTH` ids together they are cut, as
    in the original. objects: the class of each, "person" or any other word; boxes: left,
    top, right, bottom of each in pixels of the picture, which is encoded once for all choices.
    mapping: which patches a box means. "whole" divides the picture from edge to edge, as the published models were
    used; "crop" takes the patches that really show it in the centre crop that the model sees. names: see
    `processing.vcr.Names`. projected: what `project` gives for the picture, where that is there already.

    InputError for an empty list of choices, a box outside the picture, an object that is not in the lists;
    UnsupportedTask for a model without the head, or whose head chooses the other thing.
    """
    check_form(model, answer is not None)
    if isinstance(choices, str):
        raise UsageError(f"choices is the text {choices[:40]!r}: pass a list of texts")
    if boxes is not None and len(boxes) != len(objects or ()):
        raise UsageError(f"there are {len(boxes)} boxes for {len(objects or ())} objects: each object needs its box")
    rows = prepare(
        model.processor.tokenizer,
        _words(question),
        [_words(choice) for choice in choices],
        objects or (),
        None if answer is None else _words(answer),
        names,
    )
    picture = decode(image, model.processor.image.max_pixels)
    patches = None if boxes is None else box_patches(model, picture, boxes, rows, mapping)
    return choice_logits(model, picture, rows, patches, projected).softmax(0)


def check_form(model: Any, reasons: bool) -> None:
    """UnsupportedTask unless the model has the head, and for choosing what is asked for: answers, or reasons."""
    model.need("choose")
    wanted, found = TASKS[reasons], model.module.config.choose
    if wanted != found:
        able = [name for name in models.able("choose") if name.endswith(wanted)]
        needs = "reasons for an answer" if reasons else "answers: it chooses reasons and needs answer="
        raise UnsupportedTask(f"this model's head is {found}, it cannot choose {needs}; these can: {', '.join(able)}")


def box_patches(
    model: Any, picture: Image.Image, boxes: Sequence[Sequence[float]], choices: Sequence[Choice], mapping: str
) -> list[list[int]]:
    """For each object the numbers of its patches; none for objects that no choice speaks of.

    InputError for a box that is outside the picture, or none at all.
    """
    area = area_of(model.processor.image, picture.width, picture.height, mapping)
    sizes = model.module.config.image
    count = sizes.image_size // sizes.patch_size
    meant = {number for choice in choices for number in choice.objects}
    for number in meant:
        check_box(boxes[number], picture.width, picture.height, number)
    return [nearest_patches(box, area, count) if number in meant else [] for number, box in enumerate(boxes)]


@torch.inference_mode()
def choice_logits(
    model: Any,
    image: Picture,
    choices: Sequence[Choice],
    patches: Sequence[Sequence[int]] | None,
    projected: Tensor | None = None,
) -> Tensor:
    """(C,) float32 on the CPU; patches: those of each object, None without boxes: its names are then plain words.

    projected: of `project`, which encodes the picture; computed here if None.
    """
    module = model.module
    if patches is None:
        choices = [Choice(choice.ids, [], [], []) for choice in choices]
    texts, boxes = batch(choices, patches or [], model.processor.tokenizer.pad_id)
    seen = project(model, image) if projected is None else projected
    texts = texts.to(model.device)
    text, picture, mask = module.with_boxes(
        module.project_text(texts),
        seen.expand(len(choices), -1, -1),  # (C, 1 + P, D), encoded once
        boxes,
    )
    sides = module.fusion.image_side(picture, mask), module.fusion.text_side(text, texts.mask)
    logits: Tensor = module.heads["choose"](module.fusion(*sides, last="first").pooled)  # (C, 1)
    return logits[:, 0].float().cpu()


@torch.inference_mode()
def project(model: Any, image: Picture) -> Tensor:
    """(1, 1 + P, D): a picture as far as it goes without questions, for any number of them."""
    pixels = model.processor.images([image]).pixels.to(model.device, model.dtype)
    seen: Tensor = model.module.project_image(Images(pixels))
    return seen


def _words(text: str | Words) -> Words:
    return text.split() if isinstance(text, str) else text
