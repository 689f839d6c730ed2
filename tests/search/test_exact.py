"""Exact search equals the plain sort of all scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.search.exact import top_k


def whole_numbers(rows: int, width: int, values: int, seed: int) -> Tensor:
    """Features of a few whole numbers: their products are exact, and many are equal."""
    return torch.randint(values, (rows, width), generator=torch.Generator().manual_seed(seed)).float()


def by_sorting_everything(queries: Tensor, gallery: Tensor, k: int) -> tuple[Tensor, Tensor]:
    pairs = [sorted((-score, row) for row, score in enumerate(line))[:k] for line in (queries @ gallery.T).tolist()]
    scores = torch.tensor([[-score for score, _ in line] for line in pairs])
    return scores, torch.tensor([[row for _, row in line] for line in pairs])


@pytest.mark.parametrize("block", [1, 2, 7, 64, 200, 1000])
@pytest.mark.parametrize("values", [1, 2, 3])
def test_ties_go_to_the_lower_row_whatever_the_block(block: int, values: int) -> None:
    queries, gallery = whole_numbers(9, 4, 2, seed=1), whole_numbers(200, 4, values, seed=2)
    scores, rows = top_k(queries, gallery, 17, block=block)
    expected_scores, expected_rows = by_sorting_everything(queries, gallery, 17)
    assert torch.equal(rows, expected_rows)
    assert torch.equal(scores, expected_scores)


def test_real_features_come_best_first() -> None:
    queries, gallery = torch.randn(5, 32), torch.randn(1000, 32)
    scores, rows = top_k(queries, gallery, 10, block=128)
    assert torch.equal(rows, (queries @ gallery.T).topk(10).indices)
    torch.testing.assert_close(scores, (queries @ gallery.T).topk(10).values)


def test_more_queries_than_fit_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = whole_numbers(50, 4, 3, seed=1), whole_numbers(60, 4, 3, seed=2)
    expected = top_k(queries, gallery, 5)
    monkeypatch.setattr("tuwen.search.exact.QUERIES_AT_ONCE", 7)
    scores, rows = top_k(queries, gallery, 5)
    assert torch.equal(rows, expected[1])
    assert torch.equal(scores, expected[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_file_mapped_into_memory_is_searched_as_it_is(tmp_path: Path, dtype: type) -> None:
    gallery = torch.randn(300, 16)
    np.save(tmp_path / "features.npy", gallery.numpy().astype(dtype))
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    queries = torch.randn(4, 16)
    scores, rows = top_k(queries, mapped, 3, block=100)
    expected = (queries @ gallery.to(torch.float16 if dtype is np.float16 else torch.float32).float().T).topk(3)
    assert torch.equal(rows, expected.indices)
    torch.testing.assert_close(scores, expected.values)


def test_asking_for_more_than_there_is_gives_all() -> None:
    scores, rows = top_k(torch.ones(2, 3), torch.ones(4, 3), 10)
    assert rows.tolist() == [[0, 1, 2, 3]] * 2
    assert scores.shape == (2, 4)


def test_nothing_is_found_in_an_empty_gallery_and_for_no_queries() -> None:
    assert top_k(torch.ones(2, 3), torch.ones(0, 3), 5)[1].shape == (2, 0)
    assert top_k(torch.ones(0, 3), torch.ones(4, 3), 2)[1].shape == (0, 2)


def test_a_feature_that_is_no_number_is_refused_by_its_row() -> None:
    gallery = torch.ones(9, 3)
    gallery[7, 1] = float("nan")
    with pytest.raises(InputError, match="row 7 "):
        top_k(torch.ones(1, 3), gallery, 2, block=4)
    with pytest.raises(InputError, match="query 7 "):
        top_k(gallery, torch.ones(1, 3), 2)


@pytest.mark.parametrize(("width", "k", "block"), [(4, 1, 1), (3, 0, 1), (3, 1, 0)])
def test_sizes_that_do_not_fit_are_refused(width: int, k: int, block: int) -> None:
    with pytest.raises(UsageError):
        top_k(torch.ones(1, 3), torch.ones(2, width), k, block=block)
