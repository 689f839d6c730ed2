from __future__ import annotations

import torch
from torch import Tensor

from tuwen.nn.bert import Bert, BertConfig, added
from tuwen.types import PackedTexts, Texts

CONFIG = BertConfig(vocabulary=30, width=16, layers=2, heads=2, hidden=24, positions=12)
ROWS = [[5, 6, 7], [8, 9], [5, 6, 7, 8, 9, 10, 11], [12, 3]]


def bert(dropout: float = 0.0) -> Bert:
    torch.manual_seed(6)
    return Bert(
        BertConfig(**{**vars(CONFIG), "dropout": dropout, "attention_dropout": dropout, "initializer_range": 0.5})
    ).eval()


def padded(rows: list[list[int]], length: int) -> Texts:
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    return Texts(ids, ids != 0)


def packed(rows: list[list[int]]) -> tuple[PackedTexts, list[int]]:
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    chosen = [rows[row] for row in order]
    starts = torch.tensor([sum(map(len, chosen[:row])) for row in range(len(chosen))])
    lengths = sorted({len(row) for row in chosen})
    runs = tuple((sum(len(row) == length for row in chosen), length) for length in lengths)
    ids, positions = [i for row in chosen for i in row], [p for row in chosen for p in range(len(row))]
    return PackedTexts(torch.tensor(ids), torch.tensor(positions), runs, starts), order


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing() -> None:
    tower = bert()
    close(tower(padded(ROWS, 7)), tower(padded(ROWS, 12)))
    for row, text in enumerate(ROWS):
        close(tower(padded(ROWS, 12))[row], tower(padded([text], len(text)))[0])


def test_what_stands_at_padding_changes_nothing() -> None:
    tower, texts = bert(), padded(ROWS, 9)
    other = Texts(texts.ids.masked_fill(~texts.mask, 29), texts.mask)
    close(tower(texts), tower(other))


def test_packed_texts_give_the_states_of_padded_ones() -> None:
    tower = bert()
    texts, order = packed(ROWS)
    close(tower(texts), tower(padded(ROWS, 7))[order])
    wanted = padded(ROWS, 7)
    for ours, theirs in zip(tower.states(texts), tower.states(wanted), strict=True):
        close(ours, torch.cat([theirs[row][wanted.mask[row]] for row in order]))


def test_packed_texts_train_as_padded_ones_do() -> None:
    gradients = []
    for texts in (packed(ROWS)[0], padded(ROWS, 7)):
        tower = bert().train()
        tower(texts).square().sum().backward()
        gradients.append(
            torch.cat([parameter.grad.flatten() for parameter in tower.parameters() if parameter.grad is not None])
        )
    close(*gradients)


def test_the_features_are_the_first_of_the_last_states() -> None:
    tower, texts = bert(), padded(ROWS, 7)
    states = tower.states(texts)
    assert [tuple(state.shape) for state in states] == [(4, 7, 16)] * 3
    close(tower(texts), states[-1][:, 0])


def test_training_and_evaluation_differ_by_dropout_alone() -> None:
    tower, texts = bert(), padded(ROWS, 7)
    close(tower(texts), tower.train()(texts))
    tower = bert(dropout=0.5).train()
    assert not torch.equal(tower(texts), tower(texts))


def test_segments_of_zeros_are_no_segments() -> None:
    tower, texts = bert(), padded(ROWS, 7)
    close(tower(texts), tower(Texts(texts.ids, texts.mask, torch.zeros_like(texts.ids))))
    other = tower(Texts(texts.ids, texts.mask, torch.ones_like(texts.ids)))
    assert (tower(texts) - other).abs().max() > 0.01


def test_a_sum_takes_the_memory_of_its_second_part_only_where_nothing_can_notice() -> None:
    x, fresh = torch.ones(3), torch.full((3,), 2.0)
    assert added(x, fresh) is not fresh  # gradients are asked for
    with torch.no_grad():
        assert added(x, fresh) is fresh
        wide = added(x, torch.full((3,), 2.0, dtype=torch.bfloat16))
    assert wide.dtype == torch.float32
    close(fresh, torch.full((3,), 3.0))
    close(x, torch.ones(3))
