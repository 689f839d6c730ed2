from __future__ import annotations

import torch
from torch import nn

from tuwen.nn.transformer import Encoder, EncoderConfig, masked_mean

CONFIG = EncoderConfig(width=16, layers=2, heads=4, hidden=24)


def torchs_and_ours() -> tuple[nn.TransformerEncoder, Encoder]:
    """The same weights in both."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
    theirs = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    ours = Encoder(CONFIG)
    names = {"attention.qkv": "self_attn.in_proj", "attention.output": "self_attn.out_proj", "expand": "linear1"}
    names |= {"reduce": "linear2", "norm_attention": "norm1", "norm_mlp": "norm2"}
    given = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        start, number, part = name.split(".", 2)
        module, kind = part.rsplit(".", 1)
        joint = "_" if module == "attention.qkv" else "."
        with torch.no_grad():
            given[f"{start}.{number}.{names[module]}{joint}{kind}"].normal_(std=0.3)
            parameter.copy_(given[f"{start}.{number}.{names[module]}{joint}{kind}"])
    return theirs.eval(), ours.eval()


def test_it_is_torchs_post_norm_encoder_with_relu() -> None:
    theirs, ours = torchs_and_ours()
    x, mask = torch.randn(3, 5, 16), torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [True] * 4 + [False]])
    wanted = theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask)[mask], wanted[mask], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.states(x, mask)[-1], ours(x, mask))


def test_packed_states_are_those_of_padded_ones() -> None:
    _, ours = torchs_and_ours()
    x, mask = (
        torch.randn(3, 5, 16),
        torch.tensor([[True] * 2 + [False] * 3, [True] * 4 + [False], [True] * 4 + [False]]),
    )
    packed = ours(x[mask], runs=[(1, 2), (2, 4)])
    torch.testing.assert_close(packed, ours(x, mask)[mask], atol=1e-5, rtol=1e-4)


def test_the_mean_is_over_what_is_real() -> None:
    x = torch.tensor([[[1.0], [3.0], [9.0]], [[2.0], [4.0], [6.0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert masked_mean(x, mask).tolist() == [[2.0], [4.0]]
    assert masked_mean(x, None)[1].tolist() == [4.0]
