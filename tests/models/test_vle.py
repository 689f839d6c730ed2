"""Sizes, names, heads and objects of VLE against its published description."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.models import published_fusion, tiny_fusion
from tests.models.published import Shapes
from tuwen import checkpoint, keymap
from tuwen.errors import InputError, UsageError
from tuwen.models import vle
from tuwen.models.vle import DROP, KEYS, VARIANTS, VLE, Config
from tuwen.types import Boxes

# size and edge of the pictures -> parameters of the picture tower, of the body
SIZES = {
    ("base", 224): (78_711_552, 378_328_320),
    ("base", 384): (79_003_392, 378_620_160),
    ("base", 576): (79_556_352, 379_173_120),
    ("large", 224): (290_583_552, 930_356_224),
    ("large", 336): (290_911_232, 930_683_904),
    ("large", 504): (291_648_512, 931_421_184),
}
# size -> text tower, its word table, fusion with projections, poolers and types, one fusion layer
PARTS = {
    "base": (183_831_552, 98_380_800, 115_785_216, 9_451_776),
    "large": (434_012_160, 131_174_400, 205_760_512, 16_796_672),
}
# size -> two projections, two poolers, and what 83 token types have more than 2
SMALL_PARTS = {"base": (1_181_184, 1_181_184, 62_208), "large": (2_099_200, 2_099_200, 82_944)}
HEADS = {
    "base": {"answer": 7_173_177, "match": 3_074, "ground": 593_666, "fill": 1_310_820, "choose": 2_365_441},
    "large": {"answer": 10_611_769, "match": 4_098, "ground": 1_053_698, "fill": 2_229_348, "choose": 4_202_497},
}


def on_meta(config: Config) -> VLE:
    """All of the shapes and none of the memory."""
    with torch.device("meta"):
        return VLE(config)


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def body_of(size: str, image_size: int | None = None, **heads: tuple[int, ...]) -> Config:
    config = VARIANTS[size]
    image = config.image if image_size is None else replace(config.image, image_size=image_size)
    return replace(config, image=image, heads=heads)


def empty(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_of(tensors: dict[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


# -- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "image_size"), SIZES)
def test_a_body_is_as_large_as_published(size: str, image_size: int) -> None:
    module = on_meta(body_of(size, image_size))
    fusion = count(module.fusion, module.text_projection, module.image_projection, module.types)
    assert (count(module.image), count(module)) == SIZES[size, image_size]
    words = module.text.embeddings.words
    assert (count(module.text), count(words), fusion, count(module.fusion.text_layers[0])) == PARTS[size]
    assert count(module.fusion.text_layers) == count(module.fusion.image_layers) == 6 * PARTS[size][3]


@pytest.mark.parametrize("size", SMALL_PARTS)
def test_projections_poolers_and_token_types_are_as_large_as_published(size: str) -> None:
    module, many = on_meta(body_of(size)), on_meta(replace(body_of(size), types=83))
    found = (
        count(module.text_projection, module.image_projection),
        count(module.fusion.text_pooler, module.fusion.image_pooler),
        count(many) - count(module),
    )
    assert found == SMALL_PARTS[size]


@pytest.mark.parametrize("size", HEADS)
def test_heads_are_as_large_as_published(size: str) -> None:
    config = replace(VARIANTS[size], answers=tuple(f"answer {number}" for number in range(3129)))
    module = on_meta(vle.with_heads(config, tuple(HEADS[size])))
    assert {name: count(head) for name, head in module.heads.items()} == HEADS[size]


@pytest.mark.parametrize("size", HEADS)
def test_the_published_models_are_bodies_with_their_heads(size: str) -> None:
    assert {name for name in VARIANTS if name.startswith(size)} == {
        size,
        f"{size}-vqa",
        f"{size}-vcr-q2a",
        f"{size}-vcr-qa2r",
    }
    vqa, types = on_meta(VARIANTS[f"{size}-vqa"]), SMALL_PARTS[size][2]
    edge = {"base": 576, "large": 504}[size]
    assert count(vqa) == SIZES[size, edge][1] + HEADS[size]["answer"]
    pretrained = on_meta(VARIANTS[size])
    assert count(pretrained) == SIZES[size, 224][1] + sum(HEADS[size][name] for name in ("match", "ground", "fill"))
    for task in ("q2a", "qa2r"):
        config = VARIANTS[f"{size}-vcr-{task}"]
        edge = {"base": 384, "large": 336}[size]
        module = on_meta(replace(config, image=replace(config.image, image_size=edge)))
        assert count(module) == SIZES[size, edge][1] + types + HEADS[size]["choose"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_published_size_is_known_by_its_name_at_any_picture_size(variant: str) -> None:
    config = VARIANTS[variant]
    assert vle.variant_of(config) == variant
    assert vle.variant_of(replace(config, image=replace(config.image, image_size=448), answers=("a",))) == variant
    assert vle.variant_of(replace(config, types=5)) is None


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_name_of_a_folder_has_its_place_and_finds_its_way_back(variant: str) -> None:
    config = VARIANTS[variant]
    theirs = published_fusion.vle_folder(config)
    form = vle.recognise(theirs)
    assert form == ("transformers-qa2r" if variant.endswith("qa2r") else "transformers")
    ours, dropped = keymap.load(empty(theirs), KEYS[form], DROP)
    assert not dropped
    assert shapes_of(ours) == shapes_of(on_meta(config).state_dict())
    assert shapes_of(keymap.store(ours, KEYS[form])) == theirs


@pytest.mark.parametrize("size", HEADS)
def test_every_name_of_a_bare_body_has_its_place(size: str) -> None:
    theirs = published_fusion.vle_folder(body_of(size), prefix="")
    assert vle.recognise(theirs) == "transformers-bare"
    ours, _ = keymap.load(empty(theirs), KEYS["transformers-bare"], DROP)
    assert shapes_of(ours) == shapes_of(on_meta(body_of(size)).state_dict())


@pytest.mark.parametrize("form", KEYS)
def test_every_kind_of_file_goes_there_and_back_bit_for_bit(form: str) -> None:
    config = tiny_fusion.VLES["qa2r" if "qa2r" in form else "q2a"]
    ours = tiny_fusion.module(config if "bare" not in form else replace(config, heads={})).state_dict()
    written = keymap.store(ours, KEYS[form])
    assert vle.recognise(written) == form
    again, dropped = keymap.load(written, KEYS[form], DROP)
    assert not dropped
    assert checkpoint.digest(again) == checkpoint.digest(ours)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=str)
@pytest.mark.parametrize(("form", "prefix"), [("transformers", "vle."), ("transformers-bare", "")])
def test_counting_rows_and_a_tied_decoder_are_dropped_and_named(form: str, prefix: str, dtype: torch.dtype) -> None:
    rest = {
        f"{prefix}vision_model.vision_model.embeddings.position_ids": torch.zeros(1, 10, dtype=dtype),
        f"{prefix}text_model.embeddings.position_ids": torch.zeros(1, 16, dtype=dtype),
        "mlm_score.1.predictions.decoder.weight": torch.zeros(30, 24),
        "mlm_score.1.predictions.decoder.bias": torch.zeros(30),
    }
    theirs = empty(published_fusion.vle_folder(tiny_fusion.VLE, prefix))
    ours, dropped = keymap.load({**theirs, **rest}, KEYS[form], DROP)
    assert dropped == list(rest)
    assert ours.keys() == tiny_fusion.module(tiny_fusion.VLE).state_dict().keys()


def test_a_head_that_nobody_knows_is_left_out_by_name() -> None:
    theirs = published_fusion.vle_folder(tiny_fusion.VLE)
    strange = {"mpc_classifier.0.weight": (4, 4), "mpc_classifier.0.bias": (4,)}
    assert vle.left_out({**theirs, **strange}, tiny_fusion.VLE) == list(strange)
    assert vle.left_out(theirs, tiny_fusion.VLE) == []


def test_names_of_another_model_are_not_recognised() -> None:
    assert vle.recognise([]) is None
    assert vle.recognise(published_fusion.transformers(tiny_fusion.BRIDGETOWER)) is None
    assert vle.recognise(published_fusion.original(tiny_fusion.ORIGINAL)) is None


@pytest.mark.parametrize("name", tiny_fusion.VLES)
def test_every_parameter_has_a_published_name(name: str) -> None:
    module = tiny_fusion.module(tiny_fusion.VLES[name])
    named = vle.published_parameters(module)
    assert {id(parameter) for parameter in named.values()} == {id(parameter) for parameter in module.parameters()}
    assert named.keys() <= published_fusion.vle_folder(tiny_fusion.VLES[name]).keys()


# -- heads and objects -----------------------------------------------------------------------------------------------


def test_tasks_are_those_of_the_heads() -> None:
    assert set(vle.tasks(VARIANTS["base"])) == {"match", "ground", "fill"}
    assert vle.tasks(VARIANTS["base-vqa"]) == ("answer",)
    assert vle.tasks(VARIANTS["large-vcr-qa2r"]) == ("choose",)
    assert vle.tasks(body_of("base")) == ()


def test_an_unknown_head_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="poem"):
        vle.with_heads(VARIANTS["base"], ("poem",))


def test_a_new_answer_head_has_as_many_scores_as_there_are_answers() -> None:
    named = replace(VARIANTS["base"], answers=("yes", "no", "2"))
    assert vle.with_heads(named, ("answer",)).heads["answer"] == (1536, 3)
    assert vle.with_heads(VARIANTS["base"], ("answer",)).heads["answer"] == (1536, 2)


def test_new_heads_start_as_the_originals_do() -> None:
    torch.manual_seed(0)
    wide = replace(VARIANTS["base"], heads={"answer": (1536, 64)})
    head = vle.new_head("answer", wide).state_dict()
    assert head["0.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert not head["0.bias"].any()
    assert torch.equal(head["1.weight"], torch.ones(1536))


def tiny() -> VLE:
    module = tiny_fusion.module(tiny_fusion.VLE)
    assert isinstance(module, VLE)
    return module


def test_the_word_head_reads_the_word_table() -> None:
    module = tiny()
    states = torch.randn(2, 32)
    with torch.no_grad():
        before = module.words(states)
        module.text.embeddings.words.weight[7] += 1
        after = module.words(states)
    changed = (after - before).abs().max(0).values > 1e-4
    assert changed.nonzero().flatten().tolist() == [7]


BOXES = Boxes([[[0, 1], [8]], [], [[4]], [[2, 5, 8]]], [[2, 3], [], [2], [4]], [[0, 2, 3], [], [0, 2], [0]])


def test_objects_are_means_of_their_patches_with_types_of_their_own() -> None:
    module, images, texts = tiny(), tiny_fusion.images(), tiny_fusion.texts()
    with torch.no_grad():
        projected, words = module.project_image(images), module.project_text(texts)
        text, image, mask = module.with_boxes(words, projected, BOXES)
        types = module.types.weight
    assert image.shape == (4, 12, 1, 32)
    assert text.shape == (4, 8, 1, 32)
    assert mask.sum(1).tolist() == [12, 10, 11, 11]
    torch.testing.assert_close(image[0, :10, 0], projected[0] + types[1])
    torch.testing.assert_close(image[0, 10, 0], projected[0, [1, 2]].mean(0) + types[2])
    torch.testing.assert_close(image[0, 11, 0], projected[0, 9] + types[3])
    torch.testing.assert_close(image[1, 11, 0], types[0])
    torch.testing.assert_close(text[0, :4, 0], words[0, :4] + types[[0, 2, 3, 0]])


def test_items_with_fewer_objects_are_as_they_are_alone() -> None:
    module, images, texts = tiny(), tiny_fusion.images(), tiny_fusion.texts()
    with torch.no_grad():
        together = module(images, texts, last="first", boxes=BOXES).pooled
        assert together is not None
        for row, words in enumerate(tiny_fusion.ROWS):
            boxes = Boxes(
                BOXES.patches[row : row + 1], BOXES.image_types[row : row + 1], BOXES.text_types[row : row + 1]
            )
            one = replace(images, pixels=images.pixels[row : row + 1])
            alone = module(one, tiny_fusion.texts(chosen=[words]), last="first", boxes=boxes).pooled
            torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        without = module(images, texts, last="first").pooled
    # Item 1 has no objects, so it is as if nobody had asked for any.
    torch.testing.assert_close(together[1], without[1], atol=1e-5, rtol=1e-5)
    assert (together[0] - without[0]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (Boxes([[[]]], [[2]], [[0]]), "box 0 of item 0 covers no patch"),
        (Boxes([[[1, 9]]], [[2]], [[0]]), "names patch 9: there are 9"),
        (Boxes([[[1]]], [[2, 3]], [[0]]), "1 boxes but types for 2"),
        (Boxes([[[1]]], [[6]], [[0]]), "token type 6: this model has 6"),
        (Boxes([[[1]]], [[2]], [[0] * 9]), "token types for 9 of its 5 tokens"),
    ],
)
def test_objects_that_cannot_be_are_refused(boxes: Boxes, message: str) -> None:
    module, images = tiny(), tiny_fusion.images(1)
    with pytest.raises(InputError, match=message):
        module(images, tiny_fusion.texts(chosen=tiny_fusion.ROWS[:1]), boxes=boxes)
