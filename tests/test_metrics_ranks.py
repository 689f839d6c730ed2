"""Metrics of ranks against brute force and scikit-learn, and numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from tuwen.errors import UsageError
from tuwen.metrics import (
    TIES,
    average_precisions,
    first_ranks,
    hits,
    mean_recall,
    median_rank,
    ndcgs,
    places,
    recall,
)

EVERY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def judged(draw: st.DrawFn, different: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Scores (Q, G), with ties unless `different`, and which answers are right, at least one for each query."""
    noise = np.random.default_rng(draw(st.integers(0, 100_000)))
    queries, answers = draw(st.integers(1, 8)), draw(st.integers(2, 30))
    if different:
        scores = np.stack([noise.permutation(answers) for _ in range(queries)]).astype(np.float32)
    else:
        scores = noise.integers(0, draw(st.integers(1, 12)), (queries, answers)).astype(np.float32)
    relevant = noise.random((queries, answers)) < draw(st.floats(0.02, 0.9))
    relevant[np.arange(queries), noise.integers(0, answers, queries)] = True
    return scores, relevant


def ranked(line: np.ndarray) -> list[int]:
    """Columns, best first, equal ones from left to right."""
    return sorted(range(len(line)), key=lambda column: (-line[column], column))


@EVERY
@given(judged())
def test_places_are_those_of_a_stable_sort(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, relevant = data
    ranks, owners = places(scores, relevant)
    found = sorted(zip(owners.tolist(), ranks.tolist(), strict=True))
    expected = [
        (q, ranked(line).index(int(a)) + 1) for q, line in enumerate(scores) for a in np.flatnonzero(relevant[q])
    ]
    assert found == sorted(expected)


@EVERY
@given(judged())
def test_ties_may_count_for_an_answer_or_against_it(data: tuple[np.ndarray, np.ndarray]) -> None:
    ranks = {ties: places(*data, ties=ties)[0] for ties in TIES}
    assert (ranks["for"] <= ranks["order"]).all()
    assert (ranks["order"] <= ranks["against"]).all()
    scores, relevant = data
    owners, answers = np.nonzero(relevant)
    for pair, (query, answer) in enumerate(zip(owners, answers, strict=True)):
        own, line = scores[query, answer], scores[query]
        assert ranks["for"][pair] == 1 + sum(line > own)
        assert ranks["against"][pair] == sum(line >= own)


@EVERY
@given(judged(), st.integers(1, 12))
def test_recall_is_the_share_of_queries_with_any_right_answer_among_the_best(
    data: tuple[np.ndarray, np.ndarray], k: int
) -> None:
    scores, relevant = data
    ranks, owners = places(scores, relevant)
    first = first_ranks(ranks, owners, len(scores))
    found = [any(relevant[q, a] for a in ranked(line)[:k]) for q, line in enumerate(scores)]
    assert hits(first, k).tolist() == found
    assert recall(first, k) == pytest.approx(sum(found) / len(found))
    assert mean_recall(first) == pytest.approx(np.mean([recall(first, cut) for cut in (1, 5, 10)]))


@EVERY
@given(judged(different=True))
def test_average_precision_is_that_of_scikit_learn(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, relevant = data
    found = average_precisions(*places(scores, relevant), len(scores))
    expected = [average_precision_score(right, line) for right, line in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@EVERY
@given(judged(different=True), st.integers(1, 12))
def test_ndcg_is_that_of_scikit_learn(data: tuple[np.ndarray, np.ndarray], k: int) -> None:
    scores, relevant = data
    found = ndcgs(*places(scores, relevant), len(scores), k)
    expected = [
        ndcg_score(right[None].astype(float), line[None], k=k, ignore_ties=True)
        for right, line in zip(relevant, scores, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@EVERY
@given(judged())
def test_average_precision_with_ties_is_that_of_the_stable_order(data: tuple[np.ndarray, np.ndarray]) -> None:
    scores, relevant = data
    expected = []
    for line, right in zip(scores, relevant, strict=True):
        order = ranked(line)
        shares = [np.mean(right[order[: n + 1]]) for n, answer in enumerate(order) if right[answer]]
        expected.append(np.mean(shares))
    np.testing.assert_allclose(average_precisions(*places(scores, relevant), len(scores)), expected, rtol=1e-12)


def test_the_order_of_pairs_does_not_matter() -> None:
    ranks, owners = np.array([3, 1, 2, 7, 5]), np.array([0, 1, 0, 1, 2])
    mixed = np.array([4, 2, 0, 3, 1])
    for measure in (first_ranks, average_precisions):
        assert measure(ranks, owners, 3).tolist() == measure(ranks[mixed], owners[mixed], 3).tolist()


def test_numbers_worked_out_by_hand() -> None:
    ranks, owners = np.array([2, 4, 1]), np.array([0, 0, 1])
    assert first_ranks(ranks, owners, 2).tolist() == [2, 1]
    assert average_precisions(ranks, owners, 2).tolist() == [(1 / 2 + 2 / 4) / 2, 1.0]
    best = 1 + 1 / math.log2(3)
    assert ndcgs(ranks, owners, 2, 10)[0] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / best)
    assert ndcgs(ranks, owners, 2, 1).tolist() == [0.0, 1.0]
    assert median_rank(np.array([1, 9, 2, 4])) == 3


def test_a_query_without_a_right_answer_is_named() -> None:
    with pytest.raises(UsageError, match="query 1 has no right answer"):
        first_ranks(np.array([1, 1]), np.array([0, 2]), 3)
