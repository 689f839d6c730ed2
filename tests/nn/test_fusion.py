from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.models.tiny import randomise
from tuwen.nn.fusion import BRIDGES, Bridge, Fusion, FusionConfig
from tuwen.types import Fused

CONFIG = FusionConfig(width=16, layers=3, heads=4, hidden=24, dropout=0.0, attention_dropout=0.0)
KINDS = (None, *BRIDGES)


def fusion(layers: int = 3, bridge: str | None = "add", dropout: float = 0.0) -> Fusion:
    torch.manual_seed(2)
    config = replace(CONFIG, layers=layers, bridge=bridge, dropout=dropout, attention_dropout=dropout)
    module = Fusion(config).eval()
    randomise(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    return module


def levels(module: Fusion, rows: int = 3, image_tokens: int = 5, text_tokens: int = 4) -> tuple[Tensor, Tensor]:
    """(B, N, K, D) of pictures and (B, T, K, D) of texts."""
    noise = torch.Generator().manual_seed(4)
    width, count = module.config.width, module.config.levels
    image = torch.randn(rows, image_tokens, count, width, generator=noise)
    return image, torch.randn(rows, text_tokens, count, width, generator=noise)


def fused(module: Fusion, last: str = "all", **masks: Tensor) -> Fused:
    image, text = levels(module)
    return module(module.image_side(image, masks.get("image")), module.text_side(text, masks.get("text")), last=last)


def close(one: Tensor | None, other: Tensor | None) -> None:
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)


def attend_by_hand(layer: nn.Module, x: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
    """Head by head: x (T, D), source (S, D), mask (S,)."""
    q = layer.query(x)  # type: ignore[operator]
    k, v = layer.memory(source).chunk(2, dim=-1)  # type: ignore[operator]
    size = q.shape[1] // CONFIG.heads
    parts = []
    for head in range(CONFIG.heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / size**0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        parts.append(scores.softmax(-1) @ v[:, part])
    return layer.output(torch.cat(parts, dim=-1))  # type: ignore[operator]


def layer_by_hand(layer: nn.Module, x: Tensor, y: Tensor, own: Tensor | None, other: Tensor | None) -> Tensor:
    """Attend to oneself, then to the other stream's *input*, then think; each added and normalised."""
    x = layer.norm_own(x + attend_by_hand(layer.own, x, x, own))  # type: ignore[operator, arg-type]
    x = layer.norm_other(x + attend_by_hand(layer.other, x, y, other))  # type: ignore[operator, arg-type]
    return layer.norm_mlp(x + layer.mlp(x))  # type: ignore[operator]


@pytest.mark.parametrize("bridge", KINDS)
def test_the_streams_are_what_the_layers_say_one_by_one(bridge: str | None) -> None:
    module = fusion(bridge=bridge)
    image, text = levels(module, rows=1)
    mask = torch.tensor([True, True, True, False])
    with torch.no_grad():
        x, y = text[0, :, 0], image[0, :, 0]
        for number in range(3):
            if number and bridge:
                x = module.text_bridges[number - 1](text[0, :, number], x)
                y = module.image_bridges[number - 1](image[0, :, number], y)
            text_layer, image_layer = module.text_layers[number], module.image_layers[number]
            x, y = layer_by_hand(text_layer, x, y, mask, None), layer_by_hand(image_layer, y, x, None, mask)
        found = module(module.image_side(image), module.text_side(text, mask[None]))
        close(found.text[0], x)
        close(found.image[0], y)
        pooled = torch.cat([module.text_pooler.dense(x[:1]).tanh(), module.image_pooler.dense(y[:1]).tanh()], dim=-1)
        close(found.pooled, pooled)


@pytest.mark.parametrize("bridge", KINDS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("last", ["first", "text", "image"])
def test_asking_for_less_gives_the_same_numbers(bridge: str | None, layers: int, last: str) -> None:
    module = fusion(layers, bridge)
    mask = torch.tensor([[True, True, False, False], [True] * 4, [True, False, False, False]])
    with torch.no_grad():
        whole, part = fused(module, text=mask), fused(module, last, text=mask)
    wanted = {"first": "pooled"}.get(last, last)
    close(getattr(part, wanted), getattr(whole, wanted))
    assert all(getattr(part, name) is None for name in ("text", "image", "pooled") if name != wanted)


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="last is 'second', expected one of all, first, text, image"):
        fused(fusion(), "second")


@pytest.mark.parametrize("bridge", KINDS)
def test_padding_changes_nothing(bridge: str | None) -> None:
    module = fusion(bridge=bridge)
    image, text = levels(module)
    mask = torch.tensor([[True, True, False, False], [True] * 4, [True, True, True, False]])
    seen = torch.tensor([[True] * 5, [True, True, True, False, False], [True] * 4 + [False]])
    with torch.no_grad():
        whole = module(module.image_side(image, seen), module.text_side(text, mask))
        changed = (text + 7 * ~mask[:, :, None, None], image - 5 * ~seen[:, :, None, None])
        again = module(module.image_side(changed[1], seen), module.text_side(changed[0], mask))
        close(again.pooled, whole.pooled)
        close(again.text[mask], whole.text[mask])
        close(again.image[seen], whole.image[seen])
        for row in range(3):
            short = module(
                module.image_side(image[row : row + 1, seen[row]]), module.text_side(text[row : row + 1, mask[row]])
            )
            close(short.pooled[0], whole.pooled[row])


def test_a_mask_of_ones_is_no_mask() -> None:
    module = fusion()
    everything = {"text": torch.ones(3, 4, dtype=torch.bool), "image": torch.ones(3, 5, dtype=torch.bool)}
    with torch.no_grad():
        close(fused(module).pooled, fused(module, text=everything["text"], image=everything["image"]).pooled)


@pytest.mark.parametrize("bridge", KINDS)
@pytest.mark.parametrize("last", ["all", "first"])
def test_kept_sides_give_every_pair_what_it_gets_alone(bridge: str | None, last: str) -> None:
    module = fusion(bridge=bridge)
    image, text = levels(module)
    mask = torch.tensor([[True, True, False, False], [True] * 4, [True, True, True, False]])
    pictures, texts = torch.tensor([0, 0, 2, 1, 2]), torch.tensor([1, 2, 0, 0, 2])
    with torch.no_grad():
        kept_image, kept_text = module.image_side(image), module.text_side(text, mask)
        found = module(kept_image[pictures], kept_text[texts], last=last)
        for place, (picture, words) in enumerate(zip(pictures.tolist(), texts.tolist(), strict=True)):
            alone = module(
                module.image_side(image[picture : picture + 1]),
                module.text_side(text[words : words + 1, mask[words]]),
            )
            close(found.pooled[place], alone.pooled[0])


def test_the_order_of_a_batch_does_not_matter() -> None:
    module = fusion()
    image, text = levels(module)
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        one = module(module.image_side(image), module.text_side(text))
        other = module(module.image_side(image[order]), module.text_side(text[order]))
    for name in ("text", "image", "pooled"):
        close(getattr(other, name), getattr(one, name)[order])


@pytest.mark.parametrize("bridge", KINDS)
def test_a_trace_ends_where_the_streams_end(bridge: str | None) -> None:
    module = fusion(bridge=bridge)
    image, text = levels(module)
    mask = torch.tensor([[True, True, False, False], [True] * 4, [True, True, True, False]])
    with torch.no_grad():
        steps = module.trace(image, text, mask)
        wanted = fused(module, text=mask)
    assert len(steps) == 3
    close(steps[-1].text, wanted.text)
    close(steps[-1].image, wanted.image)
    close(steps[0].text_in, text[:, :, 0])
    close(steps[0].image_in, image[:, :, 0])
    if bridge is None:
        close(steps[1].text_in, steps[0].text)
    shapes = {"text_own": (4, 4), "text_other": (4, 5), "image_own": (5, 5), "image_other": (5, 4)}
    for step in steps:
        for name, shape in shapes.items():
            maps = getattr(step, name)
            assert maps.shape == (3, CONFIG.heads, *shape)
            close(maps.sum(-1), torch.ones(maps.shape[:-1]))
        for maps in (step.text_own, step.image_other):
            assert not maps[0, :, :, 2:].any()


def test_every_weight_learns() -> None:
    for bridge in KINDS:
        module = fusion(bridge=bridge).train()
        result = fused(module)
        assert result.pooled is not None
        (result.pooled.square().sum() + result.text.sum() + result.image.square().sum()).backward()  # type: ignore[union-attr]
        missing = [name for name, parameter in module.named_parameters() if parameter.grad is None]
        assert not missing


def test_training_and_evaluation_differ_by_dropout_alone() -> None:
    module = fusion()
    close(fused(module).pooled, fused(module.train()).pooled)
    noisy = fusion(dropout=0.5).train()
    one, other = fused(noisy).pooled, fused(noisy).pooled
    assert one is not None
    assert other is not None
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("add", [3 + 1, 5 + 3]),
        ("scaled_add", [3 * 2 + 1, 5 * 2 + 3]),
        ("interpolate", [3 * (1 - 2) + 1 * 2, 5 * (1 - 2) + 3 * 2]),
    ],
)
def test_a_bridge_adds_scales_or_interpolates(kind: str, wanted: list[float]) -> None:
    bridge = Bridge(replace(CONFIG, width=2, heads=1, bridge=kind))
    bridge.norm = nn.Identity()  # type: ignore[assignment]
    for parameter in bridge.parameters():
        parameter.data.fill_(2.0)
    level, x = torch.tensor([[[3.0, 5.0]]]), torch.tensor([[[1.0, 3.0]]])
    assert bridge(level, x).flatten().tolist() == wanted


def test_bridges_start_as_their_paper_has_them() -> None:
    assert Bridge(replace(CONFIG, bridge="scaled_add")).factor.item() == 1.0
    assert Bridge(replace(CONFIG, bridge="interpolate")).beta.item() == 0.5
    with pytest.raises(ValueError, match="bridge is 'multiply', expected one of add, scaled_add, interpolate"):
        Bridge(replace(CONFIG, bridge="multiply"))


def test_one_layer_has_no_bridges_and_takes_one_level() -> None:
    module = fusion(layers=1)
    assert len(module.text_bridges) == len(module.image_bridges) == 0
    assert module.config.levels == 1
    assert fusion(bridge=None).config.levels == 1
    assert fusion(layers=3).config.levels == 3


@pytest.mark.parametrize(("dtype", "worst"), [(torch.bfloat16, 0.999), (torch.float16, 0.9999)], ids=str)
def test_half_precision_gives_nearly_the_same_direction(dtype: torch.dtype, worst: float) -> None:
    module = fusion()
    image, text = levels(module)
    with torch.inference_mode():
        exact = fused(module).pooled
        module = module.to(dtype)
        half = module(module.image_side(image.to(dtype)), module.text_side(text.to(dtype))).pooled
    assert exact is not None
    assert half.dtype == dtype
    assert torch.cosine_similarity(half.float(), exact, dim=1).min() > worst


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="width 16 cannot be divided among 3 heads"):
        Fusion(replace(CONFIG, heads=3))
