"""A bare folder of transformers with every kind of bridge: pixels are given, every state is compared."""

from __future__ import annotations

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.streams import (
    check_file,
    check_hidden,
    check_vectors_of_one_pass,
    loaded,
    module_of,
)
from tuwen.types import Images


def check(case: Case, expected: Expected) -> None:
    model = loaded(case)
    check_file(expected, case, model)
    texts, images = model.processor.texts(case.texts), Images(expected.tensor("pixel_values"))
    expected.equal("input_ids", texts.ids)
    expected.equal("attention_mask", texts.mask.long())
    with torch.inference_mode():
        fused = module_of(model)(images, texts)
        assert fused.text is not None
        assert fused.image is not None
        expected.close("text_features", fused.text)
        expected.close("image_features", fused.image)
        check_vectors_of_one_pass(expected, "pooler_output", model, images, texts)
        check_hidden(expected, model, images, texts)
