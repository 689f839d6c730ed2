from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tuwen.nn.deberta import Block, Deberta, DebertaConfig, places_between
from tuwen.types import PackedTexts, Texts

CONFIG = DebertaConfig(
    vocabulary=30, width=16, layers=2, heads=2, hidden=24, buckets=4, max_distance=12, initializer_range=0.5
)
ROWS = [[5, 6, 7], [8, 9], [5, 6, 7, 8, 9, 10, 11], [12, 3]]


def deberta(dropout: float = 0.0, seed: int = 6) -> Deberta:
    torch.manual_seed(seed)
    tower = Deberta(replace(CONFIG, dropout=dropout, attention_dropout=dropout))
    with torch.no_grad():
        for name, parameter in tower.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return tower.eval()


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


def row_by_hand(distance: int, buckets: int, longest: int) -> int:
    """The row of the table for one distance, by the formula in words."""
    middle = buckets // 2
    if abs(distance) <= middle:
        return buckets + distance
    steps = math.ceil(math.log(abs(distance) / middle) / math.log((longest - 1) / middle) * (middle - 1))
    return min(max(buckets + (steps + middle) * (1 if distance > 0 else -1), 0), 2 * buckets - 1)


def scores_by_hand(tower: Deberta, block: Block, x: Tensor) -> Tensor:
    """(H, T, T), pair by pair: content with content, content with place, place with content. x (T, D)."""
    attention, width = block.attention, CONFIG.width
    table = tower.norm_distances(tower.distances.weight)
    q, k, _ = attention.qkv(x).split(width, dim=-1)
    place_q, place_k, _ = attention.qkv(table).split(width, dim=-1)
    size = width // CONFIG.heads
    scores = torch.empty(CONFIG.heads, len(x), len(x))
    for head in range(CONFIG.heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(len(x)):
            for j in range(len(x)):
                # Both terms take the distance of query i from key j.
                row = row_by_hand(i - j, CONFIG.buckets, CONFIG.max_distance)
                content = q[i, part] @ k[j, part]
                to_place = q[i, part] @ place_k[row, part]
                from_place = k[j, part] @ place_q[row, part]
                scores[head, i, j] = (content + to_place + from_place) / math.sqrt(3 * size)
    return scores


@pytest.mark.parametrize(("buckets", "longest"), [(4, 12), (16, 512), (256, 512), (8, 8)])
def test_a_distance_has_the_row_that_the_formula_gives(buckets: int, longest: int) -> None:
    length = 30
    rows = places_between(length, buckets, longest)
    wanted = [[row_by_hand(i - j, buckets, longest) for j in range(length)] for i in range(length)]
    assert rows.tolist() == wanted


def test_near_distances_differ_and_far_ones_share_rows() -> None:
    rows = places_between(600, 256, 512)
    assert rows[0, 0] == 256
    assert rows[128, 0] == 256 + 128
    assert rows[0, 128] == 128
    assert len(rows[:, 0].unique()) < 257
    assert rows.min() >= 0
    assert rows.max() <= 511


def test_attention_is_the_formula_pair_by_pair() -> None:
    tower = deberta()
    text = padded([[5, 6, 7, 8, 9, 10, 11, 12, 13]], 9)
    with torch.no_grad():
        maps, states = tower.maps(text), tower.states(text)
        for block, found, x in zip(tower.blocks, maps, states, strict=False):
            assert isinstance(block, Block)
            close(found[0], scores_by_hand(tower, block, x[0]).softmax(-1))


def test_a_layer_is_its_attention_maps_over_the_values() -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    block = tower.blocks[0]
    assert isinstance(block, Block)
    with torch.no_grad():
        x = tower.states(texts)[0]
        values = block.attention.qkv(x).split(CONFIG.width, dim=-1)[2].unflatten(-1, (CONFIG.heads, -1))
        mixed = torch.einsum("bhts,bshd->bthd", tower.maps(texts)[0], values).flatten(2)
        h = block.norm_attention(block.attention.output(mixed) + x)
        wanted = block.norm_mlp(block.mlp.reduce(F.gelu(block.mlp.expand(h))) + h)
        close(tower.states(texts)[1], wanted)


def test_padding_changes_nothing_for_words() -> None:
    tower = deberta()
    for row, text in enumerate(ROWS):
        alone = tower(padded([text], len(text)))[0]
        close(tower(padded(ROWS, 7))[row, : len(text)], alone)
        close(tower(padded(ROWS, 12))[row, : len(text)], alone)


def test_a_word_that_is_masked_in_the_middle_is_as_if_it_were_another() -> None:
    tower, texts = deberta(), padded(ROWS[2:3], 7)
    holes = texts.mask.clone()
    holes[0, 3] = False
    one, other = Texts(texts.ids, holes), Texts(texts.ids.clone(), holes)
    other.ids[0, 3] = 29
    close(tower(one), tower(other))
    # The distances across the hole stay: it is not the same as leaving the word out.
    shorter = padded([ROWS[2][:3] + ROWS[2][4:]], 6)
    assert (tower(one)[0, 0] - tower(shorter)[0, 0]).abs().max() > 0.01


def test_a_query_on_padding_attends_to_nothing() -> None:
    tower, texts = deberta(), padded(ROWS, 9)
    for weights in tower.maps(texts):
        assert not weights[1, :, 2:].any()
        assert not weights[1, :, :, 2:].any()
        close(weights[1, :, :2].sum(-1), torch.ones(CONFIG.heads, 2))
    block = tower.blocks[0]
    assert isinstance(block, Block)
    # Embeddings of padding are zero, so what remains of a layer there is its biases.
    x = block.norm_attention(block.attention.output(torch.zeros(CONFIG.width)))
    close(tower.states(texts)[0][1, 5], torch.zeros(CONFIG.width))
    close(tower.states(texts)[1][1, 5], block.norm_mlp(block.mlp(x) + x))


def test_packed_texts_give_the_states_of_padded_ones() -> None:
    tower = deberta()
    texts, order = packed(ROWS)
    wanted = padded(ROWS, 9)
    for ours, theirs in zip(tower.states(texts), tower.states(wanted), strict=True):
        close(ours, torch.cat([theirs[row][wanted.mask[row]] for row in order]))


def test_packed_texts_train_as_padded_ones_do() -> None:
    gradients = []
    words = padded(ROWS, 7).mask
    for texts in (packed(ROWS)[0], padded(ROWS, 7)):
        tower = deberta().train()
        states = tower(texts)
        (states if states.ndim == 2 else states[words]).square().mul(torch.arange(16)).sum().backward()
        found = [parameter.grad for parameter in tower.parameters()]
        assert all(gradient is not None for gradient in found)
        gradients.append(torch.cat([gradient.flatten() for gradient in found if gradient is not None]))
    torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-3)


def test_the_order_of_a_batch_does_not_matter() -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    order = torch.tensor([2, 0, 3, 1])
    close(tower(Texts(texts.ids[order], texts.mask[order])), tower(texts)[order])


def test_segments_change_nothing() -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    close(tower(texts), tower(Texts(texts.ids, texts.mask, torch.ones_like(texts.ids))))


def test_training_and_evaluation_differ_by_dropout_alone() -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    close(tower(texts), tower.train()(texts))
    tower = deberta(dropout=0.5).train()
    assert not torch.equal(tower(texts), tower(texts))


def test_kept_projections_of_the_table_are_bit_for_bit_those_computed_anew() -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    with torch.no_grad():
        first, again = tower(texts), tower(texts)
        fresh = copy.deepcopy(tower)(texts)
    assert torch.equal(first, again)
    assert torch.equal(first, fresh)


@pytest.mark.parametrize(
    "name", ["distances.weight", "norm_distances.weight", "norm_distances.bias", "blocks.1.attention.qkv.weight"]
)
def test_a_changed_weight_is_seen_at_once(name: str) -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    with torch.no_grad():
        before = tower(texts)
        tower.get_parameter(name).neg_().add_(0.3 * torch.randn(tower.get_parameter(name).shape))
        after = tower(texts)
        assert (after - before).abs().max() > 1e-3
        fresh = deberta(seed=7)
        fresh.load_state_dict(tower.state_dict())
        close(after, fresh(texts))
        tower.load_state_dict(deberta().state_dict())
        close(tower(texts), before)


def test_a_training_step_in_between_is_seen() -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    with torch.no_grad():
        before = tower(texts)
    optimizer = torch.optim.AdamW(tower.parameters(), lr=0.05)
    tower(texts).square().mul(torch.arange(16)).sum().backward()
    optimizer.step()
    with torch.no_grad():
        after = tower(texts)
        assert (after - before).abs().max() > 1e-3
        fresh = deberta(seed=7)
        fresh.load_state_dict(tower.state_dict())
        close(after, fresh(texts))


def test_training_works_after_inference_mode() -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    with torch.inference_mode():
        wanted = tower(texts).clone()
    states = tower(texts)
    close(states, wanted)
    states.sum().backward()


@pytest.mark.parametrize(("dtype", "worst"), [(torch.bfloat16, 0.99), (torch.float16, 0.9999)], ids=str)
def test_half_precision_gives_nearly_the_same_direction(dtype: torch.dtype, worst: float) -> None:
    tower, texts = deberta(), padded(ROWS, 7)
    with torch.inference_mode():
        exact = tower(texts)[texts.mask]
        half = tower.to(dtype)(texts)[texts.mask]
    assert half.dtype == dtype
    assert torch.cosine_similarity(half.float(), exact, dim=1).min() > worst


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="width 16 cannot be divided among 3 heads"):
        Deberta(replace(CONFIG, heads=3))
