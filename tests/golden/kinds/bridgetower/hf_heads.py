"""A folder of transformers with every head: model, masked words, matching, contrastive vectors, losses, gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.streams import (
    check_file,
    check_gradients,
    check_hidden,
    check_inputs,
    check_vectors_of_one_pass,
    loaded,
    match_logits,
    match_matrix,
    module_of,
    one,
    rows,
)
from tests.golden.kinds.bridgetower.words import check_decoded
from tuwen.losses import contrast_loss_three, match_loss, word_loss
from tuwen.model import Model
from tuwen.nn.heads import unit
from tuwen.types import Images, Texts


def check(case: Case, expected: Expected) -> None:
    model = loaded(case)
    check_file(expected, case, model)
    count = len(expected.tensor("batch.input_ids"))
    texts, images = model.processor.texts(case.texts[:count]), model.processor.images(case.images[:count])
    with torch.inference_mode():
        check_one(case, expected, model)
        check_batch(expected, model, images, texts)
        check_matrix(case, expected, model)
    check_contrast(case, expected, model, images, texts)
    check_match(case, expected, model, images, texts)
    check_words(case, expected, model)


def check_one(case: Case, expected: Expected, model: Model) -> None:
    texts, images = model.processor.texts(case.texts[:1]), model.processor.images(case.images[:1])
    check_inputs(expected, "single.", texts, images)
    check_vectors_of_one_pass(expected, "single.pooler_output", model, images, texts)


def check_batch(expected: Expected, model: Model, images: Images, texts: Texts) -> None:
    module = module_of(model)
    check_inputs(expected, "batch.", texts, images)
    fused = module(images, texts)
    assert fused.text is not None
    assert fused.image is not None
    expected.close("batch.text_features", fused.text)
    expected.close("batch.image_features", fused.image)
    check_vectors_of_one_pass(expected, "batch.pooler_output", model, images, texts)
    expected.close("batch.image_embeds", module.image.states(images.pixels)[0])
    # The same states given instead of pixels.
    check_vectors_of_one_pass(expected, "batch.from_image_embeds.pooler_output", model, images, texts)
    everything = Texts(texts.ids, torch.ones_like(texts.mask))
    check_vectors_of_one_pass(expected, "batch.no_attention_mask.pooler_output", model, images, everything)
    check_hidden(expected, model, images, texts)


def check_matrix(case: Case, expected: Expected, model: Model) -> None:
    """Every text with every picture; texts alone and padded to the longest."""
    module, texts = module_of(model), model.processor.texts(case.texts)
    images = [model.processor.images([path]) for path in case.images]
    alone = match_matrix(module, images, [one(texts, row) for row in range(len(case.texts))])
    expected.close("itm.matrix", alone)
    expected.close(
        "itm.matrix_padded_text", match_matrix(module, images, [rows(texts, [row]) for row in range(len(case.texts))])
    )
    probability = alone.softmax(-1)[..., 1]  # (texts, images)
    expected.close("itm.match_probability", probability)
    expected.close("itm.match_probability", model.match(case.images, case.texts).T, "of match")
    score = alone[..., 1]  # the recorded orders are those of the score, not of the probability
    expected.equal(
        "itm_rank_images_for_text",
        [[case.images[place].name for place in row.argsort(descending=True)] for row in score],
    )
    expected.equal(
        "itm_rank_texts_for_image",
        [[case.texts[place] for place in column.argsort(descending=True)] for column in score.T],
    )


def check_contrast(case: Case, expected: Expected, model: Model, images: Images, texts: Texts) -> None:
    module = module_of(model)
    text, image, cross = vectors(model, images, texts)
    expected.close("itc.text_embeds", text)
    expected.close("itc.image_embeds", image)
    expected.close("itc.cross_embeds", cross)
    expected.close("itc.logits", torch.stack([text, image, cross], dim=1))  # (B, 3, E)
    expected.close("itc.logit_scale_exp", module.scale())
    loss = contrast_loss_three(text, image, cross, module.scale())
    expected.close("itc.loss", loss)
    check_gradients(expected, "grad.itc.", case, model, loss)
    reverse = range(len(texts.ids) - 1, -1, -1)
    swapped = contrast_loss_three(*vectors(model, images, rows(texts, list(reverse))), module.scale())
    expected.close("itc.swapped_loss", swapped)
    count = len(images.pixels)
    expected.close("itc.text_embeds", model.encode_text(case.texts[:count]), "of encode_text")
    expected.close("itc.image_embeds", model.encode_image(case.images[:count]), "of encode_image")


def vectors(model: Model, images: Images, texts: Texts) -> tuple[Tensor, Tensor, Tensor]:
    """Of text, picture and pair, (B, E) each, unit length."""
    module = module_of(model)
    pooled = module(images, texts).pooled
    assert pooled is not None
    return unit(module.encode_text(texts)), unit(module.encode_image(images)), unit(module.encode_pair(pooled))


def check_match(case: Case, expected: Expected, model: Model, images: Images, texts: Texts) -> None:
    logits = match_logits(module_of(model), images, texts)
    expected.close("itm.logits", logits)
    loss = match_loss(logits, expected.tensor("itm.labels"))
    expected.close("itm.loss", loss)
    check_gradients(expected, "grad.itm.", case, model, loss)


def check_words(case: Case, expected: Expected, model: Model) -> None:
    module, asked = module_of(model), case.settings["mask_texts"]
    texts, images = model.processor.texts(asked), model.processor.images(case.images[: len(asked)])
    expected.equal("mlm.input_ids", texts.ids)
    expected.equal("mlm.attention_mask", texts.mask.long())
    logits = {last: module.words(module(images, texts, last=last).text) for last in ("all", "text")}
    for last, found in logits.items():
        expected.close("mlm.logits", found, f"with last={last!r}")
    expected.equal("mlm.argmax", logits["all"].argmax(-1))
    loss = word_loss(logits["text"], expected.tensor("mlm.labels"))
    expected.close("mlm.loss", loss)
    check_gradients(expected, "grad.mlm.", case, model, loss)
    at_masks = logits["all"][texts.ids == model.processor.tokenizer.mask_id]  # (masks, V)
    best = at_masks.topk(expected.tensor("mlm.mask_top5.ids").shape[1])
    expected.equal("mlm.mask_top5.ids", best.indices)
    expected.close("mlm.mask_top5.logits", best.values)
    names = [path.name for path in case.images]
    pairs = [(row, names.index(found["image"])) for row, found in enumerate(expected.value("mlm_decode"))]
    alone = [
        module.words(module(model.processor.images([case.images[place]]), one(texts, row)).text) for row, place in pairs
    ]
    check_decoded(
        expected, model, asked, names, [(place, found[0]) for (_, place), found in zip(pairs, alone, strict=True)]
    )
    check_fill(case, expected, model, at_masks)


def check_fill(case: Case, expected: Expected, model: Model, at_masks: Tensor) -> None:
    """The five best words at every mask, from the task that people call."""
    tokenizer = model.processor.tokenizer
    ids = expected.tensor("mlm.mask_top5.ids")
    words, probabilities = [], []
    for text, image in zip(case.settings["mask_texts"], case.images, strict=False):
        for mask in model.fill(image, text, top_k=ids.shape[1]):
            words.append([word.text for word in mask])
            probabilities.append([word.probability for word in mask])
    expected.same(
        "mlm.mask_top5 of fill", words, [[tokenizer.decode([place]).strip() for place in row] for row in ids.tolist()]
    )
    expected.compare(
        "probabilities of fill",
        torch.tensor(probabilities),
        at_masks.softmax(-1).gather(-1, ids),
        expected.atol,
        expected.rtol,
    )
