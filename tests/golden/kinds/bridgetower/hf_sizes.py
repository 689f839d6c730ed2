"""Pictures of mixed sizes: prepared without a crop, in a padded batch and alone, with interpolated positions."""

from __future__ import annotations

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.streams import (
    check_file,
    check_inputs,
    check_vectors_of_one_pass,
    loaded,
    match_logits,
    module_of,
    one,
)


def check(case: Case, expected: Expected) -> None:
    model = loaded(case, image_size="any")
    check_file(expected, case, model)
    module, texts = module_of(model), model.processor.texts(case.texts)
    images = model.processor.images(case.images)
    check_inputs(expected, "batch.", texts, images)
    with torch.inference_mode():
        fused = module(images, texts)
        assert fused.text is not None
        assert fused.image is not None
        assert fused.pooled is not None
        expected.close("batch.text_features", fused.text)
        expected.close("batch.image_features", fused.image)
        check_vectors_of_one_pass(expected, "batch.pooler_output", model, images, texts)
        expected.close("batch.itm_logits", module.heads["match"](fused.pooled))
        sizes = []
        for number, path in enumerate(case.images):
            alone = model.processor.images([path])
            sizes.append(list(alone.pixels.shape[-2:]))
            expected.close(f"alone.{number}.pixel_values", alone.pixels)
            expected.close(f"alone.{number}.itm_logits", match_logits(module, alone, one(texts, number)))
    expected.equal("resized", sizes)
    for key in expected.keys("pos."):
        height, width = map(int, key.removeprefix("pos.").split("x"))
        expected.close(key, module.image.positions_of(height, width)[None])
