"""A Hugging Face folder: ids, pixels, every hidden state, the loss, and the original's file of the same weights."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.chinese_clip.towers import (
    check_counts,
    check_image_stages,
    check_logits,
    check_loss,
    check_text_stages,
    check_written_back,
    module_of,
)
from tuwen import checkpoint, keymap
from tuwen.loading import load
from tuwen.model import Model
from tuwen.models import chinese_clip
from tuwen.nn.heads import unit
from tuwen.types import Images


def check(case: Case, expected: Expected) -> None:
    folder = case.path / case.settings["checkpoint"]
    model = load(folder, device="cpu")
    length = expected.tensor("input_ids").shape[1]
    model.processor = replace(model.processor, context_length=length)
    module = module_of(model)
    texts = model.processor.texts(case.texts, length)
    pixels = model.processor.images(case.images).pixels
    expected.equal("input_ids", texts.ids)
    expected.equal("attention_mask", texts.mask.long())
    expected.equal("token_type_ids", torch.zeros_like(texts.ids))  # every token is of the first segment
    expected.close("pixel_values", pixels)
    with torch.inference_mode():
        check_image_stages(expected, model, pixels)
        # transformers 5 takes the word row of [PAD] for zeros, whatever the file says; no real token ever sees it.
        check_text_stages(expected, model, texts, padding=False)
        image, text = module.encode_image(Images(pixels)), module.encode_text(texts)
        expected.close("image_embeds", unit(image))
        expected.close("text_embeds", unit(text))
        check_logits(expected, image, text, module.scale())
        check_padded(case, expected, model)
        check_loss(expected, model, pixels, texts)
    expected.close("image_features", model.encode_image(case.images, normalize=False), "of encode_image")
    expected.close("text_features", model.encode_text(case.texts, normalize=False), "of encode_text")
    check_counts(expected, model)
    names = keymap.store(model.module.state_dict(), chinese_clip.KEYS["transformers"])
    expected.equal("state_dict_names", shapes(names))
    check_written_back(expected, checkpoint.find_weights(folder) or folder, model)
    if case.settings.get("twin_checkpoint"):
        check_twin(case, expected, model, pixels)


def check_padded(case: Case, expected: Expected, model: Model) -> None:
    """`pad52.` and the like: the texts padded to a length of their own."""
    for key in expected.keys("pad"):
        start, _, what = key.partition(".")
        texts = model.processor.texts(case.texts, int(start.removeprefix("pad")))
        if what == "input_ids":
            expected.equal(key, texts.ids)
        elif what == "text_features":
            expected.close(key, module_of(model).encode_text(texts))


def check_twin(case: Case, expected: Expected, model: Model, pixels: Tensor) -> None:
    """The same weights as a file of the original: the same tensors, the same features."""
    folder, path = case.path / case.settings["checkpoint"], case.path / case.settings["twin_checkpoint"]
    twin = load(path, tokenizer=folder / "vocab.txt", config=folder / "config.json", device="cpu")
    twin.processor = replace(twin.processor, context_length=model.processor.context_length)
    with torch.inference_mode():
        image, text = module_of(twin).encode_image(Images(pixels)), twin.encode_text(case.texts, normalize=False)
        for start in ("", "twin."):
            expected.close(f"{start}image_features", image, "of the twin")
            expected.close(f"{start}text_features", text, "of the twin")
    largest = max(expected.value("twin.max_abs_diff").values())
    expected.same("twin.max_abs_diff is within the tolerance", largest <= expected.atol, True)
    form = chinese_clip.original_form(module_of(model).config)
    original = keymap.store(model.module.state_dict(), chinese_clip.KEYS[form])
    expected.equal("twin.state_dict_names", shapes(original))
    theirs = checkpoint.strip_prefix(checkpoint.read(path).tensors)
    expected.same(
        "the folder written as the original's file",
        checkpoint.digest(original),
        checkpoint.digest({name: theirs[name] for name in original}),
    )
    check_written_back(expected, path, twin)


def shapes(tensors: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in tensors.items()}
