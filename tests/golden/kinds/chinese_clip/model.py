"""A `.pt` file of the original with its configs: every stage, the loss and its gradients, rounded weights."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.golden.case import Case, Expected
from tests.golden.kinds.chinese_clip.towers import (
    check_counts,
    check_gradients,
    check_image_stages,
    check_logits,
    check_loss,
    check_text_stages,
    check_written_back,
    module_of,
)
from tuwen.loading import load
from tuwen.model import Model
from tuwen.nn.heads import unit
from tuwen.types import Images


def check(case: Case, expected: Expected) -> None:
    model = loaded(case, "exact")
    module = module_of(model)
    texts = model.processor.texts(case.texts, case.settings["context_length"])
    pixels = model.processor.images(case.images).pixels
    expected.equal("input_ids", texts.ids)
    expected.equal("attention_mask", texts.mask.long())
    expected.close("pixel_values", pixels)
    with torch.inference_mode():
        check_image_stages(expected, model, pixels)
        check_text_stages(expected, model, texts)
        image, text = module.encode_image(Images(pixels)), module.encode_text(texts)
        expected.close("image_features_norm", unit(image))
        expected.close("text_features_norm", unit(text))
        expected.close("logit_scale_exp", module.scale())
        check_logits(expected, image, text, module.scale())
    check_public_calls(case, expected, model)
    check_short(case, expected, model)
    check_single(case, expected, model)
    check_rounded(case, expected)
    check_counts(expected, model)
    check_gradients(expected, model, check_loss(expected, model, pixels, texts))
    check_written_back(expected, case.path / case.settings["checkpoint"], model)


def loaded(case: Case, rounding: str) -> Model:
    path = case.path / case.settings["checkpoint"]
    config, vocabulary = case.path / "model_configs", case.path / "vocab.txt"
    model = load(path, tokenizer=vocabulary, config=config, device="cpu", rounding=rounding)
    model.processor = replace(model.processor, context_length=case.settings["context_length"])
    return model


def check_public_calls(case: Case, expected: Expected, model: Model) -> None:
    expected.close("image_features", model.encode_image(case.images, normalize=False), "of encode_image")
    expected.close("image_features_norm", model.encode_image(case.images, batch_size=2), "of encode_image")
    expected.close("text_features", model.encode_text(case.texts, normalize=False), "of encode_text")
    expected.close("text_features_norm", model.encode_text(case.texts, batch_size=2), "of encode_text")
    logits = model.logit_scale * model.similarity(case.images, case.texts)
    expected.close("logits_per_image", logits, "of similarity")


def check_short(case: Case, expected: Expected, model: Model) -> None:
    """The same texts cut to fewer tokens."""
    texts = model.processor.texts(case.texts, case.settings["short_context_length"])
    expected.equal("short.input_ids", texts.ids)
    with torch.inference_mode():
        expected.close("short.text_features", module_of(model).encode_text(texts))


def check_single(case: Case, expected: Expected, model: Model) -> None:
    """Batches of one: `single.image_features_3` belongs to image 3."""
    for key in expected.keys("single.image_features_"):
        number = int(key.rpartition("_")[2])
        expected.close(key, model.encode_image(case.images[number], normalize=False))
    for key in expected.keys("single.text_features_"):
        number = int(key.rpartition("_")[2])
        expected.close(key, model.encode_text(case.texts[number], normalize=False))


def check_rounded(case: Case, expected: Expected) -> None:
    """What `load_from_name` gives on a CPU: weights rounded to half precision, computed in float32."""
    model = loaded(case, "half")
    image, text = model.encode_image(case.images, normalize=False), model.encode_text(case.texts, normalize=False)
    logits = model.logit_scale * unit(image) @ unit(text).T
    expected.close("load_from_name.image_features", image)
    expected.close("load_from_name.text_features", text)
    expected.close("load_from_name.logits_per_image", logits)
    kinds = {str(parameter.dtype) for parameter in model.module.parameters()}
    expected.same("load_from_name.param_dtype", kinds, {expected.value("load_from_name.param_dtype")})
    for tower, ours in (("image", image), ("text", text)):
        differs = (ours - expected.tensor(f"{tower}_features")).abs().max()
        theirs = torch.tensor(expected.value("load_from_name.max_abs_diff_to_exact")[tower])
        # A difference of two numbers, each within the tolerance.
        expected.compare(
            f"load_from_name.max_abs_diff_to_exact {tower}", differs, theirs, 4 * expected.atol, 2 * expected.rtol
        )
