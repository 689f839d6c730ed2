"""The page of a run: what went worst and best, with pictures inside, whatever the texts are."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.datasets import png
from tuwen.data.dataset import CHOICES, CLASSES, PAIRS, QUESTIONS, Dataset, Text
from tuwen.evaluate import confusion, examples, page, runs
from tuwen.evaluate.scored import Made, Scored, Table, figures_of

ABOUT = {"name": "<demo>", "source": "demo", "family": "x", "variant": None, "fingerprint": "f", "dtype": "float32"}


class Reader(HTMLParser):
    """Tags that are open, pictures, and what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: dict[str, str] = {}
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            self.pictures[str(given["alt"])] = str(given["src"])
        elif tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.said += data + "\n"


def read(scored: Scored, dataset: Dataset, **more: Any) -> Reader:
    run = runs.run_of(scored, [ABOUT], runs.of_data(dataset), "set & co", "test", {}, 1, resamples=20, **more)
    reader = Reader()
    reader.feed(page.page(run, scored.queries, dataset))
    assert not reader.open
    return reader


def dataset(kind: str, texts: list[Text], pictures: int = 4) -> Dataset:
    return Dataset("x", Path("x"), kind, {f"p{number}": png(number) for number in range(pictures)}, texts)


def retrieved() -> tuple[Scored, Dataset]:
    texts = [Text("0", "<b>一只猫</b>", ("p0",)), Text("1", "two dogs", ("p1",)), Text("2", "far", ("p2",))]
    found = [["p0", "p1"], ["p0", "p1"], ["p0", "p1"]]
    rank = np.array([1, 2, 40])
    table: Table = {"id": ["0", "1", "2"], "query": [text.text for text in texts], "found": found}
    table |= {"scores": [[0.9, 0.1], [0.6, 0.5], [0.4, 0.3]], "right": [["p0"], ["p1"], ["p2"]], "rank": rank}
    table["r1"] = (rank == 1).astype(float)
    back: Table = {"id": ["p1"], "found": [["0", "1"]], "scores": [[0.6, 0.5]], "right": [["1"]], "rank": np.array([2])}
    queries = {"text_to_image": table, "image_to_text": back}
    made = {"text_to_image_r1": Made("text_to_image", "r1")}
    return Scored("retrieval", figures_of(queries, made), queries, made, ["a note"]), dataset(PAIRS, texts)


def test_worst_queries_come_first_and_what_was_wanted_is_shown() -> None:
    scored, data = retrieved()
    forward, back = examples.parts(
        runs.run_of(scored, [ABOUT], runs.of_data(data), "x", "", {}, 1), scored.queries, data
    )
    assert [one.text for one in forward.worst] == ["far", "two dogs"]
    assert [one.text for one in forward.best] == ["<b>一只猫</b>"]
    assert [(hit.image, hit.rank, hit.right) for hit in forward.worst[0].hits] == [
        ("p0", 1, False),
        ("p1", 2, False),
        ("p2", 0, True),
    ]
    assert back.worst[0].images == ("p1",)
    assert [hit.text for hit in back.worst[0].hits] == ["<b>一只猫</b>", "two dogs"]


def test_the_page_holds_its_pictures_and_escapes_texts() -> None:
    reader = read(*retrieved(), failures=[("x.jpg", "is <broken>")])
    assert set(reader.pictures) == {"p0", "p1", "p2"}
    content = reader.pictures["p0"].removeprefix("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert max(picture.size) <= page.SIDE
    for said in (
        "<b>一只猫</b>",
        "set & co test · retrieval",
        "33.3",
        "is <broken>",
        "a note",
        "名次",
        "rank",
        "<demo>",
    ):
        assert said in reader.said


def test_published_results_stand_by_ours_with_a_difference_only_on_the_same_data() -> None:
    scored, data = retrieved()
    reference = {"figures": {"text_to_image_r1": 0.3}, "source": "paper", "training": "zero-shot"}
    assert "30.0 Δ +3.3" in read(scored, data, reference={**reference, "comparable": True}).said
    other = read(scored, data, reference={**reference, "comparable": False}).said
    assert "30.0" in other
    assert "Δ" not in other


def test_places_are_drawn_into_the_pictures_of_grounding() -> None:
    white = np.full((100, 200, 3), 255, dtype=np.uint8)
    texts = [Text("0", "left", ("p0",), "", {"boxes": [[20, 20, 80, 80]]}), Text("1", "right", ("p0",))]
    table: Table = {"id": ["0", "1"], "image": ["p0", "p0"], "text": ["left", "right"], "x": np.array([150.0, 150.0])}
    table |= {"y": np.array([50.0, 50.0]), "pointing": np.array([0.0, 1.0]), "share": np.array([0.1, 0.9])}
    made = {"pointing": Made("texts", "pointing")}
    scored = Scored("ground", figures_of({"texts": table}, made), {"texts": table}, made)
    data = Dataset("x", Path("x"), PAIRS, {"p0": white}, texts)
    run = runs.run_of(scored, [ABOUT], runs.of_data(data), "x", "", {}, 1, resamples=20)
    html = page.page(run, scored.queries, data)
    wrong, right = (shown(one) for one in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html))
    assert dark(wrong[20:81, 18:24]) and dark(wrong[20:81, 78:84]) and not dark(wrong[30:70, 30:70])  # its box
    for picture in (wrong, right):
        assert dark(picture[40:60, 140:160]) and not dark(picture[85:, 100:])  # the point
    assert not dark(right[:, :100])


def shown(content: str) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        return np.asarray(picture)


def dark(part: np.ndarray[Any, Any]) -> bool:
    return bool(part.min() < 120)


def test_regions_of_visual_genome_are_drawn_too() -> None:
    texts = [Text("0", "left", ("p0",), "", {"x": 20, "y": 30, "width": 60, "height": 50})]
    table: Table = {"id": ["0"], "image": ["p0"], "text": ["left"], "x": np.array([1.0]), "y": np.array([1.0])}
    table |= {"pointing": np.zeros(1), "share": np.zeros(1)}
    scored = Scored("ground", {"pointing": 0.0}, {"texts": table}, {})
    data = dataset(PAIRS, texts)
    (part,) = examples.parts(runs.run_of(scored, [ABOUT], runs.of_data(data), "x", "", {}, 1), scored.queries, data)
    assert part.worst[0].boxes == ((20.0, 30.0, 80.0, 80.0),)


def test_a_file_called_as_its_split_is_named_once_and_notes_are_in_both_languages() -> None:
    scored, data = retrieved()
    scored.notes[:] = ["3 pictures could not be read: they cannot be found"]
    run = runs.run_of(scored, [ABOUT], runs.of_data(data), "g3", "g3", {"depth": [0, 8], "seed": 3}, 1)
    html = page.page(run, scored.queries, data)
    assert "<title>tuwen 图文 · g3 · 检索 retrieval</title>" in html
    assert page.both("g3 · 检索", "g3 · retrieval") in html
    assert "<p>depth 0 8, seed 3</p>" in html
    assert page.both("3 张图片读不了，不会被搜到", scored.notes[0]) in html


def test_a_sweep_of_depths_is_drawn() -> None:
    depths: Table = {"id": ["0", "8"], "depth": np.array([0, 8]), "milliseconds": np.array([2.0, 90.0])}
    depths["text_to_image_r1"] = np.array([0.5, 0.75])
    reader = read(Scored("two_stage", {"accuracy": 0.0}, {"depths": depths}, {}), dataset(PAIRS, []))
    for said in ("召回率与耗时", "Recall against time", "ms of one search (log)", "深度", "两阶段检索"):
        assert said in reader.said


def test_a_picture_that_cannot_be_read_stays_empty() -> None:
    scored, data = retrieved()
    data.pictures = {**data.pictures, "p1": b"broken"}
    assert read(scored, data).pictures["p1"] == "data:,"


def classes(pairs: list[tuple[str, str]]) -> Table:
    right = np.array([float(one == other) for one, other in pairs])
    table: Table = {"id": [f"p{number}" for number in range(len(pairs))], "class": [one for one, _ in pairs]}
    table |= {"predicted": [other for _, other in pairs], "probability": np.full(len(pairs), 0.6)}
    return table | {"top1": right}


def test_confused_classes_stand_side_by_side() -> None:
    table = classes([("猫", "狗"), ("猫", "狗"), ("猫", "猫"), ("狗", "狼"), ("车", "船"), ("马", "马")])
    pairs = confusion.confused(table)
    assert pairs[0] == ("猫", "狗", 2)
    assert confusion.classes(pairs) == ["猫", "狗", "狼", "车", "船"]
    assert confusion.classes(pairs, 3) == ["猫", "狗", "狼"]
    html = confusion.html(table)
    assert re.search(r"rgb\(var\(--miss\) / 0\.64\)\">2<", html)  # two of three cats
    assert "马" not in html
    assert confusion.html(classes([("马", "马")])) == ""


def test_pictures_of_classes_are_cards_with_both_names() -> None:
    table = classes([("猫", "狗"), ("狗", "狗")])
    made = {"top1": Made("pictures", "top1")}
    scored = Scored("zeroshot", {"top1": 0.5}, {"pictures": table}, made)
    reader = read(scored, dataset(CLASSES, [Text("0", "猫", ("p0",)), Text("1", "狗", ("p1",))]))
    assert "狗 (60.0 %)" in reader.said
    assert "✗" in reader.said and "✓" in reader.said
    assert set(reader.pictures) == {"p0", "p1"}


OTHERS: dict[str, tuple[str, Table, Text, str]] = {
    "vqa": (
        "questions",
        {
            "id": ["0"],
            "image": ["p0"],
            "question": ["几只？"],
            "predicted": ["two"],
            "probability": [0.5],
            "answers": [["three"] * 10],
            "accuracy": np.zeros(1),
        },
        Text("0", "几只？", ("p0",)),
        "three",
    ),
    "vcr": (
        "questions",
        {
            "id": ["0"],
            "image": ["p0"],
            "question": ["why?"],
            "answer": [1],
            "answer_label": [0],
            "answer_probability": [0.5],
            "q_a": np.zeros(1),
        },
        Text("0", "why?", ("p0",), "", {"answers": ["because", ["so", [0, 1], "do"]]}),
        "so [0][1] do (50.0 %)",
    ),
    "nlvr2": (
        "statements",
        {
            "id": ["0"],
            "first": ["p0"],
            "second": ["p1"],
            "sentence": ["both red"],
            "label": [True],
            "predicted": [False],
            "probability": [0.2],
            "accuracy": np.zeros(1),
        },
        Text("0", "both red", ("p0", "p1")),
        "20.0 %",
    ),
    "snli_ve": (
        "hypotheses",
        {
            "id": ["0"],
            "image": ["p0"],
            "hypothesis": ["a cat"],
            "label": ["neutral"],
            "predicted": ["entailment"],
            "probability": [0.9],
            "accuracy": np.zeros(1),
        },
        Text("0", "a cat", ("p0",)),
        "entailment (90.0 %)",
    ),
    "fill": (
        "words",
        {
            "id": ["0"],
            "image": ["p0"],
            "masked": ["a <mask>"],
            "word": ["cat"],
            "predicted": ["dog"],
            "probability": [0.1],
            "accuracy": np.zeros(1),
        },
        Text("0", "a cat", ("p0",)),
        "cat (10.0 %)",
    ),
    "ground": (
        "texts",
        {
            "id": ["0"],
            "image": ["p0"],
            "text": ["cat"],
            "x": [12.2],
            "y": [7.0],
            "pointing": np.zeros(1),
            "share": [0.25],
        },
        Text("0", "cat", ("p0",)),
        "12, 7",
    ),
    "match": (
        "pairs",
        {
            "id": ["0"],
            "image": ["p0"],
            "caption": ["a cat"],
            "foil": ["a dog"],
            "margin": [-0.5],
            "certainty": [0.5],
            "accuracy": np.zeros(1),
        },
        Text("0", "a cat", ("p0",)),
        "-0.500",
    ),
    "two_stage": (
        "text_to_image",
        {"id": ["0"], "query": ["a cat"], "rank@0": np.array([9]), "rank@8": np.array([1]), "r1@8": np.ones(1)},
        Text("0", "a cat", ("p0",)),
        "reranked",
    ),
}


@pytest.mark.parametrize("task", OTHERS)
def test_queries_of_every_task_are_shown(task: str) -> None:
    name, table, text, expected = OTHERS[task]
    kinds = {"vqa": QUESTIONS, "vcr": CHOICES}
    reader = read(Scored(task, {"accuracy": 0.0}, {name: table}, {}), dataset(kinds.get(task, PAIRS), [text]))
    assert expected in reader.said
    assert "p0" in reader.pictures
    heading = {"vqa": "问题", "vcr": "问题", "nlvr2": "陈述", "snli_ve": "假设", "fill": "遮盖词", "ground": "定位"}
    assert f"{heading.get(task, '')}：最{'好' if task == 'two_stage' else '差'}" in reader.said
