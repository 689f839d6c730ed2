from __future__ import annotations

import torch
from torch.nn import functional as F

from tests.models import tiny
from tuwen.nn.resnet import AttentionPool, Bottleneck, ResNet, ResNetConfig

CONFIG = ResNetConfig(64, blocks=(1, 2, 1, 1), width=4, heads=4, embedding=16)


def tower() -> ResNet:
    resnet = ResNet(CONFIG)
    tiny.randomise(resnet)
    return resnet.eval()


def test_states_halve_their_size_from_stage_to_stage() -> None:
    states = tower().states(torch.randn(2, 3, 64, 64))
    assert [tuple(state.shape) for state in states] == [
        (2, 4, 16, 16),
        (2, 16, 16, 16),
        (2, 32, 8, 8),
        (2, 64, 4, 4),
        (2, 128, 2, 2),
    ]


def test_a_picture_does_not_see_its_neighbours() -> None:
    resnet, pixels = tower(), torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(resnet(pixels)[[1]], resnet(pixels[[1]]), atol=1e-5, rtol=1e-4)


def test_a_fresh_block_is_its_shortcut() -> None:
    block = Bottleneck(16, 4, stride=1).eval()
    x = torch.randn(2, 16, 6, 6)
    torch.testing.assert_close(block(x), F.relu(x))


def test_a_stride_averages_after_the_convolution() -> None:
    block = Bottleneck(8, 4, stride=2)
    assert [module.stride for module in block.modules() if isinstance(module, torch.nn.Conv2d)] == [(1, 1)] * 4
    assert block(torch.randn(1, 8, 6, 6)).shape == (1, 16, 3, 3)


def test_attention_pooling_asks_with_the_mean() -> None:
    pool = AttentionPool(positions=4, width=8, heads=2, embedding=6)
    x = torch.randn(2, 8, 2, 2)
    tokens = x.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1) + pool.positions
    wanted, _ = F.multi_head_attention_forward(
        tokens[:, :1].transpose(0, 1),
        tokens.transpose(0, 1),
        tokens.transpose(0, 1),
        8,
        2,
        None,
        torch.cat([part.bias for part in (pool.query, pool.key, pool.value) if part.bias is not None]),
        None,
        None,
        False,
        0.0,
        pool.output.weight,
        pool.output.bias,
        training=False,
        use_separate_proj_weight=True,
        q_proj_weight=pool.query.weight,
        k_proj_weight=pool.key.weight,
        v_proj_weight=pool.value.weight,
    )
    torch.testing.assert_close(pool(x), wanted[0], atol=1e-6, rtol=1e-5)


def test_running_statistics_move_in_training_only() -> None:
    resnet, pixels = tower(), torch.randn(2, 3, 64, 64)
    before = resnet.norm1.running_mean.clone()  # type: ignore[union-attr]  # BatchNorm keeps them unless told not to
    resnet(pixels)
    assert torch.equal(resnet.norm1.running_mean, before)  # type: ignore[arg-type]
    resnet.train()(pixels)
    assert not torch.equal(resnet.norm1.running_mean, before)  # type: ignore[arg-type]
