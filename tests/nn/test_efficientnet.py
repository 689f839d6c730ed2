from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.models import tiny
from tuwen.errors import InputError, UsageError
from tuwen.nn import efficientnet
from tuwen.nn.efficientnet import (
    SCALES,
    STAGES,
    Block,
    Convolution,
    EfficientNet,
    EfficientNetConfig,
    map_side,
    round_to_eight,
    same_conv,
    scaled,
)

CONFIG = scaled(64, 0.1, 0.1, head=24, classes=3)

# name -> stem, channels, repeats, last channels, parameters with a classifier of 1,000, tensors
PUBLISHED = {
    "b0": (32, (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1), 1280, 5_288_548, 360),
    "b3": (40, (24, 32, 48, 96, 136, 232, 384), (2, 3, 3, 5, 5, 6, 2), 1536, 12_233_232, 574),
    "b5": (48, (24, 40, 64, 128, 176, 304, 512), (3, 5, 5, 7, 7, 9, 3), 2048, 30_389_784, 854),
    "b7": (64, (32, 48, 80, 160, 224, 384, 640), (4, 7, 7, 10, 10, 13, 4), 2560, 66_347_960, 1200),
}


def network(seed: int = 0) -> EfficientNet:
    module = EfficientNet(CONFIG)
    tiny.randomise(module, seed)
    for part in module.modules():  # maps that do not die away
        if isinstance(part, Convolution):
            torch.nn.init.normal_(part.conv.weight, std=0.4, generator=torch.Generator().manual_seed(seed))
    return module.eval()


def pixels(height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_scaled_network_is_as_large_as_published(name: str) -> None:
    width, depth, size = SCALES[name]
    config = scaled(size, width, depth)
    with torch.device("meta"):
        module = EfficientNet(config)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    found = config.stem, config.channels, config.repeats, config.head, parameters, len(module.state_dict())
    assert found == PUBLISHED[name]


def test_channels_round_to_eight_but_never_far_down() -> None:
    assert [round_to_eight(channels) for channels in (1, 12, 19.2, 20, 32 * 0.15)] == [8, 16, 24, 24, 8]


@pytest.mark.parametrize(("size", "side"), [(380, 12), (456, 15), (600, 19), (64, 2), (33, 2), (32, 1)])
def test_the_last_map_has_a_thirty_second_of_the_edge_rounded_up_stage_by_stage(size: int, side: int) -> None:
    assert (map_side(size), scaled(size, 0.1, 0.1).side) == (side, side)


def test_every_map_is_as_large_as_its_strides_say() -> None:
    states = network().states(pixels(75, 101))
    sizes = [(38, 51), (38, 51), (19, 26), (10, 13), (5, 7), (5, 7), (3, 4), (3, 4)]
    assert [tuple(state.shape[2:]) for state in states] == sizes
    assert network()(pixels(75, 101)).shape == (2, 24, 3, 4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 7), (8, 7), (2, 3), (1, 6)])
def test_padding_is_tensorflows(height: int, width: int, kernel: int, stride: int) -> None:
    x, weight = torch.randn(2, 4, height, width), torch.randn(4, 1, kernel, kernel)
    pads = []
    for edge in (width, height):
        total = max((-(-edge // stride) - 1) * stride + kernel - edge, 0)
        pads += [total // 2, total - total // 2]
    wanted = F.conv2d(F.pad(x, pads), weight, None, stride, groups=4)
    torch.testing.assert_close(same_conv(x, weight, None, stride, 4), wanted)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("size", [(64, 64), (75, 101)])
def test_folded_norms_change_nothing_but_roundings(
    monkeypatch: pytest.MonkeyPatch, packs: bool, size: tuple[int, int]
) -> None:
    if packs and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch is built without oneDNN")
    monkeypatch.setattr(efficientnet, "packing_wins", lambda dtype: packs)
    module, given = network(), pixels(*size)
    plain = module(given)
    for _ in range(2):  # folding them, and with what was folded
        with torch.no_grad():
            torch.testing.assert_close(module(given), plain, atol=1e-5 * plain.abs().max().item(), rtol=0)


def test_a_changed_weight_or_statistic_is_folded_anew() -> None:
    layer = Convolution(4, 6, 3).eval()
    x = torch.randn(1, 4, 5, 5)
    for change in (layer.conv.weight, layer.norm.bias, layer.norm.running_mean, layer.norm.running_var):
        with torch.no_grad():
            before = layer(x)
            assert change is not None
            change += 0.5
            after = layer(x)
        assert not torch.equal(before, after)
        torch.testing.assert_close(after, layer(x), atol=1e-5, rtol=1e-5)  # with gradients nothing is folded


def test_folded_weights_are_never_saved_and_stay_with_their_process() -> None:
    module = network()
    names = list(module.state_dict())
    with torch.no_grad():
        wanted = module(pixels())
        for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            torch.testing.assert_close(other(pixels()), wanted)
    assert list(module.state_dict()) == names
    assert module.to(torch.float64)(pixels().double()).dtype == torch.float64


def test_gradients_reach_every_weight_and_the_pixels() -> None:
    module, given = network().train(), pixels().requires_grad_()
    module(given).square().sum().backward()
    assert given.grad is not None
    assert [name for name, p in module.named_parameters() if p.grad is None] == ["classifier.weight", "classifier.bias"]


def test_training_takes_the_statistics_of_the_batch_and_counts_it() -> None:
    module = network().train()
    before = module.stem.norm.running_mean
    assert before is not None
    old = before.clone()
    with torch.no_grad():
        module(pixels())
    assert not torch.equal(before, old)
    assert module.stem.norm.num_batches_tracked == 1


def test_a_network_without_counters_has_none_to_load() -> None:
    config = EfficientNetConfig(64, CONFIG.stem, CONFIG.channels, CONFIG.repeats, 24, classes=0, counters=False)
    module = EfficientNet(config).train()
    assert not [name for name in module.state_dict() if "num_batches" in name or "classifier" in name]
    assert module(pixels()).shape == (2, 24, 2, 2)


def test_a_picture_does_not_see_its_neighbours() -> None:
    module = network()
    with torch.no_grad():
        torch.testing.assert_close(module(pixels())[[1]], module(pixels()[[1]]), atol=1e-5, rtol=1e-4)


def test_the_input_is_added_only_where_neither_channels_nor_stride_change() -> None:
    same, wider, smaller = Block(8, STAGES[1], 1, 8), Block(8, STAGES[1], 1, 16), Block(8, STAGES[1], 2, 8)
    assert [block.adds for block in (same, wider, smaller)] == [True, False, False]
    x = torch.randn(1, 8, 6, 6)
    torch.nn.init.zeros_(same.narrow.norm.weight)
    torch.testing.assert_close(same.eval()(x), x)


def test_the_squeeze_is_a_quarter_of_what_comes_in_not_of_what_was_widened() -> None:
    assert Block(16, STAGES[2], 2, 24).squeeze.reduce.weight.shape == (4, 96)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 0, 64)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected \\(B, 3, H, W\\)"):
        network()(torch.zeros(shape))


def test_every_stage_needs_a_block() -> None:
    with pytest.raises(UsageError, match="7 stages"):
        EfficientNetConfig(64, 8, (8,) * 7, (1, 1, 1, 0, 1, 1, 1), 24)
