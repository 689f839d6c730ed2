"""BriVL's sizes and names against their published description, and what its features depend on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.models import tiny_brivl
from tests.models.tiny_brivl import CONFIG
from tuwen import keymap
from tuwen.errors import CheckpointError, InputError, UnsupportedTask, UsageError
from tuwen.models import brivl
from tuwen.models.brivl import DROP, KEYS, VARIANTS, BriVL, Config, towers
from tuwen.nn.regions import regular_grid, whole_picture
from tuwen.types import Images, Texts

# Both towers; the picture's, its network with and without classifier, transformer, head, layer of the regions; the
# text's, its BERT, transformer, head; without classifier and pooler
COUNTS = {
    "1.0": (
        (273_818_904, 143_724_056, 30_389_784, 28_340_784, 100_745_216, 8_392_704, 4_196_352),
        (130_094_848, 102_267_648, 22_055_936, 5_771_264, 271_179_312),
    ),
    "roberta-large": (
        (601_219_512, 232_917_432, 66_347_960, 63_786_960, 146_900_992, 13_112_320, 6_556_160),
        (368_302_080, 325_522_432, 33_599_488, 9_180_160, 597_608_912),
    ),
}
TRAINED = {"1.0": (140_163_280, 56_178_688), "roberta-large": (227_730_644, 93_164_544)}
TENSORS = {"1.0": (908, 252), "roberta-large": (1254, 444)}


def count(*modules: nn.Module | None) -> int:
    return sum(parameter.numel() for module in modules if module is not None for parameter in module.parameters())


def on_meta(config: Config) -> BriVL:
    with torch.device("meta"):
        return BriVL(config)


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", COUNTS)
def test_a_variant_is_as_large_as_published(variant: str) -> None:
    module = on_meta(VARIANTS[variant])
    image, text = module.image, module.text
    assert image is not None
    assert text is not None
    bare = count(image.cnn) - count(image.cnn.classifier)
    parts = (count(module), count(image), count(image.cnn), bare, count(image.encoder), count(image.head))
    used = count(module) - count(image.cnn.classifier) - count(text.bert.pooler)
    others = (count(text), count(text.bert), count(text.encoder), count(text.head), used)
    assert ((*parts, count(image.region)), others) == COUNTS[variant]


@pytest.mark.parametrize("variant", TRAINED)
def test_pretraining_changes_as_many_parameters_as_published(variant: str) -> None:
    module = on_meta(VARIANTS[variant])
    brivl.freeze(module)
    found = [
        sum(parameter.numel() for name, parameter in module.named_parameters() if name.startswith(tower))
        - sum(
            parameter.numel()
            for name, parameter in module.named_parameters()
            if name.startswith(tower) and not parameter.requires_grad
        )
        for tower in ("image.", "text.")
    ]
    assert tuple(found) == TRAINED[variant]


@pytest.mark.parametrize("variant", TENSORS)
def test_a_file_has_as_many_tensors_as_published(variant: str) -> None:
    names = list(keymap.store(on_meta(VARIANTS[variant]).state_dict(), KEYS["original"]))
    image = [name for name in names if name.startswith("imgencoder.")]
    assert (len(image), len(names) - len(image) + 1) == TENSORS[variant]  # and one of position ids


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_config_comes_back_from_its_description(variant: str) -> None:
    config = VARIANTS[variant]
    assert brivl.config_from_own(json.loads(json.dumps(brivl.config_to_dict(config)))) == config
    assert brivl.variant_of(replace(config, image=replace(config.image, classes=0))) == variant
    assert brivl.variant_of(replace(config, boxes=20)) is None


# -- names -----------------------------------------------------------------------------------------------------------


def published() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tiny model's file beside its network, spelled out from the description."""
    found: dict[str, tuple[int, ...]] = {}

    def linear(name: str, wide: int, narrow: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (wide, narrow), (wide,)

    for tower, part, width, layers in (("imgencoder", "img", 24, 2), ("textencoder", "text", 16, 1)):
        start = f"{tower}.learnable.{part}"
        for layer in (f"{start}Att.layers.{number}" for number in range(layers)):
            found[f"{layer}.self_attn.in_proj_weight"] = (3 * width, width)
            found[f"{layer}.self_attn.in_proj_bias"] = (3 * width,)
            linear(f"{layer}.self_attn.out_proj", width, width)
            linear(f"{layer}.linear1", 20, width)
            linear(f"{layer}.linear2", width, 20)
            for norm in ("norm1", "norm2"):
                found[f"{layer}.{norm}.weight"] = found[f"{layer}.{norm}.bias"] = (width,)
        linear(f"{start}FC.fc1", 24, width)
        linear(f"{start}FC.fc2", 24, 24)
    found["imgencoder.learnable.max_pool.0.weight"] = (24, 24, 1, 1)
    found["imgencoder.learnable.max_pool.0.bias"] = (24,)
    return found


def test_names_and_shapes_are_the_published_ones() -> None:
    names = keymap.store(tiny_brivl.module().state_dict(), KEYS["original"])
    rest = {name: tuple(tensor.shape) for name, tensor in names.items() if ".backbone." not in name}
    assert rest == published()
    network = "imgencoder.backbone."
    assert tuple(names[f"{network}blocks.0.0.conv_pw.weight"].shape) == (8, 8, 1, 1)
    assert tuple(names[f"{network}blocks.1.0.se.conv_reduce.weight"].shape) == (2, 48, 1, 1)
    assert f"{network}blocks.6.0.bn3.running_var" in names
    assert "textencoder.backbone.bert.encoder.layer.1.attention.self.value.bias" in names


@pytest.mark.parametrize("form", KEYS)
def test_a_file_is_written_again_bit_for_bit(form: str) -> None:
    module = tiny_brivl.module(replace(CONFIG, towers=("text",)) if form == "text" else CONFIG)
    theirs = keymap.store(module.state_dict(), KEYS[form])
    assert brivl.recognise(theirs) == form
    ours, dropped = keymap.load(theirs, KEYS[form], DROP, module.state_dict())
    assert not dropped
    again = keymap.store(ours, KEYS[form])
    assert list(again) == list(theirs)
    assert all(torch.equal(again[name], theirs[name]) for name in theirs)


def with_twins() -> dict[str, Tensor]:
    """A training file: two models, counting rows and queues."""
    theirs = keymap.store(tiny_brivl.module().state_dict(), KEYS["original"])
    other = keymap.store(tiny_brivl.module(seed=1).state_dict(), KEYS["original"])
    twins = {name.replace("encoder.", "encoder_mom.", 1): tensor for name, tensor in other.items()}
    rows = "backbone.bert.embeddings.position_ids"
    extra = {f"textencoder{twin}.{rows}": torch.arange(32)[None] for twin in ("", "_mom")}
    return {**theirs, **twins, **extra, "img_queue": torch.zeros(24, 8), "img_queue_ptr": torch.zeros(1)}


def test_twins_queues_and_counting_rows_are_dropped_or_taken_instead() -> None:
    given = with_twins()
    ours, dropped = keymap.load(given, KEYS["original"], DROP, tiny_brivl.module().state_dict())
    assert torch.equal(ours["image.region.weight"], tiny_brivl.module().state_dict()["image.region.weight"])
    assert {"img_queue", "img_queue_ptr"} < set(dropped)
    ours, _ = keymap.load(brivl.momentum(given), KEYS["original"], DROP, tiny_brivl.module().state_dict())
    wanted = tiny_brivl.module(seed=1).state_dict()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
    with pytest.raises(CheckpointError, match="no momentum copies"):
        brivl.momentum({"imgencoder.x": torch.zeros(1)})


def test_one_tower_of_a_file_can_be_taken_alone() -> None:
    given = with_twins()
    for tower in brivl.TOWERS:
        part = brivl.one_tower(given, tower)
        config = brivl.read_sizes("original", None, shapes(part), {}, {"num_attention_heads": 2})
        assert config.towers == (tower,)
        ours, _ = keymap.load(part, KEYS["original"], DROP)
        assert all(name.startswith(f"{tower}.") for name in ours)
    with pytest.raises(CheckpointError, match="nothing of the text tower"):
        brivl.one_tower({"imgencoder.x": torch.zeros(1)}, "text")


def shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def test_a_counter_may_be_stored_as_a_number_or_as_a_row_of_one() -> None:
    theirs = keymap.store(tiny_brivl.module().state_dict(), KEYS["original"])
    rows = {name: tensor.reshape(-1) if tensor.ndim == 0 else tensor for name, tensor in theirs.items()}
    ours, _ = keymap.load(rows, KEYS["original"], DROP)
    assert ours["image.cnn.stem.norm.num_batches_tracked"].shape == ()


def test_classifier_counters_and_pooler_may_be_missing() -> None:
    theirs = keymap.store(tiny_brivl.module().state_dict(), KEYS["original"])
    left = ("num_batches_tracked", "classifier", "pooler")
    few = {name: tensor for name, tensor in theirs.items() if not any(part in name for part in left)}
    config = brivl.read_sizes("original", None, shapes(few), {}, {"num_attention_heads": 2})
    assert (config.image.classes, config.image.counters, config.text.pooler) == (0, False, False)
    module = on_meta(config)
    keymap.load(few, KEYS["original"], DROP, module.state_dict())


def test_other_models_are_not_recognised() -> None:
    assert brivl.recognise(["bert.pooler.dense.weight", "visual.proj"]) is None


# -- features --------------------------------------------------------------------------------------------------------


def test_packed_texts_give_what_padded_ones_give() -> None:
    module = tiny_brivl.module()
    with torch.no_grad():
        padded, packed = module.encode_text(tiny_brivl.texts()), module.encode_text(tiny_brivl.packed())
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=1e-4)


def test_packed_texts_teach_what_padded_ones_teach() -> None:
    gradients = []
    for given in (tiny_brivl.texts(), tiny_brivl.packed()):
        module = tiny_brivl.module()
        module.encode_text(given).square().sum().backward()
        gradients.append({name: p.grad for name, p in module.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, wanted in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], wanted, atol=1e-4, rtol=1e-3, msg=name)


def test_many_texts_pass_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    module = tiny_brivl.module()
    with torch.no_grad():
        wanted = module.encode_text(tiny_brivl.packed())
        for rows in (1, 2, 3):
            monkeypatch.setattr(towers, "TOKENS_AT_ONCE", rows * CONFIG.context_length)
            torch.testing.assert_close(module.encode_text(tiny_brivl.packed()), wanted, atol=1e-5, rtol=1e-4)


def test_a_shorter_padding_is_made_up_for() -> None:
    module = tiny_brivl.module()
    whole = tiny_brivl.texts()
    short = Texts(whole.ids[:3, :7], whole.mask[:3, :7])
    with torch.no_grad():
        torch.testing.assert_close(module.encode_text(short), module.encode_text(whole)[:3], atol=1e-5, rtol=1e-4)


def test_features_depend_on_the_length_that_texts_are_padded_to() -> None:
    longer = tiny_brivl.module(replace(CONFIG, context_length=20))
    with torch.no_grad():
        other = longer.encode_text(tiny_brivl.texts(20))
        assert not torch.allclose(other, tiny_brivl.module().encode_text(tiny_brivl.texts()), atol=1e-3)


def test_a_text_longer_than_the_model_is_refused() -> None:
    with pytest.raises(InputError, match="a text has 20 tokens, the model takes 12"):
        tiny_brivl.module().encode_text(tiny_brivl.texts(20))


def test_a_picture_without_boxes_is_one_box_or_a_grid() -> None:
    given = tiny_brivl.images(boxes=False)
    size, cells = tiny_brivl.SIZE, 3
    whole = whole_picture(size)
    grid = torch.cat([regular_grid(size, cells).float(), whole])
    for config, boxes in ((CONFIG, whole), (replace(CONFIG, grid=cells), grid)):
        module = tiny_brivl.module(config)
        explicit = Images(given.pixels, None, boxes.expand(3, -1, -1))
        with torch.no_grad():
            torch.testing.assert_close(module.encode_image(given), module.encode_image(explicit), atol=1e-5, rtol=1e-4)


def test_neither_the_order_of_boxes_nor_empty_places_change_a_feature() -> None:
    module, given = tiny_brivl.module(), tiny_brivl.images()
    assert given.boxes is not None
    assert given.box_mask is not None
    order = torch.tensor([4, 2, 0, 1, 3])
    turned = Images(given.pixels, None, given.boxes[:, order], given.box_mask[:, order])
    other = torch.where(given.box_mask[..., None], given.boxes, 17.0)
    with torch.no_grad():
        wanted = module.encode_image(given)
        torch.testing.assert_close(module.encode_image(turned), wanted, atol=1e-5, rtol=1e-4)
        filled = Images(given.pixels, None, other, given.box_mask)
        torch.testing.assert_close(module.encode_image(filled), wanted, atol=1e-5, rtol=1e-4)
        alone = Images(given.pixels[:1], None, given.boxes[:1, :1])
        torch.testing.assert_close(module.encode_image(alone), wanted[:1], atol=1e-5, rtol=1e-4)


def test_boxes_that_do_not_fit_their_pictures_are_refused() -> None:
    module, given = tiny_brivl.module(), tiny_brivl.images()
    with pytest.raises(InputError, match="expected \\(3, R, 4\\)"):
        module.encode_image(Images(given.pixels, None, torch.zeros(2, 5, 4)))
    with pytest.raises(InputError, match="no box at all"):
        module.encode_image(Images(given.pixels, None, given.boxes, torch.eye(3, 5, dtype=torch.bool) & False))


def test_a_model_of_one_tower_refuses_the_other_side_and_says_why() -> None:
    text, image = (tiny_brivl.module(replace(CONFIG, towers=(tower,))) for tower in ("text", "image"))
    with pytest.raises(UnsupportedTask, match="text tower alone"):
        text.encode_image(tiny_brivl.images())
    with pytest.raises(UnsupportedTask, match="picture tower alone"):
        image.encode_text(tiny_brivl.texts())
    assert brivl.tasks(text.config) == ("embed",)
    assert brivl.tasks(CONFIG) == ("embed", "search", "classify")


def test_nothing_scales_the_cosine_but_the_fixed_temperature() -> None:
    assert tiny_brivl.module().scale().item() == pytest.approx(1 / 0.07)


def test_half_precision_stays_near() -> None:
    wanted = tiny_brivl.features(tiny_brivl.module())
    module = tiny_brivl.module().bfloat16()
    given = tiny_brivl.images()
    with torch.no_grad():
        half = Images(given.pixels.bfloat16(), None, given.boxes, given.box_mask)
        found = (module.encode_image(half), module.encode_text(tiny_brivl.texts()))
    for ours, exact in zip(found, wanted, strict=True):
        assert torch.cosine_similarity(ours.float(), exact).min() > 0.99


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"towers": ()}, "expected one or both of image, text"),
        ({"towers": ("image", "sound")}, "expected one or both of image, text"),
        ({"context_length": 97}, "expected 2 to 96"),
        ({"context_length": 1}, "expected 2 to 96"),
    ],
)
def test_a_config_that_makes_no_model_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        replace(CONFIG, **change)  # type: ignore[arg-type]


def test_gradients_reach_every_parameter_that_features_depend_on() -> None:
    module = tiny_brivl.module().train()
    features = module.encode_image(tiny_brivl.images()).sum() + module.encode_text(tiny_brivl.packed()).sum()
    features.backward()
    without = {name.rpartition(".")[0] for name, p in module.named_parameters() if p.grad is None}
    assert without == {"image.cnn.classifier", "text.bert.pooler"}
