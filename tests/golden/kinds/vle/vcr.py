"""Visual commonsense reasoning: items as the pipelines prepare them, every stage of the model, loss and gradients."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.golden.case import Case, Expected
from tests.golden.kinds.vle.stages import check_gradients, check_stages, loaded, module_of, pooled_of
from tuwen.model import Model
from tuwen.processing.decode import decode
from tuwen.processing.patches import Area, patches
from tuwen.processing.vcr import LENGTH, Choice, Names, batch, prepare
from tuwen.tasks.choose import choice_logits
from tuwen.types import Boxes, Images, Texts


def check(case: Case, expected: Expected) -> None:
    """Consecutive items on one counter of names."""
    model = loaded(case)
    lines = (case.path / case.settings["annotations"]).read_text(encoding="utf-8").splitlines()
    names = Names()
    for number, (line, call) in enumerate(zip(lines, expected.value("calls"), strict=True)):
        check_item(case, expected, model, json.loads(line), names, number, call)


def check_item(
    case: Case, expected: Expected, model: Model, row: dict[str, Any], names: Names, number: int, call: dict[str, Any]
) -> None:
    reasons = case.settings["mode"] == "qa2r"
    answer = row["answer_choices"][row["answer_label"]] if reasons else None
    what, label = ("rationale", row["rationale_label"]) if reasons else ("answer", row["answer_label"])
    tokenizer = model.processor.tokenizer
    choices = prepare(tokenizer, row["question"], row[f"{what}_choices"], row["objects"], answer, names)
    picture = decode(case.path / "images" / row["img_fn"])
    boxes = json.loads((case.path / "images" / row["metadata_fn"]).read_text(encoding="utf-8"))["boxes"]
    sizes = module_of(model).config.image
    area = Area(0, 0, picture.width, picture.height)
    numbers = [patches(box, area, sizes.image_size // sizes.patch_size) for box in boxes]
    texts, objects = batch(choices, numbers, tokenizer.pad_id, LENGTH)

    expected.equal(f"{number}.input_ids", texts.ids[:, None])
    expected.equal(f"{number}.attention_mask", texts.mask[:, None].long())
    expected.equal(f"{number}.token_type_ids", torch.zeros_like(texts.ids)[:, None])
    images = model.processor.images([picture])
    expected.close(f"{number}.pixel_values", images.pixels)
    logits = choice_logits(model, picture, choices, numbers)
    expected.close(f"{number}.logits", logits[None], "of one pass over unpadded choices")
    ours = described(model, texts, choices, objects, logits)
    ours |= {"annot_id": row["annot_id"], "vcr_labels": [label], "person_name_id_after": names.given}
    for name, theirs in call.items():
        if name == "score":
            expected.compare(f"{number}.score", logits, torch.tensor(theirs), expected.atol, expected.rtol)
        else:
            expected.same(f"{number}.{name}", ours.get(name), theirs)
    check_choices(expected, model, images, texts, objects, f"{number}.", torch.tensor([label]))


def described(model: Model, texts: Texts, choices: list[Choice], objects: Boxes, logits: Tensor) -> dict[str, Any]:
    """What the original hands to its model and gives back, in its own form."""
    vocabulary = model.processor.tokenizer.vocabulary
    return {
        "result_length": 1,
        "pred": [int(logits.argmax())],
        "patch_ids": [[boxes] for boxes in objects.patches],
        "extend_token_type_ids": [[[choice.image_types], [choice.text_types]] for choice in choices],
        "tokens": [[vocabulary[token] for token in row] for row in texts.ids.tolist()],
    }


def check_choices(
    expected: Expected, model: Model, images: Images, texts: Texts, objects: Boxes, start: str, labels: Tensor
) -> None:
    """Everything inside the body for each choice alone, padded; then logits, loss and gradients."""
    pooled = []
    for choice in range(len(texts.ids)):
        alone = Texts(texts.ids[choice : choice + 1], texts.mask[choice : choice + 1])
        boxes = Boxes([objects.patches[choice]], [objects.image_types[choice]], [objects.text_types[choice]])
        with torch.inference_mode():
            check_stages(expected, model, images, alone, f"{start}choice{choice}.", boxes)
        pooled.append(pooled_of(module_of(model)(images, alone, last="first", boxes=boxes)))
    check_loss(expected, model, pooled, labels, start)


def check_loss(expected: Expected, model: Model, pooled: list[Tensor], labels: Tensor, start: str = "") -> None:
    """pooled: (B, 2D) of each choice; labels (B,)."""
    logits = torch.cat([module_of(model).heads["choose"](states) for states in pooled], dim=1)  # (B, C)
    expected.close(f"{start}logits", logits)
    loss = F.cross_entropy(logits, labels)
    expected.close(f"{start}loss", loss)
    check_gradients(expected, model, loss, f"{start}grad_norms")


def check_batch(case: Case, expected: Expected) -> None:
    """The head on a batch of items: texts and boxes are given, choice by choice."""
    model = loaded(case)
    module, tokenizer = module_of(model), model.processor.tokenizer
    images = model.processor.images(case.images)
    expected.close("pixel_values", images.pixels)
    length = case.settings["max_length"]
    texts = []
    for choice in zip(*case.settings["choices"], strict=True):
        rows = [Choice(ids, [], [], []) for ids in tokenizer.ids(list(choice), length)]
        texts.append(batch(rows, [], tokenizer.pad_id, length)[0])
    expected.equal("input_ids", torch.stack([text.ids for text in texts]))
    expected.equal("attention_mask", torch.stack([text.mask for text in texts]).long())
    pooled = []
    for text, boxes, types in zip(texts, case.settings["patch_ids"], case.settings["types"], strict=True):
        objects = Boxes(boxes, types["image"], types["text"])
        pooled.append(pooled_of(module(images, text, last="first", boxes=objects)))
    check_loss(expected, model, pooled, torch.tensor(case.settings["labels"]))
