"""A file in half precision with boxes on a grid: features of pictures, and of texts padded to several lengths."""

from __future__ import annotations

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.brivl.files import check_lists
from tests.golden.kinds.brivl.towers import (
    check_maps,
    check_regions,
    image_tower,
    load,
    module_of,
    picture_files,
    text_features,
)
from tuwen.nn.heads import unit
from tuwen.types import Images


@torch.no_grad()
def check(case: Case, expected: Expected) -> None:
    check_lists(case, expected)
    shown = {}
    for length in case.settings["max_text_len"]:
        model = load(case, GRID=True, MAX_TEXT_LEN=length)
        texts = model.processor.texts([text.strip() for text in case.texts], length)
        expected.equal(f"input_ids.{length}", texts.ids)
        expected.equal(f"text_len.{length}", texts.mask.sum(1))
        text = unit(text_features(expected, f"text_features.{length}", model, texts))
        image = model.encode_image(picture_files(case))
        expected.close("image_features", image, f"beside texts of {length}")
        expected.close(f"similarity.{length}", image @ text.T)
        shown[str(length)] = f"Loading the pre-trained model...\nDone\n{(image @ text.T).shape}\n"
    expected.equal("stdout", shown)
    tower = image_tower(model)
    images = Images(model.processor.images(picture_files(case)).pixels)
    boxes, _ = tower.boxes_of(images)
    expected.close("image_boxs", boxes[0])
    expected.equal("box_dtype", str(boxes.dtype))
    check_maps(expected, tower, images.pixels)
    check_regions(expected, tower, images)
    expected.close("image_features", unit(module_of(model).encode_image(images)), "of the tower")
