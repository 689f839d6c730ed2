"""The published sizes: weights rebuilt from their recipe, one tower after the other, and the features of both."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.golden.case import Case, Expected
from tests.golden.kinds.brivl import recipe
from tests.golden.kinds.brivl.towers import check_sums, packed_features, picture_files
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
    # Which bytes these digests are of is not described; that the weights are right is what every number here shows.
    expected.same("weights_sha256 names", sorted(expected.value("weights_sha256")), sorted(ENCODERS.values()))
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


def check_images(case: Case, expected: Expected, config: brivl.Config) -> Tensor:
    """-> features (B, E), not normalised."""
    tower = built(case, expected, config, "image").image
    assert tower is not None
    images = pictures(case, expected, config)
    states = tower.cnn.states(images.pixels)
    for stage, state in zip(("stem", *(f"blocks.{number}" for number in range(7))), states, strict=True):
        check_stage(expected, f"image.{stage}", state[0])
    maps = tower.cnn.head(states[-1])
    expected.close("image.feature_map", maps[:1, ::CHANNELS])
    boxes = tower.boxes_of(images)[0] if images.boxes is None else images.boxes
    pooled = tower.region(pool_boxes(maps, boxes, images.pixels.shape[-1], config.samples))
    expected.close("image.roi_pooled", pooled[:, ::BOXES, ::CHANNELS])
    x, mask = tower.regions(maps, images)
    mean = masked_mean(tower.encoder(x, mask), mask)
    expected.close("image.masked_mean", mean)
    features = tower.head(mean)
    expected.close("image.feature", features)
    check_error(expected, "image.feature_l2", unit(features))
    return features


def pictures(case: Case, expected: Expected, config: brivl.Config) -> Images:
    size = config.image.image_size
    pipeline = ImagePipeline.brivl(size)
    pixels = pipeline.normalise(torch.from_numpy(np.stack([pipeline.pixels(path) for path in picture_files(case)])))
    check_sums(expected, "pixel_checksum", pixels)
    if case.settings["boxes"] == "grid":
        return Images(pixels)
    given = {row["image_id"]: row["bbox"] for row in case.settings["boxes"]}
    found = [given[name] for name in case.settings["images"]]
    boxes, mask = prepare(found, [size_of(path) for path in picture_files(case)], size, config.boxes)
    missing = config.boxes - boxes.shape[1]
    return Images(pixels, None, F.pad(boxes, (0, 0, 0, missing)), F.pad(mask, (0, missing)))


def check_stage(expected: Expected, key: str, state: Tensor) -> None:
    """Sum of a map's values and sum of their magnitudes, of the first picture."""
    exact = state.double()
    ours = torch.stack([exact.sum(), exact.abs().sum()])
    theirs = torch.tensor(expected.value("stage_sums")[key], dtype=torch.float64)
    expected.compare(f"stage_sums.{key}", ours, theirs, expected.atol, expected.rtol)


def check_texts(case: Case, expected: Expected, config: brivl.Config) -> Tensor:
    """-> features (B, E), not normalised, of padded texts; packed ones give the same."""
    module = built(case, expected, config, "text")
    tower, texts = module.text, words(case)
    assert tower is not None
    expected.equal("input_ids", texts.ids)
    x = tower.encoder(F.normalize(tower.states(texts.ids)[-1], dim=-1), texts.mask)
    mean = masked_mean(x, texts.mask)
    expected.close("text.masked_mean", mean)
    features = tower.head(mean)
    expected.close("text.feature", features)
    processor = Processor(WordPiece(build(["猫"])), ImagePipeline.brivl(8), config.context_length)
    expected.close("text.feature", packed_features(processor, module, texts), "packed")
    check_error(expected, "text.feature_l2", unit(features))
    return features


def words(case: Case) -> Texts:
    """Ids by the case's rule: made of the recipe's numbers, [CLS] first, [SEP] last, padding behind."""
    rule: dict[str, Any] = case.settings["text_ids"]
    length = rule["L"]
    ids = torch.zeros(len(rule["lengths"]), length, dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, real in enumerate(rule["lengths"]):
        values = recipe.units(f"input_ids.{row}", length, case.settings["weight_seed"]).astype(np.float64)
        ids[row] = torch.from_numpy(200 + np.floor((values + 1) / 2 * 20000)).long()
        ids[row, 0], ids[row, real - 1], ids[row, real:] = 101, 102, 0
        mask[row, :real] = True
    return Texts(ids, mask)


def check_error(expected: Expected, key: str, ours: Tensor) -> None:
    """As far from the recorded float32 as a correct float32 may be, which is a few times as far as float64 is."""
    error = expected.value("fp64_error")[key]
    expected.compare(f"fp64_error.{key}", (ours - expected.tensor(key)).abs().max(), torch.zeros(()), 10 * error, 0)
