"""The original's question answering: a validation table with soft targets, and the answers of a test table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

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
from tuwen.losses import answer_loss
from tuwen.model import Model
from tuwen.types import Images, Texts


def check(case: Case, expected: Expected) -> None:
    model = loaded(case)
    check_file(expected, case, model)
    check_validation(case, expected, model)
    check_test(case, expected, model)


def questions_of(case: Case, name: str) -> list[dict[str, Any]]:
    """One entry for every question of a table, in its order."""
    return [
        {
            "image": row["image"],
            "question": question,
            "id": row["question_id"][number],
            "labels": row["answer_labels"][number] if row["answer_labels"] else [],
            "scores": row["answer_scores"][number] if row["answer_scores"] else [],
        }
        for row in table(case, name)
        for number, question in enumerate(row["questions"])
    ]


def prepared(case: Case, model: Model, asked: Sequence[dict[str, Any]]) -> tuple[Images, Texts]:
    images = model.processor.images([opened(entry["image"]) for entry in asked])
    return images, model.processor.texts([entry["question"] for entry in asked], length=length_of(case))


def targets_of(asked: Sequence[dict[str, Any]], count: int) -> Tensor:
    """(B, K): the score of every answer, 0 where there is none."""
    targets = torch.zeros(len(asked), count)
    for row, entry in enumerate(asked):
        for label, score in zip(entry["labels"], entry["scores"], strict=True):
            targets[row, label] = score
    return targets


def check_validation(case: Case, expected: Expected, model: Model) -> None:
    asked = questions_of(case, "vqav2_val_fix")
    theirs = dict(expected.value("val"))
    theirs.pop("pixel_rows_kept")  # such as "every ninth": the questions of a picture have its pixels in common
    images, texts = prepared(case, model, asked)
    kept = len(expected.tensor("val.pixel_values"))
    expected.close("val.pixel_values", images.pixels[:: -(-len(asked) // kept)])
    expected.equal("val.text_ids", texts.ids)
    expected.equal("val.text_masks", texts.mask.long())
    module = module_of(model)
    logits = module.heads["answer"](module(images, texts).pooled)
    targets = targets_of(asked, logits.shape[1])
    expected.close("val.vqa_logits", logits)
    expected.close("val.vqa_targets", targets)
    loss = answer_loss(logits, targets)
    expected.close("val.vqa_loss", loss)
    check_gradients(expected, "grad.", case, model, loss)
    score = targets.gather(1, logits.argmax(1, keepdim=True)).mean()
    ours = {"qid": "id", "questions": "question", "labels": "labels", "scores": "scores"}
    plain = {name: [entry[key] for entry in asked] for name, key in ours.items()}
    for name, value in (plain | {"score": score.item(), "loss": loss.item()}).items():
        wanted = theirs.pop(name)
        if isinstance(value, float):
            expected.compare(f"val {name}", torch.tensor(value), torch.tensor(wanted), expected.atol, expected.rtol)
        else:
            expected.same(f"val {name}", value, wanted)
    expected.same("val has nothing else", theirs, {})


def check_test(case: Case, expected: Expected, model: Model) -> None:
    """Logits of the test table, and the file of answers: names of the answers are those of the other two tables."""
    answers = {
        label: answer
        for name in ("vqav2_train_fix", "vqav2_val_fix")
        for row in table(case, name)
        for labels, words in zip(row["answer_labels"], row["answers"], strict=True)
        for label, answer in zip(labels, words, strict=True)
    }
    expected.equal("id2answer", {str(label): answers[label] for label in sorted(answers)})
    asked = questions_of(case, "vqav2_test")
    images, texts = prepared(case, model, asked)
    module = module_of(model)
    with torch.inference_mode():
        logits = module.heads["answer"](module(images, texts, last="first").pooled)
    expected.close("test.vqa_logits", logits)
    best = [answers.get(label, "unknown") for label in logits.argmax(1).tolist()]
    submission = [{"question_id": entry["id"], "answer": word} for entry, word in zip(asked, best, strict=True)]
    expected.equal("submission", submission)
    expected.equal("submission_text", json.dumps(submission, indent=4))
