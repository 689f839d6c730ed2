"""A narrow `learnable` file and the original's jsonl: every stage of both towers, what its scripts write and print."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.brivl.files import check_files
from tests.golden.kinds.brivl.towers import (
    check_maps,
    check_regions,
    check_sums,
    check_words,
    first_rows,
    image_tower,
    load,
    module_of,
    text_features,
    text_tower,
)
from tuwen import checkpoint, keymap
from tuwen.checkpoint import bare
from tuwen.evaluate.original.cal_xyb_retrieval import printed
from tuwen.model import Model
from tuwen.models import brivl
from tuwen.nn.heads import unit
from tuwen.processing.boxes import padded, prepare
from tuwen.processing.decode import size_of
from tuwen.types import Images, Texts


@torch.no_grad()
def check(case: Case, expected: Expected) -> None:
    model = load(case)
    lines = (case.path / case.settings["data"]).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    images, texts = inputs(case, expected, model, rows)
    check_maps(expected, image_tower(model), images.pixels)
    check_regions(expected, image_tower(model), images)
    check_words(expected, text_tower(model), texts)
    text = text_features(expected, "text.feature_l2", model, texts)
    expected.close("np_text", unit(text))
    expected.close("bua.text", unit(text))
    image = unit(module_of(model).encode_image(images))
    expected.close("np_img", image)
    check_application(expected, model, image, rows)
    check_without_boxes(expected, model, images.pixels, unit(text))
    first_rows(expected, "mom.image_feature_l2", unit(twin(case, model).encode_image(images)))
    expected.equal("cal_xyb_retrieval.stdout", printed(image.numpy(), unit(text).numpy()))
    expected.equal("trainable", None)
    check_files(case, expected, model)


def inputs(case: Case, expected: Expected, model: Model, rows: list[dict[str, Any]]) -> tuple[Images, Texts]:
    """Pictures with their boxes, padded to all places, and texts, of the rows."""
    paths = [case.path / row["image_id"] for row in rows]
    pixels = model.processor.images(paths).pixels
    check_sums(expected, "pixel_checksum", pixels)
    places, size = model.towers.config.boxes, pixels.shape[-1]
    found, real = prepare([row["bbox"] for row in rows], [size_of(path) for path in paths], size, places)
    boxes, mask = padded([own[one].numpy() for own, one in zip(found, real, strict=True)], places)
    expected.close("image_boxs", boxes)
    expected.equal("image_mask", mask.float())
    expected.equal("img_len", mask.sum(1, keepdim=True))
    texts = model.processor.texts([dict(row["sentences"])["sur_text"] for row in rows], model.processor.context_length)
    expected.equal("input_ids", texts.ids)
    expected.equal("text_mask", texts.mask.float())
    expected.equal("text_len", texts.mask.sum(1))
    return Images(pixels, None, boxes, mask), texts


def check_application(expected: Expected, model: Model, image: Tensor, rows: list[dict[str, Any]]) -> None:
    """The published application, which pads nothing: it fails with too few boxes, where the same picture works here."""
    least = model.towers.config.boxes - 1
    for number, (row, theirs) in enumerate(zip(rows, expected.value("bua.image"), strict=True)):
        expected.same(
            f"bua.image[{number}]", (len(row["bbox"]), len(row["bbox"]) >= least), (theirs["boxes"], theirs["ok"])
        )
        if theirs["ok"]:
            expected.close(f"bua.image.{number}", image[number : number + 1])
            expected.same(f"bua.image[{number}] shape", [1, image.shape[1]], theirs["shape"])
    expected.equal("bua.none", {"text": None})


def check_without_boxes(expected: Expected, model: Model, pixels: Tensor, text: Tensor) -> None:
    """The whole picture is the only box; texts in the order of their similarity."""
    features = unit(module_of(model).encode_image(Images(pixels)))
    expected.close("noboxes.feature_l2", features)
    order = torch.tensor(expected.value("noboxes.ranked_texts"))
    everyone = torch.arange(len(text)).expand_as(order)
    expected.compare("noboxes.ranked_texts all", order.sort(1).values, everyone, 0, 0)
    scores = (features @ text.T).gather(1, order)  # best first, but for scores too near to tell
    expected.compare(
        "noboxes.ranked_texts", scores, scores.sort(1, descending=True).values, expected.atol, expected.rtol
    )


def twin(case: Case, model: Model) -> brivl.BriVL:
    """The momentum encoders of the same file."""
    tensors = brivl.momentum(bare(checkpoint.read(case.path / case.settings["checkpoint"]).tensors))
    module = brivl.build(module_of(model).config)
    ours, _ = keymap.load(tensors, brivl.KEYS["original"], brivl.DROP, module.state_dict())
    module.load_state_dict(ours)
    return module.eval()
