from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.nn.attention import Attention, FeedForward, quick_gelu

WIDTH = 24
MASK = torch.tensor([[True] * 5, [True, True, False, False, False], [True, True, True, True, False]])


def attention(dropout: float = 0.0) -> Attention:
    torch.manual_seed(3)
    return Attention(WIDTH, heads=3, dropout=dropout).eval()


def states() -> Tensor:
    return torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(4))


def test_attention_is_torchs_multi_head_attention() -> None:
    ours = attention()
    theirs = nn.MultiheadAttention(WIDTH, 3, batch_first=True).eval()
    names = {"qkv.": "in_proj_", "output.": "out_proj."}
    theirs.load_state_dict(
        {
            name.replace(part, names[part]): tensor
            for name, tensor in ours.state_dict().items()
            for part in names
            if part in name
        }
    )
    x = states()
    wanted, _ = theirs(x, x, x, key_padding_mask=~MASK)
    torch.testing.assert_close(ours(x, MASK)[MASK], wanted[MASK], atol=1e-6, rtol=1e-5)


def test_what_is_masked_changes_nothing() -> None:
    x, other = states(), states()
    other[~MASK] = 1e4
    ours = attention()
    assert torch.equal(ours(x, MASK)[MASK], ours(other, MASK)[MASK])


def test_packed_states_are_the_padded_ones() -> None:
    x, ours = states(), attention()
    order = [1, 2, 0]  # shortest first
    packed = torch.cat([x[row][MASK[row]] for row in order])
    mixed = ours(packed, runs=((1, 2), (1, 4), (1, 5)))
    wanted = ours(x, MASK)
    torch.testing.assert_close(mixed, torch.cat([wanted[row][MASK[row]] for row in order]), atol=1e-6, rtol=1e-5)


def test_the_first_tokens_alone_are_the_first_of_all() -> None:
    x, ours = states(), attention()
    torch.testing.assert_close(ours(x, MASK, only_first=True), ours(x, MASK)[:, 0], atol=1e-6, rtol=1e-5)
    packed = x.flatten(0, 1)
    alone = ours(packed, runs=((3, 5),), only_first=True)
    torch.testing.assert_close(alone, ours(x)[:, 0], atol=1e-6, rtol=1e-5)


def test_dropout_is_for_training_alone() -> None:
    x, ours = states(), attention(dropout=0.5)
    assert torch.equal(ours(x), ours(x))
    ours.train()
    assert not torch.equal(ours(x), ours(x))


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="width 24 cannot be divided among 5 heads"):
        Attention(24, 5)


@pytest.mark.parametrize("gradients", [True, False])
def test_quick_gelu_is_what_openai_wrote(gradients: bool) -> None:
    x = torch.linspace(-6, 6, 101)
    before = x.clone()
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(quick_gelu(x), x * torch.sigmoid(1.702 * x))
    assert torch.equal(x, before)


def test_a_feed_forward_network_widens_activates_and_narrows() -> None:
    mlp = FeedForward(6, 10, "gelu")
    x = torch.randn(2, 6)
    hidden = F.gelu(F.linear(x, mlp.expand.weight, mlp.expand.bias))
    torch.testing.assert_close(mlp(x), F.linear(hidden, mlp.reduce.weight, mlp.reduce.bias))
