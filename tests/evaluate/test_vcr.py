"""Answers, reasons and both, and the table for the judges."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fusing import CASES
from tests.tasks import tiny_vle
from tuwen.data.dataset import CHOICES, PAIRS, Dataset, Text
from tuwen.data.options import Options
from tuwen.data.vcr import open_dataset
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.evaluate.vcr import predict, score, submission, vcr
from tuwen.loading import load
from tuwen.model import Model
from tuwen.processing.vcr import Names
from tuwen.tasks.choose import choose

ANSWERS: list[Any] = [["yes"], [[0, 1], "are", "."], ["no", "!"], ["it", "rains"]]
REASONS: list[Any] = [["so"], ["it", "is"], [[1], "says", "so"], ["never"]]
BOXES = [[0, 0, 9, 9, 0.5], [20, 5, 40, 30, 0.5]]


@cache
def model(task: str) -> Model:
    return tiny_vle.model(task)


def dataset(count: int = 5, **changed: Any) -> Dataset:
    """Questions about two pictures in turns, with their right choices."""
    texts = []
    for number in range(count):
        columns = {
            "question": ["Is", [0], "near", [1], f"{'?' * (number + 1)}"],
            "answers": ANSWERS,
            "reasons": REASONS,
            "label": number % 4,
            "reason_label": (number + 1) % 4,
            "objects": ["person", "cat"],
            "boxes": BOXES,
        }
        texts.append(
            Text(
                f"val-{number}",
                "Is person0 near cat1 ?",
                ("ab"[number % 2],),
                f"val.jsonl:{number + 1}",
                columns | changed,
            )
        )
    shown = {"a": tiny_vle.picture(48, 60), "b": tiny_vle.picture(40, 48)}
    return Dataset("vcr", Path("val.jsonl"), CHOICES, shown, texts)


def alone(of: Dataset, number: int, task: str, answer: int | None = None, names: Names | None = None) -> Any:
    text = of.texts[number]
    columns = text.columns
    return choose(
        model(task),
        of.pictures[text.image_ids[0]],
        columns["question"],
        columns["answers" if answer is None else "reasons"],
        [box[:4] for box in BOXES],
        columns["objects"],
        None if answer is None else columns["answers"][answer],
        names=names,
    )


def test_choices_are_those_of_the_task_question_by_question() -> None:
    data = dataset()
    chosen = predict([model("q2a"), model("qa2r")], data)
    for number in range(5):
        np.testing.assert_allclose(chosen.answers[number], alone(data, number, "q2a"), atol=1e-6)
        label = number % 4
        np.testing.assert_allclose(chosen.reasons[number, label], alone(data, number, "qa2r", label), atol=1e-6)


def test_both_are_right_where_each_is() -> None:
    data = dataset()
    scored = vcr([model("qa2r"), model("q2a")], data)
    right = [int(alone(data, n, "q2a").argmax()) == n % 4 for n in range(5)]
    reasons = [int(alone(data, n, "qa2r", n % 4).argmax()) == (n + 1) % 4 for n in range(5)]
    both = [one and other for one, other in zip(right, reasons, strict=True)]
    assert scored.figures == pytest.approx({"q_a": np.mean(right), "qa_r": np.mean(reasons), "q_ar": np.mean(both)})
    assert scored.queries["questions"]["id"] == [f"val-{n}" for n in range(5)]


@pytest.mark.parametrize(("task", "figure"), [("q2a", "q_a"), ("qa2r", "qa_r")])
def test_one_model_gives_one_figure(task: str, figure: str) -> None:
    assert set(vcr([model(task)], dataset()).figures) == {figure}


def test_every_picture_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    module: Any = model("q2a").module
    encode = module.project_image

    def counted(images: Any) -> Any:
        seen.append(len(images.pixels))
        return encode(images)

    monkeypatch.setattr(module, "project_image", counted)
    predict([model("q2a")], dataset())
    assert seen == [1, 1]


def test_in_the_originals_way_names_go_on_from_question_to_question() -> None:
    data = dataset()
    chosen = predict([model("q2a")], data, original=True)
    names = Names()
    for number in range(5):
        np.testing.assert_allclose(chosen.answers[number], alone(data, number, "q2a", names=names), atol=1e-6)
    fresh = predict([model("q2a")], data)
    assert not np.allclose(chosen.answers[1], fresh.answers[1], atol=1e-6)


def test_questions_without_labels_count_in_no_figure_but_stand_in_the_file() -> None:
    data = dataset(3, label=None, reason_label=None)
    chosen = predict([model("q2a"), model("qa2r")], data, every=True)
    assert score(chosen).figures == {}
    rows = list(csv.reader(submission(chosen).splitlines()))
    wanted = [
        f"{group}_{n}" for group in ("answer", *(f"rationale_conditioned_on_a{a}" for a in range(4))) for n in range(4)
    ]
    assert rows[0] == ["annot_id", *wanted]
    assert [row[0] for row in rows[1:]] == ["val-0", "val-1", "val-2"]
    values = np.array([[float(value) for value in row[1:]] for row in rows[1:]])
    np.testing.assert_allclose(values.reshape(3, 5, 4).sum(2), 1, atol=1e-5)
    np.testing.assert_allclose(values[1, 8:12], alone(data, 1, "qa2r", 1), atol=1e-6)


def test_the_file_needs_both_choices_of_every_question() -> None:
    with pytest.raises(InputError, match="the question val-0 lacks choices"):
        submission(predict([model("q2a")], dataset()))
    with pytest.raises(InputError, match="the question val-0 lacks choices"):
        submission(predict([model("q2a"), model("qa2r")], dataset()))  # reasons for the right answer alone


def test_bad_questions_are_told_and_the_others_stay() -> None:
    data = dataset()
    data.texts[0].columns["boxes"] = [[900, 0, 950, 9], [0, 0, 9, 9]]
    data.texts[2].columns["answers"] = []
    data.pictures["b"] = b"broken"  # type: ignore[index]
    told: dict[str, str] = {}
    scored = vcr([model("q2a")], data, on_error=lambda name, error: told.update({name: str(error)}))
    assert set(told) == {"val.jsonl:1", "val.jsonl:3", "b"}
    assert "box 0" in told["val.jsonl:1"]
    assert scored.queries["questions"]["id"] == ["val-4"]
    with pytest.raises(InputError):
        vcr([model("q2a")], data)


def test_reasons_need_the_right_answer() -> None:
    with pytest.raises(InputError, match=r"val\.jsonl:1: it does not say which answer is right"):
        vcr([model("qa2r")], dataset(label=None))


def test_wrong_models_and_datasets_are_refused() -> None:
    with pytest.raises(UsageError, match="two models choose q2a"):
        vcr([model("q2a"), model("q2a")], dataset())
    with pytest.raises(UsageError, match=r"needs choices, val\.jsonl holds pairs"):
        vcr([model("q2a")], Dataset("vcr", Path("val.jsonl"), PAIRS, {}, []))
    with pytest.raises(UnsupportedTask, match="cannot choose"):
        vcr([tiny_vle.model(heads=("ground",))], dataset())


def test_choices_of_the_recorded_annotations_are_vles() -> None:
    """The original's pipeline over the items of a golden case, names of people going on from one to the next."""
    case = CASES / "vle" / "vcr_q2a"
    calls = json.loads((case / "expected.json").read_text(encoding="utf-8"))["calls"]
    data = open_dataset(case / "annotations.jsonl", options=Options(pictures=case / "images"))
    chosen = predict([load(case / "checkpoint", device="cpu")], data, original=True)
    assert [text.id for text in data.texts] == [call["annot_id"] for call in calls]
    for number, call in enumerate(calls):
        logits = torch.tensor(call["score"])
        torch.testing.assert_close(chosen.answers[number], logits.softmax(0), atol=2e-5, rtol=1e-4)


def test_a_bad_file_of_boxes_is_told_with_its_line_and_the_others_stay(tmp_path: Path) -> None:
    images = tmp_path / "vcr1images"
    images.mkdir()
    row = {"objects": ["person"], "question": ["Is", [0], "here", "?"], "answer_label": 0}
    lines = []
    for name, boxes in (("a", "[[0, 0, 20, 20]]"), ("b", "[]")):
        Image.fromarray(tiny_vle.picture()).save(images / f"{name}.png")
        (images / f"{name}.json").write_text(f'{{"boxes": {boxes}}}', encoding="utf-8")
        own = {
            "annot_id": name,
            "img_fn": f"{name}.png",
            "metadata_fn": f"{name}.json",
            "answer_choices": [["yes"], ["no"]],
        }
        lines.append(json.dumps(row | own))
    (tmp_path / "val.jsonl").write_text("\n".join(lines), encoding="utf-8")
    told: dict[str, str] = {}
    scored = vcr(
        [model("q2a")], open_dataset(tmp_path, "val"), on_error=lambda name, why: told.update({name: str(why)})
    )
    assert scored.queries["questions"]["id"] == ["a"]
    assert "has 0 boxes, the annotation has 1 objects" in told["val.jsonl:2"]
