"""The original's two classifiers over sentences: one of two pictures (NLVR2), one of a picture (SNLI-VE)."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.streams import (
    check_file,
    check_gradients,
    length_of,
    loaded,
    module_of,
    opened,
    table,
)
from tuwen.losses import match_loss


def check_nlvr2(case: Case, expected: Expected) -> None:
    """Whether a sentence is true of two pictures: labels "True" 1 and "False" 0."""
    model = loaded(case)
    check_file(expected, case, model)
    asked = [
        (name, row["image_0"], row["image_1"], question, int(answer == "True"))
        for name in ("nlvr2_dev", "nlvr2_test1")
        for row in table(case, name)
        for question, answer in zip(row["questions"], row["answers"], strict=True)
    ]
    names, firsts, seconds, questions, labels = zip(*asked, strict=True)
    texts = model.processor.texts(list(questions), length=length_of(case))
    first, second = (model.processor.images([opened(image) for image in images]) for images in (firsts, seconds))
    expected.equal("table_name", list(names))
    expected.equal("texts", list(questions))
    expected.close("val.image_0", first.pixels)
    expected.close("val.image_1", second.pixels)
    expected.equal("val.text_ids", texts.ids)
    expected.equal("val.text_masks", texts.mask.long())
    expected.equal("val.nlvr2_labels", torch.tensor(labels))
    logits = module_of(model).pair_logits(texts, first, second)
    expected.close("val.nlvr2_logits", logits)
    loss = match_loss(logits, torch.tensor(labels))
    expected.close("val.nlvr2_loss_all", loss)
    check_gradients(expected, "grad.", case, model, loss)
    check_tables(expected, logits, torch.tensor(labels), list(names))


def check_snli(case: Case, expected: Expected) -> None:
    """Whether a picture entails a sentence: contradiction 0, neutral 1, entailment 2."""
    model = loaded(case)
    check_file(expected, case, model)
    asked = [
        (name, row["image"], sentences[1].strip(), label)  # the premise describes the picture and is not shown
        for name in ("snli_dev", "snli_test")
        for row in table(case, name)
        for sentences, label in zip(row["sentences"], row["labels"], strict=True)
    ]
    names, pictures, hypotheses, labels = zip(*asked, strict=True)
    texts = model.processor.texts(list(hypotheses), length=length_of(case))
    images = model.processor.images([opened(image) for image in pictures])
    expected.equal("table_name", list(names))
    expected.equal("texts", list(hypotheses))
    expected.close("val.image", images.pixels)
    expected.equal("val.text_ids", texts.ids)
    expected.equal("val.text_masks", texts.mask.long())
    expected.equal("val.snli_labels", torch.tensor(labels))
    module = module_of(model)
    logits = module.heads["entail"](module(images, texts).pooled)
    expected.close("val.snli_logits", logits)
    loss = match_loss(logits, torch.tensor(labels))
    expected.close("val.snli_loss_all", loss)
    check_gradients(expected, "grad.", case, model, loss)
    check_tables(expected, logits, torch.tensor(labels), list(names))


def check_tables(expected: Expected, logits: Tensor, labels: Tensor, names: list[str]) -> None:
    """`val` and `test`: accuracy and loss of the rows of the development and of the test table."""
    for key, part in (("val", "dev"), ("test", "test")):
        chosen = torch.tensor([part in name for name in names])
        right = logits[chosen].argmax(-1) == labels[chosen]
        loss = match_loss(logits[chosen], labels[chosen])
        expected.close_value(key, {"accuracy": right.float().mean().item(), "loss": loss.item()})
