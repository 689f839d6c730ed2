"""The file of the text tower alone."""

from __future__ import annotations

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.brivl.towers import check_words, load, module_of, text_features, text_tower
from tuwen.errors import UnsupportedTask
from tuwen.types import Images


@torch.no_grad()
def check(case: Case, expected: Expected) -> None:
    model = load(case)
    texts = model.processor.texts(case.texts, model.processor.context_length)
    expected.equal("input_ids", texts.ids)
    check_words(expected, text_tower(model), texts)
    text_features(expected, "text_features", model, texts)
    expected.close("text_features", model.encode_text(case.texts), "of the model")
    expected.close("text.feature", model.encode_text(case.texts, normalize=False), "of the model")
    expected.equal("shape_of_one", list(model.encode_text(case.texts[0]).shape))
    try:
        module_of(model).encode_image(Images(torch.zeros(1, 3, 64, 64)))
    except UnsupportedTask:
        return
    expected.differences.append("a file of the text tower alone encodes pictures")
