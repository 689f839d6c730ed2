"""Whatever the precision of the scan: the result is that of a full sort of exact scores, and ranks are places in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.metrics import TIES, places
from tuwen.search import exact, scan
from tuwen.search.exact import find, pair_scores, ranks_of, top_k

EVERY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def one_by_one(queries: Tensor, gallery: Tensor) -> np.ndarray:
    """(Q, G) float32: each score on its own, in double precision, then rounded."""
    ours, theirs = queries.double().numpy(), gallery.double().numpy()
    return (
        np.array([[np.einsum("e,e->", q, r) for r in theirs] for q in ours])
        .reshape(len(ours), len(theirs))
        .astype("f4")
    )


def sorted_fully(scores: np.ndarray) -> np.ndarray:
    """(Q, G) rows, by score downwards, then by row."""
    return np.argsort(-scores, axis=1, kind="stable")


@st.composite
def features(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Queries and a gallery: random, close together, with ties, with copies, or of very unequal length."""
    noise = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    count, rows, width = draw(st.integers(1, 7)), draw(st.integers(1, 90)), draw(st.sampled_from([1, 3, 16, 67]))
    queries, gallery = (torch.randn(n, width, generator=noise) for n in (count, rows))
    kind = draw(st.sampled_from(["random", "close", "ties", "copies", "lengths", "zero"]))
    if kind == "close":
        queries, gallery = queries / 1000 + 1, gallery / 1000 + 1
    elif kind == "ties":
        queries, gallery = queries.round(), gallery.round()
    elif kind == "copies":
        gallery = gallery[torch.randint(0, 1 + rows // 5, (rows,), generator=noise)]
    elif kind == "lengths":
        gallery = gallery * 10 ** (4 * torch.rand(rows, 1, generator=noise))
    elif kind == "zero":
        gallery = torch.zeros_like(gallery)
    return queries, gallery


@EVERY
@given(features(), st.integers(1, 40), st.sampled_from([1, 5, 13, 1000]), st.sampled_from(scan.SCANS))
def test_the_best_are_those_of_a_full_sort(data: tuple[Tensor, Tensor], k: int, block: int, how: str) -> None:
    queries, gallery = data
    expected = one_by_one(queries, gallery)
    scores, rows = top_k(queries, gallery, k, block=block, scan=how)
    assert np.array_equal(rows.numpy(), sorted_fully(expected)[:, :k])
    assert np.array_equal(scores.numpy(), np.take_along_axis(expected, rows.numpy(), 1))


@EVERY
@given(features(), st.sampled_from([1, 5, 13, 1000]), st.integers(0, 100))
def test_a_rank_is_the_place_in_a_full_sort(data: tuple[Tensor, Tensor], block: int, seed: int) -> None:
    queries, gallery = data
    noise = torch.Generator().manual_seed(seed)
    owners, rows = (torch.randint(0, len(side), (30,), generator=noise) for side in (queries, gallery))
    order = sorted_fully(one_by_one(queries, gallery))
    places = [order[owner].tolist().index(row) + 1 for owner, row in zip(owners.tolist(), rows.tolist(), strict=True)]
    assert ranks_of(queries, gallery, owners, rows, block=block).tolist() == places


@EVERY
@given(features(), st.sampled_from([1, 13, 1000]), st.sampled_from(TIES))
def test_ranks_follow_each_rule_of_ties(data: tuple[Tensor, Tensor], block: int, ties: str) -> None:
    queries, gallery = data
    scores = one_by_one(queries, gallery)
    ranks, owners = places(scores, np.ones_like(scores, dtype=bool), ties)
    columns = torch.arange(len(gallery)).repeat(len(queries))
    assert ranks_of(queries, gallery, torch.from_numpy(owners), columns, block, ties).tolist() == ranks.tolist()


@pytest.mark.parametrize("how", scan.SCANS)
def test_no_product_is_further_off_than_its_bound(how: str) -> None:
    for width, spread in ((8, 1.0), (512, 1.0), (512, 1e-3), (100, 50.0)):
        queries, gallery = torch.randn(40, width) * spread, torch.randn(300, width) + 1
        possible = scan.possible(how, queries, gallery)
        ours, theirs = scan.side(queries, possible), scan.side(gallery, possible)
        true = (queries.double() @ gallery.double().T).float().double()
        off = (scan.product(theirs)(ours).double() - true).abs().amax(1)
        assert (off <= scan.bound(ours, theirs)).all()


def test_a_bound_is_not_so_loose_that_everything_is_in_doubt() -> None:
    unit = torch.nn.functional.normalize(torch.randn(50, 512), dim=1)
    bounds = {how: float(scan.bound(scan.side(unit, how), scan.side(unit, how)).max()) for how in scan.SCANS}
    assert bounds["float32"] < 4e-5
    assert bounds["float16"] < 2e-3
    assert bounds["bfloat16"] < 1e-2
    assert bounds["int8"] < 3e-2


def test_queries_that_a_scan_leaves_in_doubt_are_scanned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    again: list[int] = []
    known = exact._Search._again

    def counted(search: exact._Search, only: Tensor, reached: Tensor) -> tuple[Tensor, Tensor]:
        again.append(len(only))
        return known(search, only, reached)

    monkeypatch.setattr(exact._Search, "_again", counted)
    gallery = torch.nn.functional.normalize(torch.randn(500, 16), dim=1)
    gallery[100:140] = gallery[100]  # more copies than are kept
    queries = torch.cat([gallery[100:101], -gallery[100:101]])
    _, rows = top_k(queries, gallery, 10)
    assert again == [1]
    assert rows[0].tolist() == list(range(100, 110))


@pytest.mark.parametrize("spread", [1.0, 1e-4])  # so close together that bfloat16 sees no difference
def test_what_is_tried_first_changes_nothing(monkeypatch: pytest.MonkeyPatch, spread: float) -> None:
    queries, gallery = torch.randn(50, 16), torch.nn.functional.normalize(1 + spread * torch.randn(400, 16), dim=1)
    expected = top_k(queries, gallery, 5, scan="float32")
    monkeypatch.setattr(exact, "TRIED", 8)
    monkeypatch.setattr(exact, "bfloat16_wins", lambda: True)
    scores, rows = top_k(queries, gallery, 5)
    assert torch.equal(scores, expected[0])
    assert torch.equal(rows, expected[1])
    queries[40, 3] = torch.inf
    with pytest.raises(InputError, match="query 40 "):
        top_k(queries, gallery, 5)


def test_both_come_from_one_pass() -> None:
    queries, gallery = torch.randn(6, 8), torch.randn(40, 8)
    owners, rows = torch.tensor([5, 0, 3]), torch.tensor([7, 7, 39])
    found = find(queries, gallery, 4, owners, rows, block=11)
    assert torch.equal(found.rows, top_k(queries, gallery, 4)[1])
    assert torch.equal(found.ranks, ranks_of(queries, gallery, owners, rows))


def test_a_score_does_not_depend_on_what_is_scored_with_it() -> None:
    queries, gallery = torch.randn(50, 512), torch.randn(60, 512)
    everyone = torch.cartesian_prod(torch.arange(50), torch.arange(60))
    together = pair_scores(queries, gallery, everyone[:, 0], everyone[:, 1])
    alone = [
        float(pair_scores(queries[q : q + 1], gallery[r : r + 1], torch.tensor([0]), torch.tensor([0])))
        for q, r in everyone[::37].tolist()
    ]
    assert together[::37].tolist() == alone


@pytest.mark.parametrize("pairs", [([0], [0, 1]), ([2], [0]), ([0], [-1]), ([0], [5])])
def test_pairs_that_are_not_there_are_refused(pairs: tuple[list[int], list[int]]) -> None:
    with pytest.raises(UsageError):
        ranks_of(torch.ones(2, 3), torch.ones(5, 3), torch.tensor(pairs[0]), torch.tensor(pairs[1]))


def test_an_unknown_scan_is_refused() -> None:
    with pytest.raises(UsageError, match="auto, float32, bfloat16, float16, int8"):
        top_k(torch.ones(2, 3), torch.ones(5, 3), 1, scan="fp8")
