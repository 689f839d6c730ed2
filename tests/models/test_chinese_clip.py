"""Sizes, names and starts of Chinese-CLIP against its published description."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models import published, tiny
from tuwen import checkpoint, keymap, models
from tuwen.errors import CheckpointError, UsageError
from tuwen.models import chinese_clip
from tuwen.models.chinese_clip import DROP, KEYS, VARIANTS, ChineseCLIP, Config
from tuwen.nn.vit import ViTConfig

# variant -> parameters in all, of the image tower, of the text tower, of its projection, entries of the state dict
COUNTS = {
    "rn50": (76_989_537, 38_316_896, 37_886_208, 786_432, 394),
    "vit-b-16": (188_262_913, 86_192_640, 101_677_056, 393_216, 351),
    "vit-b-32": (189_919_489, 87_849_216, 101_677_056, 393_216, 351),
    "vit-l-14": (406_233_089, 303_966_208, 101_677_056, 589_824, 495),
    "vit-l-14-336": (406_560_769, 304_293_888, 101_677_056, 589_824, 495),
    "vit-h-14": (957_598_209, 632_076_800, 324_472_832, 1_048_576, 783),
}
VIT_VARIANTS = [name for name, config in VARIANTS.items() if isinstance(config.image, ViTConfig)]


def on_meta(config: Config) -> ChineseCLIP:
    """All of the shapes and none of the memory."""
    with torch.device("meta"):
        return ChineseCLIP(config)


def empty(shapes: published.Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_of(tensors: dict[str, Tensor]) -> published.Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def noise(shapes: published.Shapes) -> dict[str, Tensor]:
    """A file of these shapes; some tensors in half precision, as some files have them."""
    return {
        name: torch.randn(shape).to((torch.float32, torch.float16)[number % 2])
        for number, (name, shape) in enumerate(shapes.items())
    }


# -- sizes -----------------------------------------------------------------------------------------------------------


def test_every_published_variant_is_counted() -> None:
    assert COUNTS.keys() == VARIANTS.keys()


@pytest.mark.parametrize("variant", COUNTS)
def test_parameters_are_as_many_as_published(variant: str) -> None:
    module = on_meta(VARIANTS[variant])
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}

    def count(start: str) -> int:
        return sum(size for name, size in sizes.items() if name.startswith(start))

    entries = len(keymap.store(module.state_dict(), KEYS[chinese_clip.original_form(module.config)]))
    found = (sum(sizes.values()), count("image"), count("text."), count("text_projection"), entries)
    assert found == COUNTS[variant]


def test_the_resnet_tower_has_as_many_buffer_values_as_published() -> None:
    module = on_meta(VARIANTS["rn50"])
    assert sum(buffer.numel() for buffer in module.buffers()) == 53_303
    names = keymap.store(dict(module.named_parameters()), KEYS["original-resnet"])
    assert len(names) == 229


@pytest.mark.parametrize("name", [name for name in models.PUBLISHED if name.startswith("chinese-clip/")])
def test_the_table_of_published_models_tells_their_sizes(name: str) -> None:
    listed, config = models.PUBLISHED[name], VARIANTS[name.partition("/")[2]]
    assert listed.parameters == COUNTS[name.partition("/")[2]][0]
    assert (listed.image_size, listed.embedding) == (config.image.image_size, config.embedding)


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_name_of_an_original_file_has_its_place_and_finds_its_way_back(variant: str) -> None:
    config = VARIANTS[variant]
    theirs = published.original(config)
    assert len(theirs) == COUNTS[variant][4]
    form = chinese_clip.recognise(theirs)
    assert form == chinese_clip.original_form(config)
    ours, dropped = keymap.load(empty(theirs), KEYS[form], DROP)
    assert not dropped
    assert shapes_of(ours) == shapes_of(on_meta(config).state_dict())
    assert shapes_of(keymap.store(ours, KEYS[form])) == theirs


@pytest.mark.parametrize("variant", VIT_VARIANTS)
def test_every_name_of_a_transformers_folder_has_its_place_and_finds_its_way_back(variant: str) -> None:
    config = VARIANTS[variant]
    theirs = published.transformers(config)
    assert chinese_clip.recognise(theirs) == "transformers"
    ours, _ = keymap.load(empty(theirs), KEYS["transformers"], DROP)
    assert shapes_of(ours) == shapes_of(on_meta(config).state_dict())
    assert shapes_of(keymap.store(ours, KEYS["transformers"])) == theirs


@pytest.mark.parametrize("form", KEYS)
def test_there_and_back_keeps_every_bit(form: str) -> None:
    config = tiny.RESNET if "resnet" in form else tiny.VIT
    ours = tiny.module(config).state_dict()
    theirs = keymap.store(ours, KEYS[form])
    again, _ = keymap.load(theirs, KEYS[form], DROP)
    assert checkpoint.digest(again) == checkpoint.digest(ours)
    assert list(keymap.store(again, KEYS[form])) == list(theirs)


def test_a_file_of_mixed_types_keeps_them() -> None:
    theirs = noise(published.transformers(tiny.VIT))
    halves = {name for name, tensor in theirs.items() if ".query." in name or ".key." in name or ".value." in name}
    halves |= {name for name in theirs if "_proj." in name and "self_attn" in name}
    theirs = {name: tensor.half() if name in halves else tensor for name, tensor in theirs.items()}
    ours, _ = keymap.load(theirs, KEYS["transformers"], DROP)
    assert checkpoint.digest(keymap.store(ours, KEYS["transformers"])) == checkpoint.digest(theirs)


def test_dead_weights_and_counting_rows_are_dropped_and_named() -> None:
    theirs = empty(published.original(tiny.VIT))
    dead = {"bert.pooler.dense.weight": torch.zeros(1), "bert.pooler.dense.bias": torch.zeros(1)}
    assert keymap.load(theirs | dead, KEYS["original"], DROP)[1] == list(dead)
    theirs = empty(published.transformers(tiny.VIT))
    rows = {
        "text_model.embeddings.position_ids": torch.zeros(1),
        "vision_model.embeddings.position_ids": torch.zeros(1),
    }
    assert keymap.load(theirs | rows, KEYS["transformers"], DROP)[1] == list(rows)


def test_names_of_another_model_are_not_recognised() -> None:
    assert (
        chinese_clip.recognise(["text_projection", "visual.class_embedding", "transformer.resblocks.0.ln_1.weight"])
        is None
    )
    assert chinese_clip.recognise([]) is None


@pytest.mark.parametrize("config", tiny.CONFIGS.values(), ids=tiny.CONFIGS)
def test_every_parameter_has_a_published_name(config: Config) -> None:
    module = ChineseCLIP(config)
    named = chinese_clip.published_parameters(module)
    assert {id(parameter) for parameter in named.values()} == {id(parameter) for parameter in module.parameters()}
    assert named.keys() <= published.original(config).keys()


# -- configs ---------------------------------------------------------------------------------------------------------

TEXT_JSON = {
    "vocab_size": 21128,
    "text_attention_probs_dropout_prob": 0.1,
    "text_hidden_act": "gelu",
    "text_hidden_dropout_prob": 0.1,
    "text_hidden_size": 768,
    "text_initializer_range": 0.02,
    "text_intermediate_size": 3072,
    "text_max_position_embeddings": 512,
    "text_num_attention_heads": 12,
    "text_num_hidden_layers": 12,
    "text_type_vocab_size": 2,
}
LARGE_JSON = {
    "text_hidden_size": 1024,
    "text_intermediate_size": 4096,
    "text_num_attention_heads": 16,
    "text_num_hidden_layers": 24,
}
ORIGINAL_JSON: dict[str, dict[str, Any]] = {
    "vit-b-16": {
        "embed_dim": 512,
        "image_resolution": 224,
        "vision_layers": 12,
        "vision_width": 768,
        "vision_patch_size": 16,
        **TEXT_JSON,
    },
    "vit-l-14-336": {
        "embed_dim": 768,
        "image_resolution": 336,
        "vision_layers": 24,
        "vision_width": 1024,
        "vision_patch_size": 14,
        **TEXT_JSON,
    },
    "vit-h-14": {
        "embed_dim": 1024,
        "image_resolution": 224,
        "vision_layers": 32,
        "vision_width": 1280,
        "vision_patch_size": 14,
        "vision_head_width": 80,
        **TEXT_JSON,
        **LARGE_JSON,
    },
    "rn50": {
        "embed_dim": 1024,
        "image_resolution": 224,
        "vision_layers": "[3,4,6,3]",
        "vision_width": 64,
        "vision_patch_size": None,
        **TEXT_JSON,
        "text_num_hidden_layers": 3,
    },
}


@pytest.mark.parametrize("variant", ORIGINAL_JSON)
def test_the_originals_json_gives_the_published_sizes(variant: str) -> None:
    assert chinese_clip.config_from(ORIGINAL_JSON[variant]) == VARIANTS[variant]
    assert chinese_clip.variant_of(VARIANTS[variant]) == variant


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_saved_config_is_read_back_equal(variant: str) -> None:
    plain = json.loads(json.dumps(chinese_clip.config_to_dict(VARIANTS[variant])))
    assert chinese_clip.config_from(plain) == VARIANTS[variant]


def test_transformers_config_gives_the_same_model_and_fills_what_it_leaves_out() -> None:
    settings = {
        "model_type": "chinese_clip",
        "projection_dim": 512,
        "text_config": {"vocab_size": 21128, "directionality": "bidi"},
        "vision_config": {"patch_size": 16},
    }
    config = chinese_clip.config_from(settings)
    assert config.text == VARIANTS["vit-b-16"].text
    assert shapes_of(on_meta(config).state_dict()) == shapes_of(on_meta(VARIANTS["vit-b-16"]).state_dict())
    silent = chinese_clip.config_from({"model_type": "chinese_clip"})
    assert isinstance(silent.image, ViTConfig)
    assert (silent.text.vocabulary, silent.image.patch_size) == (30522, 32)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shapes_of_a_file_tell_its_sizes(variant: str) -> None:
    assert chinese_clip.config_from_shapes(published.original(VARIANTS[variant])) == VARIANTS[variant]


def test_a_file_of_no_published_width_needs_its_config() -> None:
    with pytest.raises(CheckpointError, match=r"how many heads the text tower of width 32 has: pass config="):
        chinese_clip.config_from_shapes(published.original(tiny.VIT))


def test_an_unknown_config_says_what_it_should_have_been() -> None:
    with pytest.raises(UsageError, match=r"its keys are hidden_size, model_type; expected"):
        chinese_clip.config_from({"hidden_size": 1, "model_type": "bert"})
    with pytest.raises(UsageError, match="activation 'swish'"):
        chinese_clip.config_from({"text_config": {"hidden_act": "swish"}, "vision_config": {}})


# -- starts ----------------------------------------------------------------------------------------------------------


def test_a_fresh_model_starts_as_the_original_does() -> None:
    torch.manual_seed(1)
    module = ChineseCLIP(Config(ViTConfig(64, 8, 256, 1, 4), tiny.TEXT, 128))
    assert module.log_scale.item() == pytest.approx(math.log(1 / 0.07))
    state = module.state_dict()
    assert state["image.positions"].std().item() == pytest.approx(256**-0.5, rel=0.1)
    assert state["image_projection.weight"].std().item() == pytest.approx(256**-0.5, rel=0.1)
    assert state["text_projection.weight"].std().item() == pytest.approx(32**-0.5, rel=0.1)
    assert state["text.embeddings.words.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert not state["text.blocks.0.mlp.expand.bias"].any()
    resnet = ChineseCLIP(tiny.RESNET).state_dict()
    assert not resnet["image.stages.1.0.norm3.weight"].any()
    assert resnet["image.pool.query.weight"].std().item() == pytest.approx(128**-0.5, rel=0.1)


def test_two_models_of_one_seed_are_equal() -> None:
    digests = set()
    for _ in range(2):
        torch.manual_seed(5)
        digests.add(checkpoint.digest(ChineseCLIP(tiny.VIT).state_dict()))
    assert len(digests) == 1


def test_the_scale_stays_between_one_and_a_hundred() -> None:
    module = ChineseCLIP(tiny.VIT)
    for value, kept in ((-1.0, 0.0), (9.0, 4.6052), (2.0, 2.0)):
        module.log_scale.data.fill_(value)
        module.after_step()
        assert module.log_scale.item() == pytest.approx(kept)


def test_half_rounding_spares_image_norms_tables_and_the_scale() -> None:
    ours = {name: torch.full((2,), 1 / 3) for name in tiny.module(tiny.VIT).state_dict()}
    rounded = chinese_clip.round_to_half(ours)
    exact = {name for name, tensor in rounded.items() if torch.equal(tensor, ours[name])}
    norms = {name for name in ours if name.startswith("image.") and "norm" in name}
    assert exact == {"log_scale", "image.class_token", "image.positions"} | norms
    assert all(tensor.dtype == torch.float32 for tensor in rounded.values())


def pretrained(grid: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """An OpenAI CLIP with positions for `grid` x `grid` patches, and a Chinese BERT, with all that is not taken."""
    theirs = {name: torch.randn(shape) for name, shape in published.original(tiny.VIT).items()}
    clip = {
        name: tensor.half() for name, tensor in theirs.items() if name.startswith("visual.") or name == "logit_scale"
    }
    clip["visual.positional_embedding"] = torch.randn(1 + grid**2, 32).half()
    clip |= {
        "positional_embedding": torch.zeros(77, 8),
        "text_projection": torch.zeros(8, 8),
        "context_length": torch.tensor(77),
    }
    bert = {name: tensor for name, tensor in theirs.items() if name.startswith("bert.")}
    bert |= {"bert.pooler.dense.weight": torch.zeros(2), "bert.embeddings.position_ids": torch.arange(3)}
    bert |= {"cls.predictions.bias": torch.zeros(4)}
    return clip, bert


def test_a_start_from_pretrained_towers_keeps_its_own_projection() -> None:
    clip, bert = pretrained(grid=4)
    torch.manual_seed(2)
    fresh = ChineseCLIP(tiny.VIT)
    torch.manual_seed(2)
    module = chinese_clip.initialise(tiny.VIT, clip, bert)
    assert not module.training
    assert torch.equal(module.text_projection.weight, fresh.text_projection.weight)
    written = keymap.store(module.state_dict(), KEYS["original"])
    assert torch.equal(written["visual.positional_embedding"], clip["visual.positional_embedding"].float())
    words = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(written[words], bert[words].half().float())


def test_a_start_resizes_the_positions_of_another_grid() -> None:
    clip, bert = pretrained(grid=3)
    module = chinese_clip.initialise(tiny.VIT, clip, bert)
    positions = module.state_dict()["image.positions"]
    assert positions.shape == (17, 32)
    assert torch.equal(positions[0], clip["visual.positional_embedding"][0].float())


def test_a_start_without_a_tensor_names_it() -> None:
    clip, bert = pretrained(grid=4)
    del bert["bert.encoder.layer.1.output.dense.bias"]
    with pytest.raises(CheckpointError, match=r"1 missing: text\.blocks\.1\.mlp\.reduce\.bias"):
        chinese_clip.initialise(tiny.VIT, clip, bert)
    clip, bert = pretrained(grid=4)
    bert["bert.encoder.layer.2.output.dense.bias"] = torch.zeros(32)
    with pytest.raises(CheckpointError, match="without a place in the model"):
        chinese_clip.initialise(tiny.VIT, clip, bert)
