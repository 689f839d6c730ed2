"""The published sizes: weights rebuilt from their recipe, one tower after the other, and the features of both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.brivl import recipe
from tests.golden.kinds.brivl.towers import check_sums, packed_features
from tuwen import keymap
from tuwen.models import brivl
from tuwen.nn.heads import unit
from tuwen.nn.regions import pool_boxes
from tuwen.nn.transformer import masked_mean
from tuwen.processing.boxes import prepare
from tuwen.processing.decode import size_of
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.vocabulary import build
from tuwen.processing.wordpiece import WordPiece
from tuwen.types import Images, Texts

ENCODERS = {"image": "imgencoder", "text": "textencoder"}
CHANNELS = 32  # of recorded maps and regions one channel in so many
BOXES = 4  # and one box in so many


@torch.no_grad()
def check(case: Case, expected: Expected) -> None:
    grid = case.settings["boxes"] == "grid"
    bert = json.loads((case.path / case.settings["bert_config"]).read_text(encoding="utf-8"))
    config = brivl.from_settings(brivl.read_yaml(case.path / case.settings["cfg"]), bert, grid=grid)
    image = unit(check_images(case, expected, config))
    text = unit(check_texts(case, expected, config))
    expected.close("image.feature_l2", image)
    expected.close("text.feature_l2", text)
    expected.close("similarity", image @ text.T)
    own = {"image.feature_l2": image, "text.feature_l2": text}
    for key, theirs in expected.value("self_cosine").items():
        expected.compare(
            f"self_cosine.{key}", own[key] @ own[key].T, torch.tensor(theirs), expected.atol, expected.rtol
        )


def built(case: Case, expected: Expected, config: brivl.Config, tower: str) -> brivl.BriVL:
    """One tower with the recipe's weights; the other is not there, so that no more than one lies in memory."""
    with torch.device("meta"):
        module = brivl.build(replace(config, towers=(tower,)))
    names = keymap.store(module.state_dict(), brivl.KEYS["original"])
    theirs = recipe.tensors(names, case.settings["weight_seed"])
    parameters = sum(parameter.numel() for parameter in module.parameters())
    expected.same(f"params.{ENCODERS[tower]}", parameters, expected.value("params")[ENCODERS[tower]])
    ours, _ = keymap.load(theirs, brivl.KEYS["original"], brivl.DROP, module.state_dict())
    module.load_state_dict(ours, assign=True)
    return module.eval()
