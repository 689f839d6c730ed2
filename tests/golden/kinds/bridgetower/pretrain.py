"""The original's pretraining checkpoint: both losses, towers alone, all pairs, and pictures of another size."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.streams import (
    check_file,
    check_gradients,
    check_vectors_of_one_pass,
    length_of,
    loaded,
    match_logits,
    match_matrix,
    module_of,
    rows,
)
from tuwen.losses import match_loss, word_loss
from tuwen.model import Model
from tuwen.types import Images, Texts


def check(case: Case, expected: Expected) -> None:
    model = loaded(case)
    check_file(expected, case, model)
    count = len(expected.tensor("text_ids"))
    texts = model.processor.texts(case.texts[:count], length=length_of(case))
    images = model.processor.images(case.images[:count])
    expected.equal("text_ids", texts.ids)
    expected.equal("text_masks", texts.mask.long())
    expected.close("pixel_values", images.pixels)
    with torch.inference_mode():
        check_fused(expected, model, images, texts)
        check_each_side(expected, model, images, texts)
        check_towers(expected, model, images, texts)
        check_matrix(case, expected, model)
        check_size(case, expected)
    words, match = check_words(expected, model, images, texts), check_match(expected, model, images, texts)
    expected.close("total_loss", words + match)
    check_gradients(expected, "grad.", case, model, words + match)


def check_fused(expected: Expected, model: Model, images: Images, texts: Texts) -> None:
    fused = module_of(model)(images, texts)
    assert fused.text is not None
    assert fused.image is not None
    expected.close("infer.text_feats", fused.text)
    expected.close("infer.image_feats", fused.image)
    check_vectors_of_one_pass(expected, "infer.cls_feats", model, images, texts)


def check_each_side(expected: Expected, model: Model, images: Images, texts: Texts) -> None:
    """Transformed levels of each side alone (K first, without token types), and sides that meet several others."""
    module, levels = module_of(model), module_of(model).config.fusion.levels
    states = module.text.states(texts)[-levels:]
    expected.close("uni.text_transformed", torch.stack([module.text_transform(state) for state in states]))
    states = [module.image.norm_out(state) for state in module.image.states(images.pixels)[-levels:]]
    expected.close("uni.image_transformed", torch.stack([module.image_transform(state) for state in states]))
    theirs = expected.tensor("uni.extended_text_mask")  # (B, 1, 1, T), 0 where real
    expected.same("uni.extended_text_mask", (theirs[:, 0, 0] == 0).tolist(), texts.mask.tolist())
    image_side = module.fusion.image_side(module.image_levels(images))
    text_side = module.fusion.text_side(module.text_levels(texts), texts.mask)
    every, first = torch.arange(len(texts.ids)), torch.zeros(len(texts.ids), dtype=torch.long)
    for key, pictures, sentences in (
        ("fusion.cls_feats", every, every),
        ("fusion.image0_with_all_texts.cls_feats", first, every),
        ("fusion.text0_with_all_images.cls_feats", every, first),
    ):
        pooled = module.fusion(image_side[pictures], text_side[sentences], last="first").pooled
        assert pooled is not None
        expected.close(key, pooled)


def check_towers(expected: Expected, model: Model, images: Images, texts: Texts) -> None:
    module = module_of(model)
    expected.close("unimodal.roberta_last", module.text.states(texts)[-1])
    expected.close("unimodal.vit_cls", module.image(images.pixels))
    states = module.image.states(images.pixels)[1:]
    expected.close("vit.layers", torch.stack([module.image.norm_out(state) for state in states]))


def check_matrix(case: Case, expected: Expected, model: Model) -> None:
    """Every text with every picture, and the probabilities that people ask for."""
    texts = model.processor.texts(case.texts, length=length_of(case))
    images = [model.processor.images([path]) for path in case.images]
    pairs = match_matrix(module_of(model), images, [rows(texts, [row]) for row in range(len(case.texts))])
    expected.close("itm.matrix", pairs)
    probability = expected.tensor("itm.matrix").softmax(-1)[..., 1]
    expected.compare(
        "itm.matrix of match", model.match(case.images, case.texts).T, probability, expected.atol, expected.rtol
    )


def check_size(case: Case, expected: Expected) -> None:
    """The same file for pictures of another size."""
    model = loaded(case, image_size=expected.value("resized_to"))
    count = len(expected.tensor("resized.cls_feats"))
    texts = model.processor.texts(case.texts[:count], length=length_of(case))
    expected.close("resized.positional_embedding", module_of(model).image.positions)
    check_vectors_of_one_pass(expected, "resized.cls_feats", model, model.processor.images(case.images[:count]), texts)


def check_words(expected: Expected, model: Model, images: Images, texts: Texts) -> Tensor:
    """-> the loss."""
    masked = Texts(expected.tensor("text_ids_mlm"), texts.mask)
    labels = expected.tensor("text_labels_mlm")
    module = module_of(model)
    logits = module.words(module(images, masked, last="text").text)
    expected.close("mlm_logits", logits)
    loss = word_loss(logits, labels)
    expected.close("mlm_loss", loss)
    right = (logits.argmax(-1) == labels)[labels != -100]
    expected.close_value("mlm_accuracy", right.float().mean().item())
    return loss


def check_match(expected: Expected, model: Model, images: Images, texts: Texts) -> Tensor:
    """Texts with their own picture where the label is 1, and else with that of the reversed batch -> the loss."""
    labels = expected.tensor("itm_labels").long()
    shown = torch.where(labels[:, None, None, None] == 1, images.pixels, images.pixels.flip(0))
    logits = match_logits(module_of(model), Images(shown), texts)
    expected.close("itm_logits", logits)
    loss = match_loss(logits, labels)
    expected.close("itm_loss", loss)
    expected.close_value("itm_accuracy", (logits.argmax(-1) == labels).float().mean().item())
    return loss
