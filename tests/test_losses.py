from __future__ import annotations

import math

import pytest
import torch

from tuwen.losses import (
    alignment_loss,
    answer_loss,
    contrast_loss_three,
    contrastive,
    distillation,
    gated_alignment_loss,
    hard_pairs,
    late_scores,
    margin_loss,
    match_loss,
    negative_weights,
    patch_loss,
    position_loss,
    positives_loss,
    queue_logits,
    soft_contrastive,
    word_loss,
)
from tuwen.nn.heads import unit


def test_contrastive_by_hand() -> None:
    image = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # cosines [[1, 0.6], [0, 0.8]], times 2
    rows = (math.log(1 + math.exp(1.2 - 2)) + math.log(1 + math.exp(0 - 1.6))) / 2
    columns = (math.log(1 + math.exp(0 - 2)) + math.log(1 + math.exp(1.2 - 1.6))) / 2
    assert contrastive(image, text, torch.tensor(2.0)).item() == pytest.approx((rows + columns) / 2)


def test_a_batch_of_one_has_nothing_to_learn() -> None:
    features = unit(torch.randn(1, 4))
    assert contrastive(features, features, torch.tensor(100.0)).item() == 0


def test_the_order_of_the_pairs_does_not_matter() -> None:
    image, text = unit(torch.randn(6, 8)), unit(torch.randn(6, 8))
    order = torch.randperm(6)
    scale = torch.tensor(20.0)
    torch.testing.assert_close(contrastive(image[order], text[order], scale), contrastive(image, text, scale))


def test_pairs_that_are_true_as_well_are_no_negatives() -> None:
    image, text = unit(torch.randn(4, 8)), unit(torch.randn(4, 8))
    scale = torch.tensor(10.0)
    also = torch.zeros(4, 4, dtype=torch.bool)
    assert torch.equal(contrastive(image, text, scale, also), contrastive(image, text, scale))
    also[0, 1] = also[2, 3] = True
    logits = scale * image @ text.T
    logits[0, 1] = logits[2, 3] = -1e9
    wanted = -(logits.log_softmax(1).diagonal().mean() + logits.log_softmax(0).diagonal().mean()) / 2
    torch.testing.assert_close(contrastive(image, text, scale, also), wanted)


def test_a_pair_is_never_excluded_from_itself() -> None:
    image, text = unit(torch.randn(3, 8)), unit(torch.randn(3, 8))
    everything = torch.ones(3, 3, dtype=torch.bool)
    assert contrastive(image, text, torch.tensor(10.0), everything).item() == 0


def test_distillation_is_one_minus_the_mean_cosine() -> None:
    teacher = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    student = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    wanted = 1 - (1 + math.sqrt(0.5)) / 2
    assert distillation(teacher, student).item() == pytest.approx(wanted)


def test_a_narrower_student_is_stretched_to_the_teachers_width() -> None:
    student = torch.tensor([[1.0, 3.0]])
    teacher = torch.tensor([[1.0, 1.5, 2.5, 3.0]])  # halves between the values, the ends repeated
    assert distillation(teacher, student).item() == pytest.approx(0, abs=1e-6)


def test_answer_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]])
    targets = torch.tensor([[1.0, 0.0], [0.3, 0.0]])
    # -ln of sigmoid: ln 2 at 0; sigmoid(ln 3) = 3/4
    entries = [math.log(2), math.log(4), -0.3 * math.log(3 / 4) - 0.7 * math.log(1 / 4), math.log(2)]
    assert answer_loss(logits, targets).item() == pytest.approx(sum(entries) / 4 * 2)


def test_match_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    assert match_loss(logits, torch.tensor([1, 0])).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_word_loss_counts_masked_words_alone() -> None:
    logits = torch.zeros(2, 3, 4)
    logits[0, 1, 2] = math.log(5)  # probability 5/8
    labels = torch.tensor([[-100, 2, -100], [-100, -100, 0]])
    assert word_loss(logits, labels).item() == pytest.approx((math.log(8 / 5) + math.log(4)) / 2)


def test_patch_loss_treats_every_patch_alike() -> None:
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0]], [[math.log(7), 0.0], [0.0, 0.0]]])
    labels = torch.tensor([[1, 0], [0, 1]])
    entries = [math.log(4 / 3), math.log(2), math.log(8 / 7), math.log(2)]
    assert patch_loss(logits, labels).item() == pytest.approx(sum(entries) / 4)


def test_contrast_of_three_by_hand() -> None:
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    image = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    cross = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    crossed = math.log(1 + math.exp(2))  # text against image: every right pair has cosine 0, the wrong one 1
    text_cross = (math.log(1 + math.exp(2 * (0.6 - 1))) + math.log(1 + math.exp(2 * (0 - 0.8)))) / 2
    image_cross = (math.log(1 + math.exp(2 * (0.8 - 0))) + math.log(1 + math.exp(2 * (1 - 0.6)))) / 2
    wanted = (crossed + text_cross + image_cross) / 3
    assert contrast_loss_three(text, image, cross, torch.tensor(2.0)).item() == pytest.approx(wanted)


def test_soft_contrastive_spreads_its_targets_over_the_texts_of_a_picture() -> None:
    image = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    scores = [[1.0, 0.6, 0.0], [1.0, 0.6, 0.0], [0.0, 0.8, 1.0]]  # cosines, images down
    wanted = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]

    def entropy(row: list[float], target: list[float]) -> float:
        total = sum(math.exp(2 * score) for score in row)
        return -sum(share * (2 * score - math.log(total)) for share, score in zip(target, row, strict=True))

    columns = [list(column) for column in zip(*scores, strict=True)]
    rows = sum(map(entropy, scores, wanted)) / 3
    ours = soft_contrastive(image, text, torch.tensor(2.0), torch.tensor([7, 7, 9]))
    assert ours.item() == pytest.approx((rows + sum(map(entropy, columns, wanted)) / 3) / 2)


def test_soft_targets_of_different_pictures_are_hard_ones() -> None:
    image, text = unit(torch.randn(4, 8)), unit(torch.randn(4, 8))
    scale = torch.tensor(10.0)
    wanted = contrastive(image, text, scale)
    torch.testing.assert_close(soft_contrastive(image, text, scale), wanted)
    torch.testing.assert_close(soft_contrastive(image, text, scale, torch.tensor([3, 1, 0, 2])), wanted)


def test_the_own_picture_is_never_drawn_as_a_negative() -> None:
    logits = torch.log(torch.tensor([[1.0, 2.0, 1.0], [1.0, 1.0, 2.0], [3.0, 0.5, 0.5]]))
    alone = negative_weights(logits)
    torch.testing.assert_close(alone, torch.tensor([[0.0, 0.5, 0.25], [0.25, 0.0, 0.5], [0.75, 0.125, 0.0]]))
    together = negative_weights(logits, torch.tensor([5, 5, 6]))
    torch.testing.assert_close(together, torch.tensor([[0.0, 0.0, 0.25], [0.0, 0.0, 0.5], [0.75, 0.125, 0.0]]))


def test_hard_pairs_are_the_true_ones_then_wrong_pictures_then_wrong_texts() -> None:
    texts, images, labels = hard_pairs(torch.tensor([1, 2, 0]), torch.tensor([2, 0, 1]))
    assert texts.tolist() == [0, 1, 2, 0, 1, 2, 2, 0, 1]
    assert images.tolist() == [0, 1, 2, 1, 2, 0, 0, 1, 2]
    assert labels.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]


# -- queues, and the losses beside BriVL's model -----------------------------------------------------------------------

AXES = torch.eye(3)


def test_queue_logits_have_the_own_pair_first() -> None:
    logits = queue_logits(AXES[:2], AXES[[0, 2]], AXES, temperature=0.5)
    assert logits.tolist() == [[2, 2, 0, 0], [0, 0, 2, 0]]


def test_positives_by_hand() -> None:
    logits = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    first = math.log(math.exp(1) + 1 + math.exp(2))
    wanted = ((first - 1) + math.log(3)) / 2
    assert positives_loss(logits).item() == pytest.approx(wanted)
    also = torch.tensor([[False, True], [False, False]])
    assert positives_loss(logits, also).item() == pytest.approx(wanted + (first - 2) / 2)


def test_tokens_in_the_same_place_by_hand() -> None:
    first = torch.stack([2 * AXES[0], AXES[1], AXES[2]])[None]
    second = torch.stack([AXES[0], AXES[2], 5 * AXES[2]])[None]
    assert position_loss(first, second, torch.tensor([[True, True, False]])).item() == pytest.approx(0.5)
    assert position_loss(first, second, torch.tensor([[True, False, True]])).item() == pytest.approx(0, abs=1e-6)


def test_the_hardest_negative_by_hand() -> None:
    scores = torch.tensor([[0.5, 0.4, 0.9], [0.1, 0.8, 0.2], [0.3, 0.7, 0.6]])
    rows = ((0.2 + 0.9 - 0.5) + 0 + (0.2 + 0.7 - 0.6)) / 3
    columns = (0 + (0.2 + 0.7 - 0.8) + (0.2 + 0.9 - 0.6)) / 3
    assert margin_loss(scores).item() == pytest.approx(rows + columns)
    assert margin_loss(scores, back=5 * torch.eye(3)).item() == pytest.approx(rows)


def test_late_interaction_by_hand() -> None:
    first, second = AXES[[0, 1]][None], torch.stack([AXES[0], (AXES[1] + AXES[2]) / 2, AXES[1]])[None]
    both, all_but_last = torch.tensor([[True, True]]), torch.tensor([[True, True, False]])
    assert late_scores(first, second, both, all_but_last).item() == pytest.approx((1 + 0.5**0.5) / 2)
    assert late_scores(first, second, torch.tensor([[False, True]]), all_but_last).item() == pytest.approx(0.5**0.5)
    forth = (1 + 0.5**0.5) / 2
    assert alignment_loss(first, second, both, all_but_last).item() == pytest.approx(1 - forth)
    one = torch.tensor([[True, False]])
    assert alignment_loss(first, second, one, all_but_last).item() == pytest.approx(1 - (1 + (1 + 0) / 2) / 2)


def test_a_gate_weighs_every_pair_of_tokens() -> None:
    first, second = AXES[[0, 1]][None], AXES[[0, 2]][None]
    weight, bias = torch.tensor([[3.0, 1.0, 1.0]]), torch.tensor([0.5])
    # cosine 1 at one of four pairs, where the gate is 3.5
    loss = gated_alignment_loss(first, second, torch.tensor([[True, True]]), weight, bias)
    assert loss.item() == pytest.approx(1 - 3.5 / 4)
    assert gated_alignment_loss(first, second, torch.tensor([[False, True]]), weight, bias).item() == pytest.approx(1)
