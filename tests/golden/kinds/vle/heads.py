"""The heads: logits, losses and gradients, and what the pipelines give for the same pictures and texts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.golden.case import Case, Expected
from tests.golden.kinds.vle.heat import check_heat
from tests.golden.kinds.vle.stages import check_file, check_gradients, check_inputs, loaded, module_of, pooled_of
from tuwen.losses import answer_loss, match_loss, word_loss
from tuwen.model import Model
from tuwen.models.vle.towers import Words
from tuwen.tasks.answer import Answer
from tuwen.types import Images, Texts


def prepared(case: Case, expected: Expected) -> tuple[Model, Images, Texts]:
    model = loaded(case)
    check_file(expected, case, model)
    texts, images = model.processor.texts(case.texts), model.processor.images(case.images)
    check_inputs(expected, texts, images)
    return model, images, texts


# -- questions -------------------------------------------------------------------------------------------------------


def check_answers(case: Case, expected: Expected) -> None:
    model, images, texts = prepared(case, expected)
    module = module_of(model)
    pooled = pooled_of(module(images, texts))
    logits = module.heads["answer"](pooled)
    expected.close("pooler_output", pooled)
    expected.close("logits", logits)
    expected.close("probabilities", logits.softmax(-1))
    targets = torch.zeros_like(logits)
    for row, (labels, scores) in enumerate(zip(case.settings["labels"], case.settings["scores"], strict=True)):
        for label, score in zip(labels, scores, strict=True):
            targets[row, label] = score
    loss = answer_loss(logits, targets)
    expected.close("loss", loss)
    check_gradients(expected, model, loss)
    expected.close_value("pipeline", [asked(case, model, call) for call in case.settings["pipeline_calls"]])


def asked(case: Case, model: Model, call: dict[str, Any]) -> list[Any]:
    """What a call of the published pipeline gives: best first; for a list of inputs a list of these."""
    top_k = 1 if call["top_k"] is None else call["top_k"]
    found = [
        described(model.answer(case.path / "images" / image, text, top_k=top_k)[0])
        for image, text in zip(call["images"], call["texts"], strict=True)
    ]
    together = model.answer([case.path / "images" / image for image in call["images"]], call["texts"], top_k=top_k)
    for one, other in zip(found, together, strict=True):
        assert [answer["answer"] for answer in one] == [answer.text for answer in other]
    return found if call["form"] == "list" or len(found) > 1 else found[0]


def described(answers: list[Answer]) -> list[dict[str, Any]]:
    return [{"score": answer.probability, "answer": answer.text} for answer in answers]


# -- matching --------------------------------------------------------------------------------------------------------


def check_match(case: Case, expected: Expected) -> None:
    model, images, texts = prepared(case, expected)
    module = module_of(model)
    logits = module.heads["match"](pooled_of(module(images, texts)))
    expected.close("logits", logits)
    loss = match_loss(logits, torch.tensor(case.settings["labels"]))
    expected.close("loss", loss)
    check_gradients(expected, model, loss)
    found = [judged(model, image, text) for image, text in zip(case.images, case.texts, strict=True)]
    expected.close_value("pipeline_list", found)
    for key in ("pipeline_keywords", "pipeline_dict"):  # calls with one of the pairs
        theirs = expected.value(key)
        expected.close_value(key, min(found, key=lambda ours: abs(ours["score"][0] - theirs["score"][0])))


def judged(model: Model, image: Any, text: str) -> dict[str, Any]:
    probability = float(model.match(image, text)[0, 0])
    return {"score": [1 - probability, probability], "match": str(probability > 0.5)}


# -- patches ---------------------------------------------------------------------------------------------------------


def check_patches(case: Case, expected: Expected) -> None:
    model, images, texts = prepared(case, expected)
    module = module_of(model)
    states = module(images, texts).image
    assert states is not None
    logits = module.heads["ground"](states[:, 1:])  # (B, P, 2)
    expected.close("logits", logits)
    only_image = module(images, texts, last="image").image
    assert only_image is not None
    expected.close("logits", module.heads["ground"](only_image[:, 1:]), "of the picture's stream alone")
    # As published: the patches are the classes, the labels numbers of patches, one for each of the two scores.
    loss = F.cross_entropy(logits, torch.tensor(case.settings["labels"]))
    expected.close("loss_as_written", loss)
    check_gradients(expected, model, loss, "grad_norms_as_written")
    check_heat(case, expected, logits)
    check_grounding(case, expected, model)


def check_grounding(case: Case, expected: Expected, model: Model) -> None:
    """The pipeline's scores, and the size and mode of its picture, from the task that people call."""
    found = []
    for image, text in zip(case.images, case.texts, strict=True):
        grounding = model.ground(image, text, area="whole")
        overlay = grounding.overlay()
        scores = [[1 - float(one), float(one)] for one in grounding.probabilities.flatten()]
        found.append({"score": scores, "image_mode": overlay.mode, "image_size": list(overlay.size)})
    expected.close_value("pipeline", found)


# -- words -----------------------------------------------------------------------------------------------------------


def check_words(case: Case, expected: Expected) -> None:
    model, images, texts = prepared(case, expected)
    module = module_of(model)
    labels = torch.tensor(case.settings["labels"])
    expected.equal("mlm_labels", labels)
    states = module(images, texts, last="text").text
    assert states is not None
    logits = module.words(states)
    head = module.heads["fill"]
    assert isinstance(head, Words)
    expected.close("mlm_transform", head.project(states))
    expected.close("logits", logits)
    expected.close("logits", module.words(module(images, texts).text), "of the whole last layer")
    loss = word_loss(logits, labels)
    expected.close("loss", loss)
    check_gradients(expected, model, loss)
    mask_id = model.processor.tokenizer.mask_id
    expected.equal("mask_token_id", mask_id)
    expected.equal("vocab_size_config", module.config.text.vocabulary)
    # There is no decoder of its own: `words` multiplies with the word table.
    sizes = {tuple(parameter.shape) for parameter in head.parameters()}
    expected.equal("decoder_shares_embedding", tuple(module.text.embeddings.words.weight.shape) not in sizes)
    best = [row.argmax(-1)[ids == mask_id].tolist() for row, ids in zip(logits, texts.ids, strict=True)]
    expected.equal("argmax_at_masks", best)
    check_fill(case, expected, model, logits, texts)


def check_fill(case: Case, expected: Expected, model: Model, logits: Tensor, texts: Texts) -> None:
    """The best word at every mask, from the task that people call; rows of the table without a word are none."""
    tokenizer = model.processor.tokenizer
    for image, text, row, ids in zip(case.images, case.texts, logits, texts.ids, strict=True):
        known = row[ids == tokenizer.mask_id].softmax(-1)[:, : tokenizer.vocabulary_size]
        values, places = known.max(-1)
        words = [candidates[0] for candidates in model.fill(image, text, top_k=1)]
        wanted = [tokenizer.decode([place]).strip() for place in places.tolist()]
        expected.same("words of fill", [word.text for word in words], wanted)
        ours = torch.tensor([word.probability for word in words])
        expected.compare("probabilities of fill", ours, values, expected.atol, expected.rtol)
