"""NLVR2 and SNLI-VE: the originals' accuracies, consistency by hand, and what is told about bad rows."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fusing import CASES, pictures
from tuwen.data import arrow
from tuwen.data.dataset import ENTAILMENT, PAIRS, STATEMENTS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate import nlvr2, snli_ve
from tuwen.loading import load
from tuwen.model import Model
from tuwen.tasks.entail import LABELS

FILES = {"orig_nlvr2": "BridgeTower_ftfpt_tiny_nlvr2.ckpt", "orig_snli": "BridgeTower_ftfpt_tiny_snlive.ckpt"}
JUDGES: dict[str, Any] = {"orig_nlvr2": nlvr2, "orig_snli": snli_ve}
TABLES = {"orig_nlvr2": ("nlvr2_dev", "nlvr2_test1"), "orig_snli": ("snli_dev", "snli_test")}


@cache
def model(case: str) -> Model:
    path = CASES / "bridgetower" / case / "checkpoint" / FILES[case]
    return load(path, tokenizer=path.parent / "roberta", device="cpu")


@pytest.mark.parametrize("case", FILES)
def test_accuracies_of_both_tables_are_the_originals(case: str) -> None:
    folder = CASES / "bridgetower" / case
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    for part, split in zip(("val", "test"), TABLES[case], strict=True):
        scored = JUDGES[case].score(JUDGES[case].predict(model(case), arrow.open_dataset(folder / "data", split)))
        assert scored.figures["accuracy"] == pytest.approx(expected[part]["accuracy"])


# -- NLVR2 ------------------------------------------------------------------------------------------------------------


def statements(*rows: tuple[str, str, bool | None]) -> Dataset:
    shown = pictures(3)
    texts = [
        Text(name, said, ("a", "b" if n % 2 else "c"), f"dev.json:{n + 1}", {} if label is None else {"label": label})
        for n, (name, said, label) in enumerate(rows)
    ]
    return Dataset("nlvr2", Path("dev.json"), STATEMENTS, dict(zip("abc", shown, strict=True)), texts)


ROWS = [
    ("dev-1-0-0", "a cat", True),
    ("dev-1-1-0", "a cat", True),
    ("dev-1-0-1", "two dogs", False),
    ("dev-2-0-0", "a cat", True),
]


def test_a_sentence_is_consistent_where_all_its_pairs_are_right() -> None:
    data = statements(*ROWS)
    judged = nlvr2.Judged(data, {0: 0.9, 1: 0.2, 2: 0.1, 3: 0.6})
    scored = nlvr2.score(judged)
    assert scored.figures == pytest.approx({"accuracy": 3 / 4, "consistency": 2 / 3})
    assert scored.queries["sentences"]["id"] == ["dev-1--0", "dev-1--1", "dev-2--0"]
    assert nlvr2.submission(judged) == "dev-1-0-0,True\ndev-1-1-0,False\ndev-1-0-1,False\ndev-2-0-0,True\n"


def test_ids_of_another_form_make_one_sentence_of_equal_texts() -> None:
    data = statements(*((str(n), said, label) for n, (_, said, label) in enumerate(ROWS)))
    assert nlvr2.score(nlvr2.Judged(data, {0: 1, 1: 1, 2: 1, 3: 0})).figures == pytest.approx(
        {"accuracy": 1 / 2, "consistency": 0}
    )


def test_statements_are_those_of_the_python_call() -> None:
    data = statements(*ROWS)
    judged = nlvr2.predict(model("orig_nlvr2"), data)
    first, second = ([data.pictures[text.image_ids[side]] for text in data.texts] for side in (0, 1))
    wanted = model("orig_nlvr2").pair(first, second, [text.text for text in data.texts])
    np.testing.assert_allclose([judged.chances[n] for n in range(4)], wanted, atol=1e-6)


def test_broken_pictures_and_empty_statements_are_told_by_their_rows() -> None:
    data = statements(*ROWS, ("dev-3-0-0", " ", True), ("dev-4-0-0", "a bus", None))
    data.pictures["c"] = b"broken"  # type: ignore[index]
    told: list[str] = []
    judged = nlvr2.predict(model("orig_nlvr2"), data, lambda name, _: told.append(name))
    assert told == ["dev.json:5", "dev.json:1", "dev.json:3"]
    assert sorted(judged.chances) == [1, 3, 5]
    scored = nlvr2.score(judged)
    assert len(scored.queries["statements"]["id"]) == 2
    assert "1 statements do not say whether they are true" in scored.notes[0]
    with pytest.raises(InputError, match=r"3 statements of dev\.json were not judged"):
        nlvr2.submission(judged)


# -- SNLI-VE ----------------------------------------------------------------------------------------------------------


def test_hypotheses_are_judged_without_the_spaces_around_them() -> None:
    words = [" a cat .", "a cat .", "two dogs"]
    columns = [{"label": "entailment"}, {"label": "neutral"}, {}]
    texts = [
        Text(str(n), said, ("a",), columns=each) for n, (said, each) in enumerate(zip(words, columns, strict=True))
    ]
    data = Dataset("snli-ve", Path("dev.jsonl"), ENTAILMENT, {"a": pictures(1)[0]}, texts)
    judged = snli_ve.predict(model("orig_snli"), data)
    wanted = model("orig_snli").entail(data.pictures["a"], "a cat .")[0]
    for number in (0, 1):
        np.testing.assert_allclose(judged.chances[number], wanted, atol=1e-6)
    scored = snli_ve.score(judged)
    best = LABELS[int(wanted.argmax())]
    assert scored.figures["accuracy"] == np.mean([best == "entailment", best == "neutral"])
    assert scored.queries["hypotheses"]["hypothesis"] == ["a cat .", "a cat ."]
    assert "1 hypotheses have no label" in scored.notes[0]


@pytest.mark.parametrize("case", FILES)
def test_captions_are_refused(case: str) -> None:
    with pytest.raises(UsageError, match="set holds pairs"):
        JUDGES[case].predict(model(case), Dataset("x", Path("set"), PAIRS, {}, []))
