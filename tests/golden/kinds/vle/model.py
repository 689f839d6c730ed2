"""The bare model: every stage of one or more runs, with other lengths, given masks, or objects."""

from __future__ import annotations

from typing import Any

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.vle.stages import check_file, check_inputs, check_stages, loaded, module_of, pooled_of
from tuwen.loading import load
from tuwen.model import Model
from tuwen.types import Boxes, Images, Texts

ORDER = ["pooler_output", "text_embeds", "image_embeds"]  # of the published model's outputs as a tuple


def check(case: Case, expected: Expected) -> None:
    model = loaded(case)
    check_file(expected, case, model)
    for run in case.settings["runs"]:
        check_run(case, expected, model, run)


def check_run(case: Case, expected: Expected, model: Model, run: dict[str, Any]) -> None:
    start = f"{run['name']}."
    options = run.get("processor_kwargs", {})
    texts = model.processor.texts(run["texts"], length=options.get("max_length"))
    if "attention_mask" in run:
        texts = Texts(texts.ids, torch.tensor(run["attention_mask"]).bool())
    images = model.processor.images([case.path / "images" / name for name in run["images"]])
    check_inputs(expected, texts, images, start)
    with torch.inference_mode():
        check_stages(expected, model, images, texts, start)
    expected.equal(run["name"], {"tuple_order": ORDER, "tuple_matches": [True] * len(ORDER)})


def check_boxes(case: Case, expected: Expected) -> None:
    """Objects of different number beside the pictures, each with a token type of its own."""
    model = loaded(case)
    check_file(expected, case, model)
    texts, images = model.processor.texts(case.texts), model.processor.images(case.images)
    settings = case.settings
    boxes = Boxes(settings["patch_ids"], settings["image_token_type_ids"], settings["text_token_type_ids"])
    check_inputs(expected, texts, images)
    with torch.inference_mode():
        check_stages(expected, model, images, texts, boxes=boxes)


def check_sizes(case: Case, expected: Expected) -> None:
    """The same checkpoint for other picture sizes: its position table, and answers to one question."""
    for size in case.settings["new_sizes"]:
        module = module_of(load(case.path / "checkpoint", device="cpu", image_size=size))
        positions = module.image.positions
        expected.close(f"{size}.position_embedding", positions)
        expected.equal(f"{size}.position_ids", torch.arange(len(positions))[None])
        ids = expected.tensor(f"{size}.input_ids")
        images, texts = Images(expected.tensor(f"{size}.pixel_values")), Texts(ids, torch.ones_like(ids).bool())
        with torch.inference_mode():
            pooled = pooled_of(module(images, texts, last="first"))
            expected.close(f"{size}.logits", module.heads["answer"](pooled))
