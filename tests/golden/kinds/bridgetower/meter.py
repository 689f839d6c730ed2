"""METER, the baseline in the same repository: no bridges, one level."""

from __future__ import annotations

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.streams import (
    check_file,
    check_vectors_of_one_pass,
    length_of,
    loaded,
    match_logits,
    module_of,
)
from tuwen.losses import word_loss
from tuwen.types import Texts


def check(case: Case, expected: Expected) -> None:
    model = loaded(case)
    check_file(expected, case, model)
    module = module_of(model)
    texts = model.processor.texts(case.texts, length=length_of(case))
    images = model.processor.images(case.images)
    expected.equal("text_ids", texts.ids)
    expected.equal("text_masks", texts.mask.long())
    expected.close("pixel_values", images.pixels)
    with torch.inference_mode():
        fused = module(images, texts)
        assert fused.text is not None
        assert fused.image is not None
        expected.close("infer.text_feats", fused.text)
        expected.close("infer.image_feats", fused.image)
        check_vectors_of_one_pass(expected, "infer.cls_feats", model, images, texts)
        expected.close("itm_logits", match_logits(module, images, texts))
        masked = Texts(expected.tensor("text_ids_mlm"), texts.mask)
        logits = module.words(module(images, masked, last="text").text)
        expected.close("mlm_logits", logits)
        expected.close("mlm_loss", word_loss(logits, expected.tensor("text_labels_mlm")))
