"""What the cases of BriVL recorded, recomputed: inputs, boxes, maps, regions, states of both towers, features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tuwen.nn.heads import unit
from tuwen.nn.regions import pool_boxes
from tuwen.nn.transformer import masked_mean
from tuwen.processing.boxes import prepare
from tuwen.processing.decode import size_of
from tuwen.types import Images, Texts
from tuwen.verify.case import Case

if TYPE_CHECKING:
    from tuwen.model import Model

OF_LENGTH = "text_features."  # before the number of tokens that texts were padded to

Found = tuple[str, Tensor, Tensor | None]


def stages(model: Model, case: Case) -> Iterator[Found]:
    """Every stage under every name that the originals know it by; of a large one often only the first rows are kept."""
    module: Any = model.module
    texts = _texts(model, case) if module.text is not None else None
    images = _images(model, case) if module.image is not None else None
    found = [*([] if texts is None else _of_texts(module, texts, case))]
    found += [] if images is None else _of_images(module, images, case)
    if texts is not None and images is not None:
        scores = unit(module.encode_image(images)) @ unit(module.encode_text(texts)).T
        found.append(("similarity", scores, None))
    for length in _lengths(case) if module.text is not None else ():
        found += _at_length(model, case, images, length)
    for name, ours, mask in found:
        rows = len(case.tensors[name]) if name in case.tensors and case.tensors[name].ndim else None
        yield name, ours[:rows], None if mask is None else mask[:rows]


def _texts(model: Model, case: Case) -> Texts | None:
    if not case.texts:
        ids = case.tensors.get("input_ids")
        return None if ids is None else Texts(ids, ids != 0).to(model.device)
    return model.processor.texts(case.texts, model.processor.context_length).to(model.device)


def _images(model: Model, case: Case) -> Images | None:
    if not case.images:
        return None
    pixels = model.processor.images(case.images).pixels.to(model.device)
    if case.boxes is None:
        return Images(pixels)
    sizes = [size_of(picture) for picture in case.images]
    config: Any = model.towers.config
    boxes, mask = prepare(case.boxes, sizes, pixels.shape[-1], config.boxes)
    return Images(pixels, None, boxes.to(model.device), mask.to(model.device))


def _of_texts(module: Any, texts: Texts, case: Case) -> list[Found]:
    tower, mask = module.text, texts.mask
    states = tower.states(texts.ids)
    normalised = F.normalize(states[-1], dim=-1)
    small = tower.encoder.states(normalised, mask)
    mean = masked_mean(small[-1], mask)
    feature = tower.head(mean)
    found: list[Found] = [("text_mask", mask.float(), None), ("text.bert.embeddings", states[0], None)]
    found += [(f"text.bert.layer.{number}", state, None) for number, state in enumerate(states[1:])]
    found += [("text.bert_normalized", normalised, None)]
    found += [(f"text.textAtt.{number}", state, mask) for number, state in enumerate(small[1:])]
    found += [("text.masked_mean", mean, None), ("text.feature", feature, None)]
    found += [("input_ids", texts.ids, None), ("text_len", mask.sum(1), None)]
    for name in ("text.feature_l2", "text_features", "np_text", "bua.text"):
        found.append((name, unit(feature), None))
    return found


def _lengths(case: Case) -> list[int]:
    """Tokens that texts were padded to besides the model's own length: BriVL's features depend on it."""
    found = {name.removeprefix(OF_LENGTH) for name in case.tensors if name.startswith(OF_LENGTH)}
    return sorted(int(length) for length in found if length.isdigit())


def _at_length(model: Model, case: Case, images: Images | None, length: int) -> list[Found]:
    module: Any = model.module
    texts = replace(model.processor, context_length=length).texts(case.texts, length).to(model.device)
    features = {name: ours for name, ours, _ in _of_texts(module, texts, case)}["text_features"]
    found: list[Found] = [(f"{OF_LENGTH}{length}", features, None), (f"input_ids.{length}", texts.ids, None)]
    found.append((f"text_len.{length}", texts.mask.sum(1), None))
    if images is not None and module.image is not None:
        found.append((f"similarity.{length}", unit(module.encode_image(images)) @ features.T, None))
    return found


def _of_images(module: Any, images: Images, case: Case) -> list[Found]:
    tower, pixels = module.image, images.pixels
    one = _recorded_picture(pixels, case)
    maps = tower.cnn.states(one)
    found: list[Found] = [("pixel_values", one, None), ("image.stem", maps[0], None)]
    found += [(f"image.blocks.{number}", state, None) for number, state in enumerate(maps[1:])]
    found += [("image.feature_map", tower.cnn(one), None)]
    boxes, mask = tower.boxes_of(images)
    pooled = tower.region(pool_boxes(tower.cnn(pixels), boxes, pixels.shape[-2], tower.config.samples))
    normalised = F.normalize(pooled, dim=-1)
    small = tower.encoder.states(normalised, mask)
    mean = masked_mean(small[-1], mask)
    feature = tower.head(mean)
    real = torch.ones(boxes.shape[:2], dtype=torch.bool, device=pixels.device) if mask is None else mask
    for name, state in (
        ("image.roi_pooled", pooled),
        ("image.roi_normalized", normalised),
        *((f"image.imgAtt.{number}", state) for number, state in enumerate(small[1:])),
    ):
        found.append((name, *_with_empty_places(name, state, real, case)))
    found += [("image.masked_mean", mean, None), ("image.feature", feature, None)]
    for name in ("image.feature_l2", "image_features", "np_img"):
        found.append((name, unit(feature), None))
    for number, row in enumerate(feature):
        found.append((f"bua.image.{number}", unit(row[None]), None))
    if "noboxes.feature_l2" in case.tensors:
        found.append(("noboxes.feature_l2", unit(module.encode_image(Images(pixels))), None))
    return [*found, *_boxes(images, boxes, case)]


def _boxes(images: Images, boxes: Tensor, case: Case) -> list[Found]:
    """Boxes, their mask and their number, with as many empty places as were recorded."""
    if images.boxes is None or images.box_mask is None:
        return [("image_boxs", boxes[0].float(), None)]

    def missing(name: str) -> int:
        recorded = case.tensors.get(name)
        return 0 if recorded is None or recorded.ndim < 2 else max(recorded.shape[1] - boxes.shape[1], 0)

    mask = images.box_mask[:, : boxes.shape[1]]
    return [
        ("image_boxs", F.pad(boxes, (0, 0, 0, missing("image_boxs"))), None),
        ("image_mask", F.pad(mask, (0, missing("image_mask"))).float(), None),
        ("img_len", mask.sum(1)[:, None], None),
    ]


def _recorded_picture(pixels: Tensor, case: Case) -> Tensor:
    """(1, 3, H, W) of the picture whose pixels and maps were recorded, where it is one of several."""
    theirs = case.tensors.get("pixel_values")
    if theirs is None or theirs.shape != (1, *pixels.shape[1:]):
        return pixels if theirs is not None and len(theirs) == len(pixels) else pixels[:1]
    apart = (pixels - theirs.to(pixels.device)).abs().flatten(1).amax(1)
    place = int(apart.argmin())
    return pixels[place : place + 1]


def _with_empty_places(name: str, state: Tensor, real: Tensor, case: Case) -> tuple[Tensor, Tensor]:
    """states (B, R, D) and mask (B, R) with as many places as were recorded; nothing reads those that are empty."""
    recorded = case.tensors.get(name)
    missing = 0 if recorded is None else max(recorded.shape[1] - state.shape[1], 0)
    return F.pad(state, (0, 0, 0, missing)), F.pad(real, (0, missing))
