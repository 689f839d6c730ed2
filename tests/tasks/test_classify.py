"""Zero-shot classification against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from tuwen.errors import UsageError
from tuwen.tasks.classify import TEMPLATES, Label, class_features, classify, wordings


class Compass:
    """A model whose texts and pictures are directions in a plane, by the word in them."""

    logit_scale = 10.0
    label_quotes: str | None = None
    directions: ClassVar = {"猫": (1.0, 0.0), "狗": (0.0, 1.0), "鸟": (0.6, 0.8)}

    def encode_image(self, images: Any) -> Tensor:
        return self.encode_text(images, quotes="keep")

    def encode_text(self, texts: Sequence[str], *, quotes: str | None = None) -> Tensor:
        if quotes != "keep":
            self.label_quotes = quotes
        return torch.tensor([next(way for word, way in self.directions.items() if word in text) for text in texts])


def test_labels_come_best_first_with_cosine_and_probability() -> None:
    (labels,) = classify(Compass(), ["鸟"], ["猫", "狗", "鸟"], templates=["{}"])
    scores = torch.tensor([10.0, 8.0, 6.0]).softmax(0).tolist()
    assert [label.name for label in labels] == ["鸟", "狗", "猫"]
    assert [label.cosine for label in labels] == pytest.approx([1.0, 0.8, 0.6])
    assert [label.probability for label in labels] == pytest.approx(scores)


def test_top_k_shortens_the_list_but_not_the_probabilities() -> None:
    whole = classify(Compass(), ["鸟", "猫"], ["猫", "狗", "鸟"])
    short = classify(Compass(), ["鸟", "猫"], ["猫", "狗", "鸟"], top_k=1)
    assert short == [labels[:1] for labels in whole]


def test_features_may_stand_for_pictures() -> None:
    (labels,) = classify(Compass(), torch.tensor([[0.0, 1.0]]), ["猫", "狗"])
    assert isinstance(labels[0], Label)
    assert labels[0].name == "狗"


def test_equally_good_labels_keep_their_order() -> None:
    (labels,) = classify(Compass(), ["狗"], ["大猫", "猫", "小猫"])
    assert [label.name for label in labels] == ["大猫", "猫", "小猫"]


def test_a_label_is_the_mean_of_its_templates_at_unit_length() -> None:
    features = class_features(Compass(), ["猫"], ["{}", "{}和狗"])  # both start with 猫
    assert features.tolist() == [[1.0, 0.0]]
    mixed = class_features(Compass(), ["x"], ["{}猫", "{}狗"])
    assert mixed.flatten().tolist() == pytest.approx([0.5**0.5, 0.5**0.5])


def test_labels_are_tokenized_as_the_original_does_for_classes() -> None:
    model = Compass()
    classify(model, ["猫"], ["猫"])
    assert model.label_quotes == "straight"


@pytest.mark.parametrize("language", TEMPLATES)
def test_every_template_has_one_place_for_the_label(language: str) -> None:
    assert all(template.count("{}") == 1 for template in wordings(language))
    assert len(set(wordings(language))) == len(wordings(language)) == 8


@pytest.mark.parametrize(
    ("labels", "templates", "top_k", "message"),
    [
        ([], "zh", None, "labels is empty"),
        (["猫", "狗", "猫"], "zh", None, "'猫' comes twice, as number 1 and 3"),
        (["猫", " "], "zh", None, "label 2"),
        ("猫", "zh", None, "pass a list"),
        (["猫"], "de", None, "'zh' or 'en'"),
        (["猫"], ["照片"], None, "has no {}"),
        (["猫"], [], None, "templates is empty"),
        (["猫"], "zh", 0, "top_k is 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(labels: Any, templates: Any, top_k: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("{}", r"\{\}")):
        classify(Compass(), ["猫"], labels, templates, top_k)
