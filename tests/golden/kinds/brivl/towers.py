"""What cases of BriVL with a whole model have in common: the model, its stages, its features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import tuwen
from tests.golden.case import Case, Expected
from tuwen.model import Model
from tuwen.models import brivl
from tuwen.models.brivl.towers import BriVL, ImageTower, TextTower
from tuwen.nn.heads import unit
from tuwen.nn.regions import box_weights, pool_boxes
from tuwen.nn.transformer import masked_mean
from tuwen.processing.processor import Processor
from tuwen.types import Images, Texts


def load(case: Case, **model: Any) -> Model:
    """The case's model; `model` changes keys of the section MODEL, or the key GRID beside it."""
    settings = brivl.read_yaml(case.path / case.settings["cfg"])
    settings |= {key: model.pop(key) for key in ("GRID",) if key in model}
    settings["MODEL"] |= model
    encoder = case.path / case.settings["encoder"]
    return tuwen.load(case.path / case.settings["checkpoint"], tokenizer=encoder, config=settings, device="cpu")


def picture_files(case: Case) -> list[Path]:
    """The case's pictures; unlike elsewhere their names have the folder in them."""
    return [case.path / name for name in case.settings["images"]]


def module_of(model: Model) -> BriVL:
    assert isinstance(model.module, BriVL)
    return model.module


def image_tower(model: Model) -> ImageTower:
    tower = module_of(model).image
    assert tower is not None
    return tower


def text_tower(model: Model) -> TextTower:
    tower = module_of(model).text
    assert tower is not None
    return tower


def first_rows(expected: Expected, key: str, ours: Tensor, mask: Tensor | None = None, what: str = "") -> None:
    """Compare as many rows as were recorded, and of states (B, T, D) those that are real by mask (B, T) where given."""
    theirs = expected.tensor(key)
    ours = ours[: len(theirs)]
    if mask is not None and ours.shape == theirs.shape:
        ours, theirs = ours[mask[: len(theirs)]], theirs[mask[: len(theirs)]]
    expected.compare(f"{key} {what}".strip(), ours, theirs, expected.atol, expected.rtol)


def check_maps(expected: Expected, tower: ImageTower, pixels: Tensor) -> None:
    """Every map that was recorded, of the one picture whose pixels were, with folded norms and without."""
    theirs = expected.tensor("pixel_values")
    place = int((pixels - theirs).abs().flatten(1).amax(1).argmin())
    one = pixels[place : place + 1]
    expected.close("pixel_values", one)
    for what in ("folded", ""):
        with torch.set_grad_enabled(not what):
            states = tower.cnn.states(one)
            last = tower.cnn.head(states[-1])
        stages = {"image.stem": states[0], "image.feature_map": last}
        stages |= {f"image.blocks.{number}": state for number, state in enumerate(states[1:])}
        for key in [key for key in stages if key in expected]:
            expected.close(key, stages[key], what)


def check_regions(expected: Expected, tower: ImageTower, images: Images) -> None:
    """From the maps to the features. Empty places are computed as there, though nothing reads them."""
    size, samples = images.pixels.shape[-1], tower.config.samples
    maps = tower.cnn(images.pixels)
    boxes, mask = (images.boxes, images.box_mask) if images.boxes is not None else tower.boxes_of(images)
    assert boxes is not None
    check_samples(expected, maps, boxes, size, samples)
    pooled = tower.region(pool_boxes(maps, boxes, size, samples))
    first_rows(expected, "image.roi_pooled", pooled)
    normalised = F.normalize(pooled, dim=-1)
    first_rows(expected, "image.roi_normalized", normalised)
    states = tower.encoder.states(normalised, mask)
    for number, state in enumerate(states[1:]):
        first_rows(expected, f"image.imgAtt.{number}", state, mask)
    mean = masked_mean(states[-1], mask)
    expected.close("image.masked_mean", mean)
    expected.close("image.feature", tower.head(mean))
    features = tower(images)
    expected.close("image.feature", features, "without empty places")
    expected.close("image.feature_l2", unit(features))


def check_samples(expected: Expected, maps: Tensor, boxes: Tensor, size: int, samples: int) -> None:
    """The samples in the first boxes of the picture whose map was recorded, before they are averaged."""
    theirs = expected.tensor("image.roi_grid")
    wanted = expected.tensor("image.feature_map")
    place = int((maps - wanted).abs().flatten(1).amax(1).argmin())
    expected.close("image.roi_grid", sampled(maps[place], boxes[place, : len(theirs)], size, samples))


def sampled(feature_map: Tensor, boxes: Tensor, size: int, samples: int) -> Tensor:
    """map (D, H, W), boxes (R, 4) -> (R, D, samples, samples)."""
    height, width = feature_map.shape[-2:]
    rows, columns = box_weights(boxes, size, height, width, samples)
    return torch.einsum("rih,rjw,dhw->rdij", rows.float(), columns.float(), feature_map)


def check_words(expected: Expected, tower: TextTower, texts: Texts) -> None:
    """Every state of the text tower that was recorded, and the feature."""
    states = tower.states(texts.ids)
    stages = {"text.bert.embeddings": states[0]}
    stages |= {f"text.bert.layer.{number}": state for number, state in enumerate(states[1:])}
    normalised = F.normalize(states[-1], dim=-1)
    stages["text.bert_normalized"] = normalised
    for key in [key for key in stages if key in expected]:
        first_rows(expected, key, stages[key])
    small = tower.encoder.states(normalised, texts.mask)
    for number, state in enumerate(small[1:]):
        if f"text.textAtt.{number}" in expected:
            first_rows(expected, f"text.textAtt.{number}", state, texts.mask)
    mean = masked_mean(small[-1], texts.mask)
    expected.close("text.masked_mean", mean)
    expected.close("text.feature", tower.head(mean))


def text_features(expected: Expected, key: str, model: Model, texts: Texts) -> Tensor:
    """Unit length, (B, E), of padded and of packed texts, both as `key` has them; the packed ones are returned."""
    expected.close(key, unit(module_of(model).encode_text(texts)), "padded")
    features = packed_features(model.processor, module_of(model), texts)
    expected.close(key, unit(features), "packed")
    return features


def packed_features(processor: Processor, module: BriVL, texts: Texts) -> Tensor:
    """What `Model.encode_text` does, without its tokenizer: (B, E), not normalised, in the order of the texts."""
    packed, order = processor.packed([row[mask].tolist() for row, mask in zip(texts.ids, texts.mask, strict=True)])
    features = module.encode_text(packed)
    back = torch.empty_like(features)
    back[torch.tensor(order)] = features
    return back


def check_sums(expected: Expected, key: str, pixels: Tensor) -> None:
    """Sum and sum of squares of each picture's pixels (B, 3, S, S)."""
    exact = pixels.double().flatten(1)
    ours = torch.stack([exact.sum(1), exact.square().sum(1)], dim=1)
    for number, (found, wanted) in enumerate(zip(ours, expected.value(key), strict=True)):
        wanted = torch.tensor(wanted, dtype=torch.float64)
        expected.compare(f"{key}[{number}]", found, wanted, expected.atol, expected.rtol)
