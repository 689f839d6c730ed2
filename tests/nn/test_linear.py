from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tuwen.nn import linear
from tuwen.nn.linear import FUSED, Linear

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch is built without oneDNN")


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packed product wins, whatever this machine is."""
    monkeypatch.setattr(linear, "packing_wins", lambda dtype: True)


def same_as_plain(ours: Linear, dtype: torch.dtype = torch.float32) -> None:
    """Twice, the second time from the weight that was packed the first time."""
    x = torch.randn(7, ours.weight.shape[1], generator=torch.Generator().manual_seed(1)).to(dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for _ in range(2):
        with torch.inference_mode():
            torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias), atol=tolerance, rtol=tolerance)


def packed(ours: Linear) -> bool:
    return ours._packed is not None


@pytest.mark.parametrize("bias", [True, False])
def test_the_packed_product_is_the_plain_one(packing: None, bias: bool) -> None:
    ours = Linear(12, 20, bias=bias)
    same_as_plain(ours)
    assert packed(ours)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_an_activation_on_the_way_out_is_as_exact_as_one_afterwards(packing: None, activation: str) -> None:
    layer, x = Linear(48, 96), torch.randn(5, 48)
    exact = FUSED[activation](F.linear(x.double(), layer.weight.double(), layer.bias.double()))  # type: ignore[union-attr]
    with torch.no_grad():
        fused, plain = layer.activated(x, activation), FUSED[activation](F.linear(x, layer.weight, layer.bias))
    assert (fused - exact).abs().max() <= 2 * (plain - exact).abs().max() + 1e-7
    assert torch.equal(layer.activated(x, activation), plain)  # with gradients nothing is packed


def test_nothing_is_packed_where_gradients_are_wanted(packing: None) -> None:
    ours = Linear(12, 20)
    x = torch.randn(3, 12)
    torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias))
    assert not packed(ours)


def change_in_place(ours: Linear) -> None:
    with torch.no_grad():
        ours.weight.mul_(2)


def load_another(ours: Linear) -> None:
    ours.load_state_dict({name: tensor + 1 for name, tensor in ours.state_dict().items()})


def assign_another(ours: Linear) -> None:
    ours.load_state_dict({name: tensor + 1 for name, tensor in ours.state_dict().items()}, assign=True)


def replace_the_parameter(ours: Linear) -> None:
    ours.weight = nn.Parameter(ours.weight.detach() - 1)


def step_an_optimizer(ours: Linear) -> None:
    optimizer = torch.optim.AdamW(ours.parameters(), lr=0.1, fused=True)
    ours(torch.randn(3, ours.weight.shape[1])).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    "change",
    [change_in_place, load_another, assign_another, replace_the_parameter, step_an_optimizer],
)
def test_the_packed_weight_follows_the_weight(packing: None, change: Callable[[Linear], None]) -> None:
    ours = Linear(12, 20)
    same_as_plain(ours)
    change(ours)
    same_as_plain(ours)


def test_the_packed_weight_follows_its_type(packing: None) -> None:
    ours = Linear(16, 32)
    same_as_plain(ours)
    same_as_plain(ours.to(torch.bfloat16), torch.bfloat16)
    same_as_plain(ours.to(torch.float32))


def test_a_copy_packs_its_own_weight(packing: None) -> None:
    ours = Linear(12, 20)
    same_as_plain(ours)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert not packed(other)
        change_in_place(other)
        same_as_plain(other)
    same_as_plain(ours)


def test_what_is_saved_holds_the_weights_and_nothing_else(packing: None) -> None:
    ours = Linear(12, 20)
    same_as_plain(ours)
    assert list(ours.state_dict()) == ["weight", "bias"]
    assert [name for name, _ in ours.named_buffers()] == []
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    same_as_plain(torch.load(file, weights_only=False))


def test_half_precision_that_onednn_cannot_pack_is_left_to_torch() -> None:
    assert linear.packing_wins(torch.float16) is False


def test_whether_packing_wins_is_measured_once() -> None:
    assert linear.packing_wins(torch.float32) is linear.packing_wins(torch.float32)
    assert linear.packing_wins.cache_info().hits >= 1


def test_a_slower_packed_product_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "packing_wins", lambda dtype: False)
    ours = Linear(12, 20)
    same_as_plain(ours)
    assert not packed(ours)


def test_it_starts_within_the_bounds_of_torchs_own() -> None:
    ours = Linear(64, 100)
    assert ours.weight.abs().max() <= 1 / 8
    assert ours.weight.std().item() == pytest.approx(1 / 8 / 3**0.5, rel=0.05)
