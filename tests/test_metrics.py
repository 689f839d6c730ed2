from __future__ import annotations

import torch

from tuwen.metrics import ranks, recall_at

SCORES = torch.tensor([[0.9, 0.1, 0.5], [0.3, 0.2, 0.1], [0.7, 0.8, 0.6]])


def test_recall_counts_the_queries_whose_answer_is_among_the_best() -> None:
    assert [round(recall_at(SCORES, k), 4) for k in (1, 2, 3)] == [0.3333, 0.6667, 1.0]


def test_answers_may_be_anywhere() -> None:
    assert recall_at(SCORES, 1, torch.tensor([0, 0, 1])) == 1
    assert recall_at(SCORES[:2], 1, torch.tensor([2, 2])) == 0


def test_ties_never_help() -> None:
    assert recall_at(torch.ones(2, 4), 3) == 0
    assert recall_at(torch.ones(2, 4), 4) == 1


def test_a_rank_counts_what_is_strictly_better_so_that_ties_favour_the_answer() -> None:
    assert ranks(SCORES).tolist() == [0, 1, 2]
    assert ranks(torch.ones(2, 4), torch.tensor([3, 0])).tolist() == [0, 0]
