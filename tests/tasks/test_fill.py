"""Masked words: the model's own, for every gap of a text, and what goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests import fusing
from tests.fusing import pictures
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.types import Images

every_model = pytest.mark.parametrize("name", fusing.MATCHING)


@every_model
def test_words_are_those_of_the_whole_model_best_first(name: str) -> None:
    model, (image,) = fusing.model(name), pictures(1)
    found = model.fill(image, "two <mask> in a <mask>.", top_k=3)
    mask = model.processor.tokenizer.mask_token
    texts = model.processor.texts([f"two {mask} in a {mask}."])
    with torch.no_grad():
        fused = model.module(Images(model.processor.images([image]).pixels), texts)
        logits = model.fusing.words(fused.text)[0, texts.ids[0] == model.processor.tokenizer.mask_id]
    best = logits.softmax(-1)[:, : model.processor.tokenizer.vocabulary_size].topk(3)
    assert len(found) == 2
    for words, places, chances in zip(found, best.indices.tolist(), best.values.tolist(), strict=True):
        assert [word.text for word in words] == [model.processor.tokenizer.decode([p]).strip() for p in places]
        assert [word.probability for word in words] == pytest.approx(chances, rel=1e-4)


@every_model
def test_both_ways_to_write_a_gap_are_understood(name: str) -> None:
    model, (image,) = fusing.model(name), pictures(1)
    assert model.fill(image, "a <mask>") == model.fill(image, "a [MASK]")


@every_model
def test_no_more_words_come_than_there_are(name: str) -> None:
    model, (image,) = fusing.model(name), pictures(1)
    (words,) = model.fill(image, "a <mask>", top_k=10**6)
    assert len(words) == model.processor.tokenizer.vocabulary_size
    assert sum(word.probability for word in words) <= 1 + 1e-5


@every_model
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gives_nearly_the_same_probabilities(name: str, dtype: str) -> None:
    (exact,), (half,) = (
        of.fill(pictures(1)[0], "a <mask>", top_k=5) for of in (fusing.model(name), fusing.opened(name, dtype=dtype))
    )
    assert half[0].probability == pytest.approx(exact[0].probability, abs=1e-2)


@pytest.mark.parametrize(
    ("text", "top_k", "said"),
    [
        ("a dog", 5, "the text 'a dog' leaves nothing open: write <mask> where a word is missing"),
        ("", 5, "leaves nothing open"),
        ("a <mask>", 0, "top_k is 0: it must be at least 1"),
        (["a <mask>"], 5, "the text is a list: fill takes one text"),
        ("two dogs " * 40 + "<mask>", 5, "tokens, the model takes 38"),
    ],
)
def test_what_cannot_be_filled_is_one_sentence(text: Any, top_k: int, said: str) -> None:
    with pytest.raises((InputError, UsageError), match=said):
        fusing.model("bridgetower").fill(pictures(1)[0], text, top_k)


def test_a_model_without_the_head_names_models_that_can() -> None:
    with pytest.raises(UnsupportedTask, match="vle cannot fill: its tasks are answer; these can: bridgetower/base-itm"):
        fusing.model("vqa").fill(pictures(1)[0], "a <mask>")
