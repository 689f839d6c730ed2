from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tests.models import tiny
from tuwen.models import chinese_clip
from tuwen.models.chinese_clip import ChineseCLIP, Config
from tuwen.nn.resnet import ResNetConfig
from tuwen.nn.vit import ViTConfig
from tuwen.train.optim import groups, learning_rate, set_learning_rate

ONE_LAYER = replace(tiny.TEXT, layers=1)
VIT = Config(ViTConfig(16, patch_size=8, width=16, layers=1, heads=2), ONE_LAYER, embedding=8)
RESNET = Config(ResNetConfig(32, blocks=(1, 1, 1, 1), width=2, heads=2, embedding=8), ONE_LAYER, embedding=8)

LAYER = "bert.encoder.layer.0"
BLOCK = "visual.transformer.resblocks.0"
# What is not decayed, of both: the parts of a fused tensor stand under the name of the first.
TEXT_FREE = [
    "bert.embeddings.LayerNorm.bias",
    f"{LAYER}.attention.self.query.bias",
    f"{LAYER}.attention.output.dense.bias",
    f"{LAYER}.attention.output.LayerNorm.bias",
    f"{LAYER}.intermediate.dense.bias",
    f"{LAYER}.output.dense.bias",
    f"{LAYER}.output.LayerNorm.bias",
]
TEXT_DECAYED = [
    "text_projection",
    "bert.embeddings.word_embeddings.weight",
    "bert.embeddings.position_embeddings.weight",
    "bert.embeddings.token_type_embeddings.weight",
    "bert.embeddings.LayerNorm.weight",
    f"{LAYER}.attention.self.query.weight",
    f"{LAYER}.attention.output.dense.weight",
    f"{LAYER}.attention.output.LayerNorm.weight",
    f"{LAYER}.intermediate.dense.weight",
    f"{LAYER}.output.dense.weight",
    f"{LAYER}.output.LayerNorm.weight",
]
VIT_FREE = [
    "logit_scale",
    *(f"visual.{norm}.{part}" for norm in ("ln_pre", "ln_post") for part in ("weight", "bias")),
    *(f"{BLOCK}.{norm}.{part}" for norm in ("ln_1", "ln_2") for part in ("weight", "bias")),
    f"{BLOCK}.attn.in_proj_bias",
    f"{BLOCK}.attn.out_proj.bias",
    f"{BLOCK}.mlp.c_fc.bias",
    f"{BLOCK}.mlp.c_proj.bias",
]
VIT_DECAYED = [
    "visual.class_embedding",
    "visual.positional_embedding",
    "visual.proj",
    "visual.conv1.weight",
    f"{BLOCK}.attn.in_proj_weight",
    f"{BLOCK}.attn.out_proj.weight",
    f"{BLOCK}.mlp.c_fc.weight",
    f"{BLOCK}.mlp.c_proj.weight",
]


def grouped(config: Config, freeze: str = "-") -> tuple[list[str], list[str]]:
    """Published names without and with decay; parameters that begin with `freeze` are frozen."""
    named = chinese_clip.published_parameters(ChineseCLIP(config))
    for name, parameter in named.items():
        parameter.requires_grad_(not name.startswith(freeze))
    names = {id(parameter): name for name, parameter in named.items()}
    free, decayed = groups(named, 0.2)
    assert (free["weight_decay"], decayed["weight_decay"]) == (0.0, 0.2)
    found = [[names[id(p)] for p in group["params"]] for group in (free, decayed)]  # type: ignore[attr-defined]
    return sorted(found[0]), sorted(found[1])


def test_weight_decay_follows_the_originals_substrings() -> None:
    assert grouped(VIT) == (sorted(TEXT_FREE + VIT_FREE), sorted(TEXT_DECAYED + VIT_DECAYED))


def test_the_norm_of_a_resnet_shortcut_is_decayed_and_the_others_are_not() -> None:
    free, decayed = grouped(RESNET)
    stem = [f"visual.bn{number}.{part}" for number in (1, 2, 3) for part in ("weight", "bias")]
    blocks = [name.replace("visual.", f"visual.layer{stage}.0.") for stage in (1, 2, 3, 4) for name in stem]
    shortcuts = [f"visual.layer{stage}.0.downsample.1" for stage in (1, 2, 3, 4)]
    pool = [f"visual.attnpool.{part}_proj.bias" for part in "kqvc"]
    wanted = TEXT_FREE + ["logit_scale"] + stem + blocks + [f"{name}.bias" for name in shortcuts] + pool
    assert free == sorted(wanted)
    assert {f"{name}.weight" for name in shortcuts} < set(decayed)
    assert "visual.attnpool.positional_embedding" in decayed


def test_frozen_parameters_are_in_no_group() -> None:
    assert grouped(VIT, freeze="visual") == (sorted([*TEXT_FREE, "logit_scale"]), sorted(TEXT_DECAYED))


def test_the_rate_warms_up_then_falls_on_a_half_cosine() -> None:
    rates = [learning_rate(step, 1.0, 4, 12) for step in range(12)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]  # the full rate comes twice
    assert rates[8] == pytest.approx(0.5)
    assert rates[11] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert learning_rate(0, 3.0, 0, 10) == 3.0


def test_every_group_gets_the_rate() -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(groups(dict(model.named_parameters()), 0.1), lr=1.0)
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
