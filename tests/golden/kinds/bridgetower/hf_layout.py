"""A folder laid out like the published large ones: old keys and files, and a crop to a size that nothing divides."""

from __future__ import annotations

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.streams import check_file, loaded, match_matrix, module_of, one, pixel_mask
from tests.golden.kinds.bridgetower.words import check_decoded


def check(case: Case, expected: Expected) -> None:
    model = loaded(case)
    check_file(expected, case, model)
    module, texts = module_of(model), model.processor.texts(case.texts)
    images = [model.processor.images([path]) for path in case.images]
    for number, picture in enumerate(images):
        expected.close(f"pixel_values.{number}", picture.pixels)
        expected.equal(f"pixel_mask.{number}", pixel_mask(picture))
    asked = model.processor.texts(case.settings["mask_texts"])
    found = []
    with torch.inference_mode():
        for number, picture in enumerate(images):
            words = one(asked, number)
            logits = module.words(module(picture, words, last="text").text)
            expected.equal(f"mlm.input_ids.{number}", words.ids)
            expected.close(f"mlm.logits.{number}", logits)
            found.append((number, logits[0]))
        pairs = match_matrix(module, images, [one(texts, row) for row in range(len(case.texts))])
        expected.close("itm.matrix", pairs)
    names = [path.name for path in case.images]
    check_decoded(expected, model, case.settings["mask_texts"], names, found)
    ours = model.match(case.images, case.texts)
    expected.compare("itm.matrix of match", ours.T, pairs.softmax(-1)[..., 1], expected.atol, expected.rtol)
