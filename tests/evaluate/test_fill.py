"""Masked words: always the same ones, each restored as if it were alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from tests.fusing import model, pictures
from tuwen.data.dataset import PAIRS, QUESTIONS, Dataset, Text
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.evaluate.fill import fill, masked, written
from tuwen.types import Images, Texts

NAMES = ["original", "vle"]
WORDS = ["two dogs in a car .", "a red bus near people", "an image of two cats chilling on a couch"]


def captions(**changed: Any) -> Dataset:
    texts = [Text(str(n), word, ("ab"[n % 2],), f"t:{n}") for n, word in enumerate(WORDS)]
    return Dataset("test", Path("set"), PAIRS, dict(zip("ab", pictures(2), strict=True)) | changed, texts)


def test_masks_hang_on_the_key_alone_and_spare_what_is_kept() -> None:
    ids = [0, *range(10, 30), 2]
    one = masked(ids, 99, {0, 2}, "0/a")
    assert one == masked(ids, 99, {0, 2}, "0/a")
    assert one != masked(ids, 99, {0, 2}, "1/a")
    assert len(one.places) == 3  # 15 % of 20
    assert [one.ids[place] for place in one.places] == [99] * 3
    assert [ids[place] for place in one.places] == one.wanted
    assert not {0, 2} & set(one.wanted)
    assert len(masked([0, 5, 2], 99, {0, 2}, "").places) == 1  # one at least
    assert masked([0, 2], 99, {0, 2}, "").places == []
    assert len(masked(ids, 99, {0, 2}, "", share=1).places) == 20


@pytest.mark.parametrize("name", NAMES)
def test_every_guess_is_that_of_the_whole_model_on_one_caption(name: str) -> None:
    of, data = model(name), captions()
    table = fill(of, data, seed=3).queries["words"]
    tokenizer = of.processor.tokenizer
    special = {tokenizer.pad_id, tokenizer.start_id, tokenizer.end_id, tokenizer.unknown_id, tokenizer.mask_id}
    wanted = []
    for text in sorted(data.texts, key=lambda text: text.image_ids):
        ids = of.processor.ids([text.text])[0]
        caption = masked(ids, cast(int, tokenizer.mask_id), cast(set[int], special), f"3/{text.id}")
        given = torch.tensor([caption.ids])
        with torch.no_grad():
            pixels = of.processor.images([data.pictures[text.image_ids[0]]]).pixels
            fused = of.module(Images(pixels), Texts(given, torch.ones_like(given, dtype=torch.bool)))
            chances = of.fusing.words(fused.text[0, caption.places]).softmax(-1)
        for line, word in zip(chances, caption.wanted, strict=True):
            wanted.append((text.id, float(line[word]), float(int(line.argmax()) == word)))
    assert table["id"] == [row[0] for row in wanted]
    np.testing.assert_allclose(table["probability"], [row[1] for row in wanted], atol=1e-5)
    assert np.asarray(table["accuracy"]).tolist() == [row[2] for row in wanted]


def test_figures_are_shares_of_the_masked_tokens() -> None:
    scored = fill(model("original"), captions(), share=0.6)
    table = scored.queries["words"]
    assert scored.figures == {"accuracy": np.mean(table["accuracy"]), "accuracy_top5": np.mean(table["top5"])}
    assert np.all(np.asarray(table["top5"]) >= np.asarray(table["accuracy"]))


@pytest.mark.parametrize("name", NAMES)
def test_people_see_the_caption_with_its_gaps_and_no_empty_words(name: str) -> None:
    table = fill(model(name), captions(), share=1).queries["words"]
    mask = model(name).processor.tokenizer.mask_token
    for shown in table["masked"]:
        assert str(shown).replace(mask, "").strip() == ""
    assert all(
        word.strip() and "\N{REPLACEMENT CHARACTER}" not in word for word in (*table["word"], *table["predicted"])
    )
    tokenizer = model(name).processor.tokenizer
    for number, entry in enumerate(tokenizer.entries()):
        assert written(tokenizer.decode([number]), entry, number).strip()


def test_tokens_that_no_person_can_read_are_shown_by_what_they_are() -> None:
    assert written(" cat ", "\u2581cat", 7) == "cat"
    assert written(" ", "\u0120", 7) == written("", "\u2581", 7) == "␣"
    assert written("\N{REPLACEMENT CHARACTER}", "\u00e7\u0137", 7) == "\u00e7\u0137"
    assert written("", "", 7) == "#7"


def test_the_order_of_captions_changes_nothing() -> None:
    data = captions()
    turned = Dataset("test", data.path, PAIRS, data.pictures, list(reversed(data.texts)))
    one, other = (fill(model("vle"), each).queries["words"] for each in (data, turned))
    assert sorted(zip(one["id"], one["word"], strict=True)) == sorted(zip(other["id"], other["word"], strict=True))


def test_a_broken_picture_is_told() -> None:
    told: list[str] = []
    scored = fill(model("vle"), captions(a=b"broken"), on_error=lambda name, _: told.append(name))
    assert told == ["a"]
    assert set(scored.queries["words"]["image"]) == {"b"}
    with pytest.raises(InputError, match="a: "):
        fill(model("vle"), captions(a=b"broken"))


def test_wrong_models_settings_and_datasets_are_refused() -> None:
    with pytest.raises(UnsupportedTask, match="cannot fill"):
        fill(model("vqa"), captions())
    with pytest.raises(UsageError, match="share is 0"):
        fill(model("vle"), captions(), share=0)
    with pytest.raises(UsageError, match="masked words need captions, set holds questions"):
        fill(model("vle"), Dataset("x", Path("set"), QUESTIONS, {}, []))
