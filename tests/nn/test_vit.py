from __future__ import annotations

import pytest
import torch

from tuwen.nn.vit import ViT, ViTConfig, drop_patches

CONFIG = ViTConfig(image_size=24, patch_size=8, width=16, layers=2, heads=2)


def tower(config: ViTConfig = CONFIG) -> ViT:
    torch.manual_seed(8)
    return ViT(config).eval()


def test_states_are_those_after_every_block() -> None:
    vit, pixels = tower(), torch.randn(2, 3, 24, 24)
    states = vit.states(pixels)
    assert [tuple(state.shape) for state in states] == [(2, 10, 16)] * 3
    torch.testing.assert_close(vit(pixels), vit.norm_out(states[-1][:, 0]), atol=1e-5, rtol=1e-5)


def test_patches_are_read_row_by_row() -> None:
    vit, pixels = tower(), torch.zeros(1, 3, 24, 24)
    plain = vit.embed(pixels)
    pixels[:, :, 8:16, 16:24] = 1  # second row, third column
    changed = (vit.embed(pixels) - plain).abs().amax(dim=2)[0]
    assert changed.nonzero().flatten().tolist() == [1 + 1 * 3 + 2]


def test_a_picture_does_not_see_its_neighbours() -> None:
    vit, pixels = tower(), torch.randn(4, 3, 24, 24)
    together = vit(pixels)
    torch.testing.assert_close(together[[2, 0]], vit(pixels[[2, 0]]), atol=1e-5, rtol=1e-5)


def test_heads_may_be_of_any_width() -> None:
    vit = tower(ViTConfig(image_size=16, patch_size=8, width=30, layers=1, heads=3, hidden=7, activation="gelu"))
    assert vit(torch.randn(1, 3, 16, 16)).shape == (1, 30)
    assert vit.state_dict()["blocks.0.mlp.expand.weight"].shape == (7, 30)


@pytest.mark.parametrize(("ratio", "kept"), [(0.5, 8), (0.75, 4), (0.1, 14)])
def test_dropping_patches_keeps_the_class_token_and_the_count(ratio: float, kept: int) -> None:
    tokens = torch.randn(3, 17, 5)
    left = drop_patches(tokens, ratio)
    assert left.shape == (3, 1 + kept, 5)
    assert torch.equal(left[:, 0], tokens[:, 0])
    for row in range(3):
        places = [int((tokens[row] == token).all(dim=1).nonzero()) for token in left[row, 1:]]
        assert len({*places}) == kept and 0 not in places


def test_the_patches_of_lowest_noise_stay_in_its_order() -> None:
    tokens = torch.arange(6.0)[None, :, None]
    noise = torch.tensor([[0.9, 0.1, 0.5, 0.3, 0.7]])
    assert drop_patches(tokens, 0.4, noise).flatten().tolist() == [0, 2, 4, 3]


def test_different_pictures_lose_different_patches() -> None:
    tokens = torch.arange(65.0)[None, :, None].expand(2, -1, -1)
    one, other = drop_patches(tokens, 0.5)
    assert not torch.equal(one, other)


def test_patch_dropout_reaches_the_tower() -> None:
    vit, pixels = tower(), torch.randn(1, 3, 24, 24)
    assert vit.states(pixels, patch_dropout=0.5)[-1].shape == (1, 1 + 4, 16)
    assert not torch.equal(vit(pixels, patch_dropout=0.5), vit(pixels))
