"""What every tower can do: run in three precisions, be exported, be compiled, give the same numbers each way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.models import tiny
from tuwen.models.chinese_clip import ChineseCLIP, Config
from tuwen.nn.resnet import AttentionPool, Bottleneck
from tuwen.types import Images, PackedTexts, Texts


class ImageTower(nn.Module):
    """pixels -> features: a module with tensors for arguments, as exporters want it."""

    def __init__(self, model: ChineseCLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.encode_image(Images(pixels))


class TextTower(nn.Module):
    """ids and mask -> features."""

    def __init__(self, model: ChineseCLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.encode_text(Texts(ids, mask))


def tower_and_inputs(name: str, rows: int = 3) -> tuple[nn.Module, tuple[Tensor, ...]]:
    if name == "text":
        model = tiny.model()
        texts = model.processor.texts(tiny.TEXTS[:rows], 16)
        return TextTower(tiny.module()), (texts.ids, texts.mask)
    config = tiny.CONFIGS[name]
    return ImageTower(tiny.module(config)), (tiny.pixels(config, rows),)


TOWERS = ("vit", "resnet", "text")


@pytest.mark.parametrize("name", TOWERS)
def test_an_exported_tower_gives_the_same_numbers_at_any_batch_size(name: str) -> None:
    tower, inputs = tower_and_inputs(name)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(tower, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs)).module()
    for rows in (3, 2):
        _, other = tower_and_inputs(name, rows)
        with torch.inference_mode():
            torch.testing.assert_close(exported(*other), tower(*other), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["vit", "text", "resnet block"])
def test_a_tower_is_compiled_in_one_graph_and_gives_the_same_numbers(name: str) -> None:
    if name == "resnet block":  # a whole ResNet takes ten seconds to trace and has nothing else in it
        pool = AttentionPool(positions=4, width=16, heads=2, embedding=6)
        tower: nn.Module = nn.Sequential(Bottleneck(8, 4, stride=2), pool).eval()
        inputs: tuple[Tensor, ...] = (torch.randn(2, 8, 4, 4),)
    else:
        tower, inputs = tower_and_inputs(name)
    compiled = torch.compile(tower, backend="eager", fullgraph=True)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(*inputs), tower(*inputs), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("dtype", "cosine"), [(torch.bfloat16, 0.999), (torch.float16, 0.9999)], ids=str)
@pytest.mark.parametrize("name", TOWERS)
def test_half_precision_gives_nearly_the_same_direction(name: str, dtype: torch.dtype, cosine: float) -> None:
    tower, inputs = tower_and_inputs(name)
    with torch.inference_mode():
        exact = tower(*inputs)
        half = tower.to(dtype)(*(x.to(dtype) if x.is_floating_point() else x for x in inputs))
    assert half.dtype == dtype
    assert torch.cosine_similarity(half.float(), exact, dim=1).min() > cosine


@pytest.mark.parametrize("config", tiny.CONFIGS.values(), ids=tiny.CONFIGS)
def test_packed_texts_run_in_half_precision_too(config: Config) -> None:
    model = tiny.model(config)
    packed, _ = model.processor.packed(model.processor.ids(tiny.TEXTS))
    assert isinstance(packed, PackedTexts)
    with torch.inference_mode():
        exact = tiny.module(config).encode_text(packed)
        half = tiny.module(config).to(torch.bfloat16).encode_text(packed)
    assert torch.cosine_similarity(half.float(), exact, dim=1).min() > 0.999
