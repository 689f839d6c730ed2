"""Sizes, names and heads of BridgeTower against its published description."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.models import published_fusion, tiny_fusion
from tests.models.published import Shapes
from tuwen import checkpoint, keymap
from tuwen.errors import UsageError
from tuwen.models import bridgetower
from tuwen.models.bridgetower import DROP, KEYS, VARIANTS, BridgeTower, Config
from tuwen.types import Images

# The published table of parts: picture tower, text tower, each transform, token types, each stream's layers, each
# pooler, each first norm, bridges of each stream, and all of them.
PARTS = {
    "base": (85_897_728, 124_645_632, 590_592, 1_536, 56_710_656, 590_592, 1_536, 7_680, 326_347_008),
    "large-itm-mlm": (303_369_216, 355_359_744, 1_049_600, 2_048, 100_780_032, 1_049_600, 2_048, 10_240, 864_514_048),
}
# variant -> parameters in all
COUNTS = {
    "base": 326_347_008,
    "base-itm-mlm": 365_595_995,
    "large-itm-mlm": 917_091_419,
    "large-itm-mlm-itc": 919_190_108,
}


def on_meta(config: Config) -> BridgeTower:
    """All of the shapes and none of the memory."""
    with torch.device("meta"):
        return BridgeTower(config)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def with_heads(variant: str, original: bool = False, **heads: tuple[int, ...]) -> Config:
    on = "tower" if original else "transform"
    return replace(VARIANTS[variant], heads=heads, contrast_on=on)


def empty(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_of(tensors: dict[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", PARTS)
def test_parts_are_as_large_as_published(variant: str) -> None:
    module = on_meta(replace(VARIANTS[variant], heads={}))
    assert module.norm_text is not None
    assert module.norm_image is not None
    for stream in ("text", "image"):
        layers = getattr(module.fusion, f"{stream}_layers")
        bridges = getattr(module.fusion, f"{stream}_bridges")
        found = (
            count(module.image),
            count(module.text),
            count(getattr(module, f"{stream}_transform")) if stream == "text" else PARTS[variant][2],
            count(module.types),
            count(layers),
            count(getattr(module.fusion, f"{stream}_pooler")),
            count(getattr(module, f"norm_{stream}")),
            count(bridges),
            count(module),
        )
        assert found == PARTS[variant]
    assert count(module.image_transform) == PARTS[variant][2]


def test_every_variant_is_counted() -> None:
    assert COUNTS.keys() == VARIANTS.keys()


@pytest.mark.parametrize("variant", COUNTS)
def test_parameters_are_as_many_as_published(variant: str) -> None:
    assert count(on_meta(VARIANTS[variant])) == COUNTS[variant]


def test_heads_of_transformers_are_as_large_as_published() -> None:
    base, large = "base", "large-itm-mlm"
    assert count(on_meta(with_heads(base, fill=(50265,)))) == 365_592_921
    assert count(on_meta(with_heads(base, match=(2,)))) == 326_350_082
    assert count(on_meta(with_heads(large, fill=(50265,)))) == 917_087_321
    assert count(on_meta(with_heads(large, match=(2,)))) == 864_518_146
    assert count(on_meta(with_heads(large, contrast=(512, 512)))) == 866_612_737


@pytest.mark.parametrize(
    ("variant", "head", "outputs", "wanted"),
    [
        ("base", "answer", (3072, 3129), 14_343_225),
        ("large-itm-mlm", "answer", (4096, 3129), 21_220_409),
        ("base", "pair", (2304, 2), 7_089_410),
        ("base", "entail", (3072, 3), 4_737_027),
        ("base", "contrast", (256,), 393_728),
    ],
)
def test_heads_of_the_original_are_as_large_as_published(
    variant: str, head: str, outputs: tuple[int, ...], wanted: int
) -> None:
    module = on_meta(with_heads(variant, original=True, **{head: outputs}))
    assert count(module.heads[head]) == wanted


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_published_size_is_known_by_its_name(variant: str) -> None:
    assert bridgetower.variant_of(VARIANTS[variant]) == variant
    assert bridgetower.variant_of(replace(VARIANTS[variant], types=3)) is None


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("form", "prefix"), [("transformers", "bridgetower."), ("transformers-bare", "")])
def test_every_name_of_a_folder_has_its_place_and_finds_its_way_back(variant: str, form: str, prefix: str) -> None:
    theirs = published_fusion.transformers(VARIANTS[variant], prefix)
    assert bridgetower.recognise(theirs) == form
    ours, dropped = keymap.load(empty(theirs), KEYS[form], DROP)
    assert not dropped
    assert shapes_of(ours) == shapes_of(on_meta(VARIANTS[variant]).state_dict())
    assert shapes_of(keymap.store(ours, KEYS[form])) == theirs


@pytest.mark.parametrize("name", tiny_fusion.BRIDGETOWERS)
def test_every_kind_of_file_goes_there_and_back_bit_for_bit(name: str) -> None:
    config = tiny_fusion.BRIDGETOWERS[name]
    made = config.contrast_on == "tower"
    for form, theirs in (
        [("original", published_fusion.original(config))]
        if made
        else [
            ("transformers", published_fusion.transformers(config)),
            ("transformers-bare", published_fusion.transformers(config, "")),
        ]
    ):
        ours = tiny_fusion.module(config).state_dict()
        written = keymap.store(ours, KEYS[form])
        assert shapes_of(written) == theirs
        assert bridgetower.recognise(written) == form
        again, dropped = keymap.load(written, KEYS[form], DROP)
        assert not dropped
        assert checkpoint.digest(again) == checkpoint.digest(ours)


def test_a_file_of_half_precision_keeps_its_types() -> None:
    theirs = {
        name: torch.randn(shape).half() for name, shape in published_fusion.original(tiny_fusion.ORIGINAL).items()
    }
    ours, _ = keymap.load(theirs, KEYS["original"], DROP)
    assert checkpoint.digest(keymap.store(ours, KEYS["original"])) == checkpoint.digest(theirs)


def test_left_overs_and_counting_rows_are_dropped_and_named() -> None:
    width = tiny_fusion.ORIGINAL.image.width
    rest = {
        "text_transformer.embeddings.position_ids": torch.arange(16)[None],
        "vit_model.positional_embedding": torch.zeros(77, 8),
        "vit_model.ln_final.weight": torch.zeros(8),
        "vit_model.ln_final.bias": torch.zeros(8),
    }
    theirs = empty(published_fusion.original(tiny_fusion.ORIGINAL))
    assert keymap.load(theirs | rest, KEYS["original"], DROP)[1] == list(rest)
    for prefix, form in (("bridgetower.", "transformers"), ("", "transformers-bare")):
        rest = {
            f"{prefix}text_model.embeddings.position_ids": torch.arange(16)[None],
            f"{prefix}vision_model.visual.embeddings.position_ids": torch.arange(10)[None],
            f"{prefix}vision_model.visual.ln_separate.0.weight": torch.zeros(width),
            f"{prefix}vision_model.visual.ln_separate.0.bias": torch.zeros(width),
        }
        theirs = empty(published_fusion.transformers(tiny_fusion.BRIDGETOWER, prefix))
        assert keymap.load(theirs | rest, KEYS[form], DROP)[1] == list(rest)


def test_names_of_another_model_are_not_recognised() -> None:
    assert bridgetower.recognise([]) is None
    assert bridgetower.recognise(["text_transformer.embeddings.word_embeddings.weight"]) is None
    assert bridgetower.recognise(published_fusion.vle_folder(tiny_fusion.VLE)) is None
    assert bridgetower.recognise(["bert.embeddings.word_embeddings.weight", "visual.class_embedding"]) is None


def test_heads_that_nobody_knows_and_blocks_that_never_run_are_left_out() -> None:
    theirs = published_fusion.original(tiny_fusion.ORIGINAL)
    strange = {"mpp_score.fc.weight": (2, 2), "vit_model.visual.transformer.resblocks.2.ln_1.weight": (64,)}
    assert bridgetower.left_out({**theirs, **strange}, tiny_fusion.ORIGINAL) == list(strange)


@pytest.mark.parametrize("name", tiny_fusion.BRIDGETOWERS)
def test_every_parameter_has_a_published_name(name: str) -> None:
    config = tiny_fusion.BRIDGETOWERS[name]
    module = tiny_fusion.module(config)
    named = bridgetower.published_parameters(module)
    assert {id(parameter) for parameter in named.values()} == {id(parameter) for parameter in module.parameters()}
    original = config.contrast_on == "tower"
    assert named.keys() <= (published_fusion.original if original else published_fusion.transformers)(config).keys()


# -- heads -----------------------------------------------------------------------------------------------------------


def test_tasks_are_those_of_the_heads() -> None:
    assert bridgetower.tasks(VARIANTS["base"]) == ()
    assert set(bridgetower.tasks(VARIANTS["base-itm-mlm"])) == {"match", "fill"}
    assert {"match", "fill", "embed"} <= set(bridgetower.tasks(VARIANTS["large-itm-mlm-itc"]))
    assert "answer" in bridgetower.tasks(tiny_fusion.ORIGINAL)


def test_new_heads_have_the_originals_sizes() -> None:
    wider = bridgetower.with_heads(VARIANTS["base"], ("answer", "pair", "entail", "match", "fill"))
    module = on_meta(wider)
    sizes = {name: count(head) for name, head in module.heads.items()}
    wanted = {"answer": 14_343_225, "pair": 7_089_410, "entail": 4_737_027, "match": 3_074, "fill": 39_245_913}
    assert sizes == wanted
    kept = bridgetower.with_heads(VARIANTS["base-itm-mlm"], ("match",))
    assert kept == VARIANTS["base-itm-mlm"]


def test_an_unknown_head_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="poem"):
        bridgetower.with_heads(VARIANTS["base"], ("poem",))


def test_a_pair_has_no_vector_in_the_originals_files() -> None:
    module = tiny_fusion.module(tiny_fusion.ORIGINAL)
    assert isinstance(module, BridgeTower)
    with pytest.raises(UsageError, match="no contrastive head for fused pairs"):
        module.encode_pair(torch.zeros(1, 128))


def test_the_second_picture_needs_its_token_type() -> None:
    module = tiny_fusion.module(tiny_fusion.BRIDGETOWER)
    assert isinstance(module, BridgeTower)
    with pytest.raises(UsageError, match="token type 2"):
        module.image_levels(tiny_fusion.images(1), kind=2)


def test_two_pictures_in_another_order_are_another_pair() -> None:
    module, one, other = tiny_fusion.module(tiny_fusion.ORIGINAL), tiny_fusion.images(4), tiny_fusion.images(5)
    assert isinstance(module, BridgeTower)
    other = Images(other.pixels[1:])
    with torch.no_grad():
        logits = module.pair_logits(tiny_fusion.texts(), one, other)
        assert logits.shape == (4, 2)
        assert (module.pair_logits(tiny_fusion.texts(), other, one) - logits).abs().max() > 1e-3


def test_the_temperature_stays_where_the_original_keeps_it() -> None:
    module = tiny_fusion.module(tiny_fusion.ORIGINAL)
    assert isinstance(module, BridgeTower)
    assert module.temperature is not None
    for value, kept in ((3.0, 0.5), (0.0, 0.001), (0.07, 0.07)):
        module.temperature.data.fill_(value)
        module.after_step()
        assert module.temperature.item() == pytest.approx(kept)
        assert module.scale().item() == pytest.approx(1 / kept)


def test_the_picture_vector_is_made_as_each_format_makes_it() -> None:
    """transformers transforms the tower's state and adds the token type; the original does neither."""
    images = tiny_fusion.images(2)
    for config in (tiny_fusion.BRIDGETOWER, tiny_fusion.ORIGINAL):
        module = tiny_fusion.module(config)
        assert isinstance(module, BridgeTower)
        with torch.no_grad():
            state = module.image.norm_out(module.image.states(images.pixels)[-1])[:, 0]
            if config.contrast_on == "transform":
                assert isinstance(module.image_transform, nn.Module)
                state = module.image_transform(state) + module.types.weight[1]
            wanted = module.heads["contrast"].image(state)  # type: ignore[operator]
            torch.testing.assert_close(module.encode_image(images), wanted, atol=1e-5, rtol=1e-5)
