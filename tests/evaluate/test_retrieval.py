"""Retrieval both ways against brute force, and how each original counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from tests.evaluate.seeing import seeing
from tuwen.data.dataset import PAIRS, QUESTIONS, Dataset, Text
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.features import Features
from tuwen.evaluate.retrieval import PROTOCOLS, protocol_of, retrieval, score
from tuwen.evaluate.scored import figures_of

EVERY = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def side(vectors: np.ndarray | list[list[float]], ids: list[str]) -> Features:
    return Features(ids, np.array(vectors, dtype=np.float32), np.arange(len(ids)))


def captioned(image_ids: list[str], captions: list[tuple[str, tuple[str, ...]]]) -> Dataset:
    texts = [Text(str(100 + number), text, named) for number, (text, named) in enumerate(captions)]
    return Dataset("test", Path("set"), PAIRS, dict.fromkeys(image_ids, b""), texts)


def pairs_of(numbers: list[int]) -> tuple[Features, Features, Dataset]:
    """Pairs that the scores put at ranks `numbers`: text i has the score of its own picture at that rank."""
    count = len(numbers)
    vectors = np.zeros((count, count))
    for row, rank in enumerate(numbers):
        others = [column for column in range(count) if column != row]
        vectors[row, row] = 0
        vectors[row, others[: rank - 1]] = 1
        vectors[row, others[rank - 1 :]] = -1
    data = captioned([str(n) for n in range(count)], [(f"text {n}", (str(n),)) for n in range(count)])
    return side(np.eye(count), list(data.pictures)), side(vectors, [text.id for text in data.texts]), data


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Features, Features, Dataset]:
    """Pictures and texts of whole numbers, with ties, in any relation to each other; some texts name nothing."""
    noise = np.random.default_rng(draw(st.integers(0, 100_000)))
    pictures, texts = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    ids = [str(n) for n in noise.permutation(100)[:pictures]]
    named = [tuple(id_ for id_ in ids if noise.random() < draw(st.floats(0, 0.5))) for _ in range(texts)]
    named[0] = named[0] or (ids[0],)
    data = captioned(ids, [(f"text {n}", one) for n, one in enumerate(named)])
    vectors = noise.integers(-2, 3, (pictures + texts, 4))
    return side(vectors[:pictures], ids), side(vectors[pictures:], [text.id for text in data.texts]), data


def by_brute_force(data: tuple[Features, Features, Dataset], turned: bool) -> list[list[bool]]:
    """For each query with a right answer, down its list, best first, equal ones in order: whether each is right."""
    image, text, dataset = data
    scores = text.vectors @ image.vectors.T
    right = np.array([[image_id in one.image_ids for image_id in image.ids] for one in dataset.texts])
    if turned:
        scores, right = scores.T, right.T
    orders = np.argsort(-scores, axis=1, kind="stable")
    return [own[order].tolist() for own, order in zip(right, orders, strict=True) if own.any()]


@EVERY
@given(labelled())
def test_figures_are_those_of_brute_force(data: tuple[Features, Features, Dataset]) -> None:
    figures = score(*data).figures
    means = []
    for name, turned in (("text_to_image", False), ("image_to_text", True)):
        lists = by_brute_force(data, turned)
        recalls = [float(np.mean([any(line[:k]) for line in lists])) for k in (1, 5, 10)]
        assert [figures[f"{name}_r{k}"] for k in (1, 5, 10)] == pytest.approx(recalls)
        assert figures[f"{name}_mean_recall"] == pytest.approx(np.mean(recalls))
        assert figures[f"{name}_median_rank"] == np.median([line.index(True) + 1 for line in lists])
        down = [average_precision_score(line, -np.arange(len(line))) for line in lists]
        assert figures[f"{name}_map"] == pytest.approx(np.mean(down))
        gains = [sum(1 / np.log2(n + 2) for n, hit in enumerate(line[:10]) if hit) for line in lists]
        best = [sum(1 / np.log2(n + 2) for n in range(min(10, sum(line)))) for line in lists]
        assert figures[f"{name}_ndcg10"] == pytest.approx(np.mean(np.array(gains) / best))
        means.append(np.mean(recalls))
    assert figures["mean_recall"] == pytest.approx(np.mean(means))


@EVERY
@given(labelled(), st.sampled_from(PROTOCOLS))
def test_figures_can_be_made_again_from_the_queries(data: tuple[Features, Features, Dataset], protocol: str) -> None:
    scored = score(*data, protocol)
    assert figures_of(scored.queries, scored.made) == scored.figures
    for table in scored.queries.values():
        assert len({len(column) for column in table.values()}) == 1


def test_a_row_tells_what_was_found_and_what_was_right() -> None:
    image, text, data = pairs_of([1, 3, 2])
    table = score(image, text, data).queries["text_to_image"]
    assert table["id"] == ["100", "101", "102"]
    assert table["query"] == ["text 0", "text 1", "text 2"]
    assert table["found"] == [["0", "1", "2"], ["0", "2", "1"], ["0", "2", "1"]]
    assert table["right"] == [["0"], ["1"], ["2"]]
    assert list(table["rank"]) == [1, 3, 2]


def test_what_is_not_labelled_is_no_query_but_can_be_found() -> None:
    data = captioned(["1", "2", "3"], [("a", ("1",)), ("b", ()), ("c", ("2",))])
    scored = score(side(np.eye(3), ["1", "2", "3"]), side(np.eye(3), ["100", "101", "102"]), data)
    assert scored.queries["text_to_image"]["id"] == ["100", "102"]
    assert scored.queries["image_to_text"]["id"] == ["1", "2"]
    assert scored.notes == [
        "1 texts name no picture that could be read: they count as no queries",
        "1 pictures are named by no text: they can be found, but are no queries",
    ]


def test_a_split_without_labels_has_predictions_and_no_figures() -> None:
    data = captioned(["1", "2"], [("a", ()), ("b", ())])
    for protocol in ("own", "chinese-clip"):
        scored = score(side(np.eye(2), ["1", "2"]), side(np.eye(2), ["100", "101"]), data, protocol)
        assert scored.figures == {}
        assert scored.queries["text_to_image"]["found"] == [["1", "2"], ["2", "1"]]


def test_chinese_clip_counts_a_text_without_pictures_as_a_miss() -> None:
    data = captioned(["1", "2"], [("a", ("1",)), ("b", ())])
    features = side(np.eye(2), ["1", "2"]), side(np.eye(2), ["100", "101"])
    assert score(*features, data).figures["text_to_image_r1"] == 1
    theirs = score(*features, data, "chinese-clip")
    assert theirs.figures["text_to_image_r10"] == 0.5
    assert theirs.figures["image_to_text_r10"] == 1
    assert "text_to_image_map" not in theirs.figures
    assert list(theirs.queries["text_to_image"]["rank"]) == [1, 3]


def test_chinese_clip_has_pictures_in_the_order_of_its_lmdb() -> None:
    data = captioned(["9", "100"], [("a", ("100",))])
    features = side([[1.0], [1.0]], ["9", "100"]), side([[1.0]], ["100"])
    assert score(*features, data).figures["text_to_image_r1"] == 0
    assert score(*features, data, "chinese-clip").figures["text_to_image_r1"] == 1


def test_ernie_goes_row_by_row_and_ties_favour_the_own_partner() -> None:
    data = captioned(["1", "2"], [("a", ("1",)), ("b", ("1",)), ("c", ("2",))])
    text = side([[1, 0], [1, 0], [0, 1]], ["100", "101", "102"])
    scored = score(side(np.eye(2), ["1", "2"]), text, data, "ernie-vil2")
    assert list(scored.queries["text_to_image"]["rank"]) == [1, 1, 1]
    assert scored.figures["image_to_text_r1"] == 1
    worse = side([[1, 0], [2, 0], [0, 1]], ["100", "101", "102"])
    assert list(score(side(np.eye(2), ["1", "2"]), worse, data, "ernie-vil2").queries["image_to_text"]["rank"]) == [
        2,
        1,
        1,
    ]
    assert score(side(np.eye(2), ["1", "2"]), worse, data).figures["image_to_text_r1"] == 1
    assert "1 of 3 rows repeat a picture" in scored.notes[0]
    assert "wants a multiple of 10" in scored.notes[1]


def test_brivl_has_recall_at_one_alone() -> None:
    assert score(*pairs_of([1, 2, 1, 3]), "brivl").figures.keys() == {"text_to_image_r1", "image_to_text_r1"}


def test_bridgetower_counts_equal_captions_of_a_picture_once() -> None:
    data = captioned(["1", "2"], [("a", ("1",)), ("a", ("1",)), ("a", ("2",))])
    scored = score(
        side(np.eye(2), ["1", "2"]), side([[1, 0], [1, 0], [0, 1]], ["100", "101", "102"]), data, "bridgetower"
    )
    assert scored.queries["text_to_image"]["id"] == ["100", "102"]


def test_a_picture_that_cannot_be_read_takes_its_pairs_with_it(tmp_path: Path) -> None:
    texts = [Text("1", "red 1", ("a",)), Text("2", "blue 9", ("b",))]
    data = Dataset("test", tmp_path, PAIRS, {"a": b"red 1", "b": b"broken"}, texts)
    model, one = seeing()
    scored = retrieval(model, data)
    assert scored.queries["text_to_image"]["id"] == ["1"]
    assert "1 pictures could not be read: they cannot be found" in scored.notes
    with pytest.raises(InputError):
        retrieval(model, data, on_error="fail")
    assert one.quotes == [None]


def test_the_protocol_of_chinese_clip_tokenizes_as_its_script(tmp_path: Path) -> None:
    data = Dataset("test", tmp_path, PAIRS, {"a": b"red 1"}, [Text("1", "red 1", ("a",))])
    model, one = seeing()
    retrieval(model, data, "original")
    assert one.quotes == ["straight"]


def test_what_is_no_retrieval_is_refused(tmp_path: Path) -> None:
    model, _ = seeing()
    with pytest.raises(UsageError, match="needs captions"):
        retrieval(model, Dataset("test", tmp_path, QUESTIONS, {"a": b""}, []))
    with pytest.raises(InputError, match="0 pictures and 0 texts"):
        retrieval(model, Dataset("test", tmp_path, PAIRS, {}, []))
    with pytest.raises(UsageError, match="protocol is 'theirs'"):
        protocol_of("theirs", "vle")
    with pytest.raises(UsageError, match="vle published no retrieval"):
        protocol_of("original", "vle")
