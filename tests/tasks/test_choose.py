"""Choosing: plain texts and annotated ones, boxes, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest
import torch

from tests.tasks import tiny_vle
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.models.vle import VLE
from tuwen.processing.vcr import Names, batch, prepare
from tuwen.tasks.choose import choose
from tuwen.types import Boxes, Texts

QUESTION: list[Any] = ["Why", "is", [0], "near", [1], "?"]
CHOICES: list[list[Any]] = [["it", "rains"], [[0], "likes", [1]], ["no", "."]]
OBJECTS = ["person", "cat"]
BOXES = [[0, 0, 10, 10], [20, 20, 47, 47]]


def test_probabilities_are_those_of_the_model_choice_by_choice() -> None:
    model, picture = tiny_vle.model(), tiny_vle.picture()
    found = choose(model, picture, QUESTION, CHOICES, BOXES, OBJECTS)
    rows = prepare(model.processor.tokenizer, QUESTION, CHOICES, OBJECTS)
    texts, boxes = batch(rows, [[0], [5, 6, 7, 9, 10, 11, 13, 14, 15]], 0, 80)
    logits = []
    for row in range(3):
        alone = Boxes([boxes.patches[row]], [boxes.image_types[row]], [boxes.text_types[row]])
        text = Texts(texts.ids[row : row + 1], texts.mask[row : row + 1])
        with torch.inference_mode():
            fused = model.module(model.processor.images([picture]), text, boxes=alone)
            logits.append(cast(VLE, model.module).heads["choose"](fused.pooled)[0, 0])
    torch.testing.assert_close(found, torch.stack(logits).softmax(0))


def test_the_picture_is_encoded_once_for_all_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_vle.model()
    sizes = []
    encode = cast(VLE, model.module).project_image

    def counted(images: Any) -> torch.Tensor:
        sizes.append(len(images.pixels))
        return encode(images)

    monkeypatch.setattr(model.module, "project_image", counted)
    choose(model, tiny_vle.picture(), "a?", ["b", "c", "d"])
    assert sizes == [1]


def test_plain_texts_are_their_words() -> None:
    model, picture = tiny_vle.model(), tiny_vle.picture()
    plain = choose(model, picture, "is it so ?", ["yes it is", "no"])
    split = choose(model, picture, ["is", "it", "so", "?"], [["yes", "it", "is"], ["no"]])
    torch.testing.assert_close(plain, split)
    assert plain.shape == (2,)
    torch.testing.assert_close(plain.sum(), torch.tensor(1.0))


def test_boxes_count_and_where_they_are_does_too() -> None:
    model, picture = tiny_vle.model(), tiny_vle.picture(height=40, width=80)
    asked = (model, picture, QUESTION, CHOICES)
    kinds = [
        choose(*asked, objects=OBJECTS),
        choose(*asked, [[0, 0, 9, 9], [9, 9, 30, 30]], OBJECTS),
        choose(*asked, [[0, 0, 9, 9], [42, 9, 50, 30]], OBJECTS),
        choose(*asked, [[0, 0, 9, 9], [42, 9, 50, 30]], OBJECTS, mapping="crop"),
    ]
    for one, other in pairwise(kinds):
        assert not torch.equal(one, other)


def test_the_order_of_choices_changes_nothing_but_the_order() -> None:
    model, picture = tiny_vle.model(), tiny_vle.picture()
    forth = choose(model, picture, QUESTION, CHOICES, BOXES, OBJECTS)
    back = choose(model, picture, QUESTION, CHOICES[::-1], BOXES, OBJECTS)
    torch.testing.assert_close(forth, back.flip(0))


def test_a_reason_depends_on_the_answer() -> None:
    model, picture = tiny_vle.model("qa2r"), tiny_vle.picture()
    one, other = (choose(model, picture, "why ?", ["x", "y z"], answer=answer) for answer in ("so", "not so"))
    assert not torch.allclose(one, other)


def test_names_are_those_of_a_counter_that_is_kept() -> None:
    model, picture, names = tiny_vle.model(), tiny_vle.picture(), Names()
    fresh = choose(model, picture, QUESTION, CHOICES, BOXES, OBJECTS)
    first, second = (choose(model, picture, QUESTION, CHOICES, BOXES, OBJECTS, names=names) for _ in range(2))
    torch.testing.assert_close(first, fresh)
    assert not torch.allclose(second, fresh)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"choices": []}, InputError, "no choices"),
        ({"choices": "yes"}, UsageError, "pass a list"),
        ({"boxes": BOXES[:1]}, UsageError, "1 boxes for 2 objects"),
        ({"boxes": [BOXES[0], [60, 0, 70, 9]]}, InputError, r"box 1 .* outside the picture; the picture is 48 x 48"),
        ({"boxes": None, "objects": None}, InputError, "object 0 is meant, but there are 0 objects"),
        ({"mapping": "centre"}, UsageError, "whole, crop"),
        ({"answer": "because"}, UnsupportedTask, "q2a, it cannot choose reasons"),
    ],
)
def test_what_cannot_be_chosen_is_refused(change: dict[str, Any], error: type[Exception], said: str) -> None:
    asked = {"question": QUESTION, "choices": CHOICES, "boxes": BOXES, "objects": OBJECTS, **change}
    with pytest.raises(error, match=said):
        choose(tiny_vle.model(), tiny_vle.picture(), **asked)


def test_a_box_that_nobody_speaks_of_is_not_looked_at() -> None:
    boxes = [*BOXES, [900, 900, 950, 950]]
    assert len(choose(tiny_vle.model(), tiny_vle.picture(), QUESTION, CHOICES, boxes, [*OBJECTS, "car"])) == 3


def test_more_objects_than_the_model_has_types_for_are_refused() -> None:
    with pytest.raises(InputError, match="token type 3: this model has 3"):
        choose(tiny_vle.model(types=3), tiny_vle.picture(), QUESTION, CHOICES, BOXES, OBJECTS)


def test_a_model_for_reasons_wants_an_answer() -> None:
    with pytest.raises(UnsupportedTask, match="needs answer="):
        choose(tiny_vle.model("qa2r"), tiny_vle.picture(), "a ?", ["b"])


def test_a_model_without_the_head_says_which_it_has() -> None:
    with pytest.raises(UnsupportedTask, match="cannot choose: its tasks are ground; these can: vle/base-vcr-q2a"):
        choose(tiny_vle.model(heads=("ground",)), tiny_vle.picture(), "a ?", ["b"])
