"""What holds for every model whose texts and pictures attend to each other."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models import tiny_fusion
from tuwen import models
from tuwen.types import Fused, Images, Texts

CONFIGS = {**tiny_fusion.BRIDGETOWERS, "vle": tiny_fusion.VLE}

every_model = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def fuse(module: nn.Module, texts: Texts, images: Images | None = None, last: str = "all") -> Fused:
    with torch.no_grad():
        fused: Fused = module(images or tiny_fusion.images(len(texts.ids)), texts, last=last)
    return fused


def close(one: Tensor | None, other: Tensor | None, atol: float = 1e-5) -> None:
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one, other, atol=atol, rtol=1e-4)


@every_model
def test_padding_changes_nothing(config: Any) -> None:
    module = tiny_fusion.module(config)
    short, long = fuse(module, tiny_fusion.texts()), fuse(module, tiny_fusion.texts(12))
    close(short.pooled, long.pooled)
    close(short.image, long.image)
    assert short.text is not None
    assert long.text is not None
    mask = tiny_fusion.texts().mask
    close(short.text[mask], long.text[:, :8][mask])
    for row, words in enumerate(tiny_fusion.ROWS):
        images = Images(tiny_fusion.images().pixels[row : row + 1])
        alone = fuse(module, tiny_fusion.texts(chosen=[words]), images)
        assert alone.pooled is not None
        assert short.pooled is not None
        close(alone.pooled[0], short.pooled[row])


@every_model
def test_the_order_of_a_batch_does_not_matter(config: Any) -> None:
    module, texts, images = tiny_fusion.module(config), tiny_fusion.texts(), tiny_fusion.images()
    order = torch.tensor([2, 0, 3, 1])
    one = fuse(module, texts, images)
    other = fuse(module, Texts(texts.ids[order], texts.mask[order]), Images(images.pixels[order]))
    for name in ("text", "image", "pooled"):
        close(getattr(other, name), getattr(one, name)[order])


@every_model
@pytest.mark.parametrize("device", ["meta", *(["cuda"] if torch.cuda.is_available() else [])])
def test_everything_happens_on_the_device_of_the_inputs(config: Any, device: str) -> None:
    """A tensor made elsewhere on the way would meet the others and raise; the meta device shows it without a GPU."""
    module, texts, images = tiny_fusion.module(config), tiny_fusion.texts(), tiny_fusion.images()
    wanted = fuse(module, texts, images)
    found = fuse(copy.deepcopy(module).to(device), texts.to(device), images.to(device))
    for name in ("text", "image", "pooled"):
        ours, theirs = getattr(found, name), getattr(wanted, name)
        assert ours.device.type == device
        assert ours.shape == theirs.shape
        if device != "meta":
            close(ours.cpu(), theirs, atol=1e-4)


@every_model
@pytest.mark.parametrize("last", ["first", "text", "image"])
def test_asking_for_less_gives_the_same_numbers(config: Any, last: str) -> None:
    module, texts = tiny_fusion.module(config), tiny_fusion.texts()
    name = {"first": "pooled"}.get(last, last)
    close(getattr(fuse(module, texts, last=last), name), getattr(fuse(module, texts), name))


@every_model
def test_packed_texts_give_the_levels_of_padded_ones(config: Any) -> None:
    module, texts = tiny_fusion.module(config), tiny_fusion.texts()
    packed, order = tiny_fusion.packed()
    with torch.no_grad():
        found, wanted = module.text_levels(packed), module.text_levels(texts)  # type: ignore[operator]
    close(found, torch.cat([wanted[row][texts.mask[row]] for row in order]))


@every_model
def test_kept_sides_give_what_the_whole_model_gives(config: Any) -> None:
    module, texts, images = tiny_fusion.module(config), tiny_fusion.texts(), tiny_fusion.images()
    pictures, words = torch.tensor([0, 3, 1, 1]), torch.tensor([2, 2, 0, 1])
    with torch.no_grad():
        image = module.fusion.image_side(module.image_levels(images))  # type: ignore[operator, union-attr]
        text = module.fusion.text_side(module.text_levels(texts), texts.mask)  # type: ignore[operator, union-attr]
        found = module.fusion(image[pictures], text[words], last="first")  # type: ignore[operator]
    wanted = fuse(module, Texts(texts.ids[words], texts.mask[words]), Images(images.pixels[pictures]))
    close(found.pooled, wanted.pooled)


@every_model
def test_every_weight_of_the_body_learns(config: Any) -> None:
    module = tiny_fusion.module(config)
    fused = module(tiny_fusion.images(), tiny_fusion.texts())
    weights = [torch.randn_like(part) for part in (fused.text, fused.image, fused.pooled)]
    sum(
        ((part * w).sum() for part, w in zip((fused.text, fused.image, fused.pooled), weights, strict=True)),
        torch.zeros(()),
    ).backward()
    # The last text and picture levels are also read by the heads alone; RoBERTa's pooler is never used.
    untouched = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    unused = {name for name in untouched if not name.startswith(("heads.", "text.pooler.", "temperature"))}
    assert not unused


@every_model
def test_half_precision_gives_nearly_the_same_direction(config: Any) -> None:
    module, texts = tiny_fusion.module(config), tiny_fusion.texts()
    exact = fuse(module, texts).pooled
    half_module = copy.deepcopy(module).to(torch.bfloat16)
    half = fuse(half_module, texts, Images(tiny_fusion.images().pixels.bfloat16())).pooled
    assert half is not None
    assert exact is not None
    assert half.dtype == torch.bfloat16
    assert torch.cosine_similarity(half.float(), exact, dim=1).min() > 0.99


@every_model
def test_a_copy_with_the_same_weights_gives_the_same_bits(config: Any) -> None:
    module, other = tiny_fusion.module(config), tiny_fusion.module(config, seed=1)
    texts = tiny_fusion.texts()
    assert (fuse(module, texts).pooled - fuse(other, texts).pooled).abs().max() > 1e-3  # type: ignore[operator]
    other.load_state_dict(module.state_dict())
    assert torch.equal(fuse(module, texts).pooled, fuse(other, texts).pooled)  # type: ignore[arg-type]


@every_model
def test_text_and_picture_both_matter(config: Any) -> None:
    module, texts, images = tiny_fusion.module(config), tiny_fusion.texts(), tiny_fusion.images()
    one = fuse(module, texts, images).pooled
    assert one is not None
    other_picture = fuse(module, texts, Images(images.pixels.flip(0))).pooled
    other_text = fuse(module, Texts(texts.ids.clone().masked_fill_(texts.ids == 5, 20), texts.mask), images).pooled
    text_half, image_half = one.chunk(2, dim=-1)
    for other in (other_picture, other_text):
        assert other is not None
        changed_text, changed_image = other.chunk(2, dim=-1)
        assert (changed_text - text_half)[0].abs().max() > 1e-4
        assert (changed_image - image_half)[0].abs().max() > 1e-4


@pytest.mark.parametrize("name", [name for name in models.PUBLISHED if name.startswith(("bridgetower/", "vle/"))])
def test_the_table_of_published_models_tells_their_sizes_and_tasks(name: str) -> None:
    family, _, variant = name.partition("/")
    listed, config = models.PUBLISHED[name], models.family(family).VARIANTS[variant]
    with torch.device("meta"):
        module = models.family(family).build(config)
    assert listed.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert (listed.image_size, listed.embedding) == (config.image.image_size, getattr(config, "embedding", 0))
    assert listed.tasks == models.family(family).tasks(config)
    assert models.family(family).variant_of(config) == variant
