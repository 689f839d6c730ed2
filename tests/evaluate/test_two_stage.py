"""Two stages against brute force over all pairs, and BridgeTower's own evaluation."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fusing import CASES, counting, model, pictures
from tuwen.data import arrow
from tuwen.data.dataset import PAIRS, QUESTIONS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.search_cost import Cost
from tuwen.evaluate.two_stage import _original_ranks, encode, original, two_stage
from tuwen.loading import load
from tuwen.model import Model

CASE = CASES / "bridgetower" / "orig_retrieval"


@cache
def both() -> Model:
    """A tiny model with the heads of both stages."""
    path = CASE / "checkpoint" / "BridgeTower_ftfpt_tiny_irtr_itm_itc_f30k.ckpt"
    return load(path, tokenizer=path.parent / "roberta", device="cpu")


def captions() -> Dataset:
    return arrow.open_dataset(CASE / "data", "f30k_caption_karpathy_test")


def small() -> Dataset:
    """Four pictures; the third has two captions, the fourth none."""
    words = ["a cat", "two dogs", "a red bus", "a goal near people", "a cat"]
    texts = [Text(str(n), word, ("abcca"[n],)) for n, word in enumerate(words)]
    return Dataset("test", Path("set"), PAIRS, dict(zip("abcd", pictures(4), strict=True)), texts)


def test_the_original_protocol_gives_bridgetowers_figures() -> None:
    expected = json.loads((CASE / "expected.json").read_text(encoding="utf-8"))["recall_itm_itc"]
    depth = json.loads((CASE / "case.json").read_text(encoding="utf-8"))["config"]["k"]
    figures = original(both(), both(), captions(), depth).figures
    for theirs, ours in (("ir", "text_to_image"), ("tr", "image_to_text")):
        for k in (1, 5, 10):
            assert figures[f"{ours}_r{k}"] == pytest.approx(expected[f"{theirs}_r{k}"])
        assert figures[f"{ours}_mean_recall"] == pytest.approx(expected[f"{theirs}_mean"])
    assert figures["mean_recall"] == pytest.approx(expected["r_mean"])


def test_without_a_second_stage_figures_are_those_of_the_first_alone() -> None:
    expected = json.loads((CASE / "expected.json").read_text(encoding="utf-8"))["recall_itc_only"]
    figures = two_stage(both(), both(), captions(), [0]).figures
    for theirs, ours in (("ir", "text_to_image"), ("tr", "image_to_text")):
        for k in (1, 5, 10):
            assert figures[f"{ours}_r{k}@0"] == pytest.approx(expected[f"{theirs}_r{k}"])


def test_at_full_depth_figures_are_those_of_all_pairs() -> None:
    expected = json.loads((CASE / "expected.json").read_text(encoding="utf-8"))["recall_rank_head"]
    data = captions()
    figures = original(both(), both(), data, len(data.texts)).figures  # every pair has its score
    for k in (1, 5, 10):
        assert figures[f"image_to_text_r{k}"] == pytest.approx(expected[f"tr_r{k}"])
        assert figures[f"text_to_image_r{k}"] == pytest.approx(expected[f"ir_r{k}"])


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
def test_every_depth_orders_what_the_first_stage_found(depth: int) -> None:
    data = small()
    scored = two_stage(both(), model("original"), data, [depth])
    words = [text.text for text in data.texts]
    shown = list(data.pictures.values())
    cosines = both().similarity(shown, words).T.numpy()  # (texts, pictures)
    chances = model("original").match(shown, words).T.numpy()
    for ours, first, second, right in (
        ("text_to_image", cosines, chances, [["abcd".index(i) for i in text.image_ids] for text in data.texts]),
        (
            "image_to_text",
            cosines.T,
            chances.T,
            [[n for n in range(5) if data.texts[n].image_ids == (i,)] for i in "abcd"],
        ),
    ):
        wanted = [by_hand(*row, depth) for row in zip(first, second, right, strict=True) if row[2]]
        table = scored.queries[ours]
        assert np.asarray(table[f"rank@{depth}"]).tolist() == wanted
        assert scored.figures[f"{ours}_r1@{depth}"] == np.mean([rank <= 1 for rank in wanted])
        assert scored.figures[f"{ours}_median_rank"] == np.median(wanted)


def by_hand(cosines: Any, chances: Any, right: list[int], depth: int) -> int:
    order = sorted(range(len(cosines)), key=lambda place: -cosines[place])
    head = sorted(order[:depth], key=lambda place: -chances[place])
    return 1 + min((head + order[depth:]).index(place) for place in right)


def test_every_pair_meets_once_for_all_depths_and_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    data = small()
    monkeypatch.setattr("tuwen.evaluate.two_stage.measure", lambda *_: Cost(1, 2, 3, 4))
    seen = counting(monkeypatch)
    two_stage(both(), model("original"), data, [0, 2, 4])
    assert seen["pictures"] == 4
    assert seen["pairs"] == 4 * 5
    assert seen["texts"] == 5


def test_the_cost_grows_with_the_depth_and_less_where_states_are_kept() -> None:
    cost = Cost(query=1, text=2, picture=30, pair=4)
    assert [cost.of(depth) for depth in (0, 1, 10)] == [1, 37, 343]
    assert [cost.of(depth, kept=True) for depth in (0, 1, 10)] == [1, 7, 43]
    scored = two_stage(both(), model("original"), small(), [0, 2, 4])
    table = scored.queries["depths"]
    assert table["depth"].tolist() == [0, 2, 4]  # type: ignore[union-attr]
    assert np.all(np.diff(table["milliseconds"]) > 0)
    assert np.all(np.asarray(table["milliseconds_kept"]) <= np.asarray(table["milliseconds"]))
    assert table["text_to_image_r1"].tolist() == [scored.figures[f"text_to_image_r1@{d}"] for d in (0, 2, 4)]  # type: ignore[union-attr]


def test_a_broken_picture_is_told_and_its_texts_left_out() -> None:
    data = small()
    data.pictures["b"] = b"broken"  # type: ignore[index]
    told: list[str] = []
    scored = two_stage(both(), model("original"), data, [0, 2], on_error=lambda name, _: told.append(name))
    assert told == ["b"]
    assert scored.queries["text_to_image"]["id"] == ["0", "2", "3", "4"]
    assert scored.queries["image_to_text"]["id"] == ["a", "c"]
    assert scored.notes[0].startswith("1 texts are empty or name no picture")
    with pytest.raises(InputError, match="picture 2 of 4"):
        two_stage(both(), model("original"), data, [0])


def test_equal_scores_stand_in_their_order() -> None:
    data = small()
    (picture, *_) = data.pictures.values()
    twins = Dataset("test", Path("set"), PAIRS, dict.fromkeys("abcd", picture), data.texts)
    scored = two_stage(both(), both(), twins, [0, 4])
    for depth in (0, 4):  # neither stage can tell the pictures apart
        assert np.asarray(scored.queries["text_to_image"][f"rank@{depth}"]).tolist() == [1, 2, 3, 3, 1]
    assert np.asarray(scored.queries["image_to_text"]["rank@0"]).shape == (3,)


def test_the_original_counts_pairs_without_a_score_in_their_order() -> None:
    data = small()
    sides = encode(both(), data)
    logits = {0: {1: 0.5}, 2: {0: 0.1, 1: 0.7, 4: -200.0}}
    assert _original_ranks(sides, logits, "text_to_image").tolist() == [2, 3, 3, 3, 1]
    assert _original_ranks(sides, logits, "image_to_text").tolist() == [2, 2, 3, 0]


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="depths are"):
        two_stage(both(), both(), small(), [])
    with pytest.raises(UsageError, match=r"directions are \['up'\]"):
        two_stage(both(), both(), small(), [0], ["up"])
    with pytest.raises(UsageError, match="depth is 0"):
        original(both(), both(), small(), 0)
    with pytest.raises(UsageError, match="needs captions, set holds questions"):
        encode(both(), Dataset("x", Path("set"), QUESTIONS, {}, []))
