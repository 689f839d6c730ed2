"""What the cases of fusing families recorded, recomputed: inputs, states of both streams, logits of the heads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tuwen.nn.heads import unit
from tuwen.types import Boxes, Fused, Images, Texts
from tuwen.verify.case import BESIDE, Case

if TYPE_CHECKING:
    from tuwen.model import Model

Found = tuple[str, Tensor, Tensor | None]
STARTS = ("", "batch.", "single.")  # of names that belong to one pass of the model


@dataclass(frozen=True)
class Run:
    """One pass: what its names start with, and what goes in."""

    start: str
    texts: Texts
    images: Images
    boxes: Boxes | None = None


def bridgetower(model: Model, case: Case) -> Iterator[Found]:
    """Every stage of every pass under the names that the family's originals know it by."""
    return _stages(model, case, _bridgetower)


def vle(model: Model, case: Case) -> Iterator[Found]:
    """As `bridgetower`."""
    return _stages(model, case, _vle)


def _stages(model: Model, case: Case, of_pass: Callable[[Model, Run, Case], Iterator[Found]]) -> Iterator[Found]:
    for run in _runs(model, case):
        yield from _inputs(run)
        yield from of_pass(model, run, case)
    yield from _pairs(model, case)


def _runs(model: Model, case: Case) -> Iterator[Run]:
    """The passes that a case lists, or else one for each recorded set of ids."""
    settings = case.settings
    for run in settings.get("runs", []):
        texts = model.processor.texts(run["texts"], run.get("processor_kwargs", {}).get("max_length"))
        if "attention_mask" in run:
            texts = Texts(texts.ids, torch.tensor(run["attention_mask"]).bool())
        images = model.processor.images([str(case.path / BESIDE / name) for name in run["images"]])
        yield Run(f"{run['name']}.", texts.to(model.device), images.to(model.device))
    if "runs" in settings:
        return
    for start in STARTS:
        ids = case.tensors.get(f"{start}input_ids", case.tensors.get("text_ids") if not start else None)
        pixels = case.tensors.get(f"{start}pixel_values")
        if ids is None or pixels is None or len(ids) != len(pixels) or len(case.texts) < len(ids):
            continue
        count = len(ids)
        texts = model.processor.texts(case.texts[:count], ids.shape[1])
        images = model.processor.images(case.images[:count]) if case.images else Images(pixels)
        boxes = None
        if "patch_ids" in settings and "image_token_type_ids" in settings:
            types = settings["image_token_type_ids"], settings["text_token_type_ids"]
            boxes = Boxes(settings["patch_ids"], *types)
        yield Run(start, texts.to(model.device), images.to(model.device), boxes)


def _inputs(run: Run) -> Iterator[Found]:
    texts, images, start = run.texts, run.images, run.start
    yield f"{start}input_ids", texts.ids, None
    yield f"{start}attention_mask", texts.mask.long(), None
    yield f"{start}token_type_ids", torch.zeros_like(texts.ids), None
    yield f"{start}pixel_values", images.pixels, None
    mask = torch.ones_like(images.pixels[:, 0]) if images.mask is None else images.mask
    yield f"{start}pixel_mask", mask.long(), None
    yield f"{start}text_ids", texts.ids, None
    yield f"{start}text_masks", texts.mask.long(), None


# -- BridgeTower ------------------------------------------------------------------------------------------------------


def _bridgetower(model: Model, run: Run, case: Case) -> Iterator[Found]:
    module: Any = model.module
    texts, images, start = run.texts, run.images, run.start
    fused = module(images, texts)
    yield from _fused(fused, start, ("text_features", "image_features"))
    yield "infer.text_feats", fused.text, None
    yield "infer.image_feats", fused.image, None
    yield "infer.cls_feats", fused.pooled, None
    if start == "single.":
        return
    text_states, image_states = module.text.states(texts), module.image.states(images.pixels)
    yield f"{start}image_embeds", image_states[0], None
    yield "unimodal.roberta_last", text_states[-1], None
    yield "unimodal.vit_cls", module.image(images.pixels), None
    for number, state in enumerate(text_states):
        yield f"hidden.text.{number}", state, None
    for number, state in enumerate(image_states):
        yield f"hidden.image.{number}", state.transpose(0, 1), None
    steps = module.fusion.trace(module.image_levels(images), module.text_levels(texts), texts.mask)
    for number, step in enumerate(steps):
        yield f"hidden.cross.{number}.text", step.text, None
        yield f"hidden.cross.{number}.image", step.image, None
        yield f"self_attention.{number}.text", step.text_own, None
        yield f"self_attention.{number}.image", step.image_own, None
    if "match" in module.heads:
        logits = module.heads["match"](fused.pooled)
        yield "itm.logits", logits, None
        if "itm_labels" not in case.tensors:  # otherwise they are of pairs that were drawn for training
            yield f"{start}itm_logits", logits, None
    if module.config.heads.get("contrast"):
        yield from _contrast(module, run, fused)


def _contrast(module: Any, run: Run, fused: Fused) -> Iterator[Found]:
    vectors = [unit(module.encode_text(run.texts)), unit(module.encode_image(run.images))]
    if len(module.config.heads["contrast"]) > 1:
        vectors.append(unit(module.encode_pair(fused.pooled)))
    for name, vector in zip(("text", "image", "cross"), vectors, strict=False):
        yield f"itc.{name}_embeds", vector, None
    yield "itc.logits", torch.stack(vectors, dim=1), None
    yield "itc.logit_scale_exp", module.scale(), None


def _pairs(model: Model, case: Case) -> Iterator[Found]:
    """Every text with every picture, and texts with a masked word."""
    if "itm.matrix" in case.tensors and case.images and "match" in model.module.heads:  # type: ignore[operator]
        module: Any = model.module
        pictures = [model.processor.images([picture]).to(model.device) for picture in case.images]
        rows = []
        for text in case.texts:
            words = model.processor.texts([text]).to(model.device)
            rows.append(
                torch.cat([module.heads["match"](module(picture, words, last="first").pooled) for picture in pictures])
            )
        matrix = torch.stack(rows)  # (texts, images, 2)
        yield "itm.matrix", matrix, None
        yield "itm.match_probability", matrix.softmax(-1)[..., 1], None
    asked = case.settings.get("mask_texts", [])
    if asked and len(case.images) >= len(asked) and "fill" in model.module.heads:  # type: ignore[operator]
        yield from _filled(model, case, asked)


def _filled(model: Model, case: Case, asked: list[str]) -> Iterator[Found]:
    module: Any = model.module
    texts = model.processor.texts(asked).to(model.device)
    yield "mlm.input_ids", texts.ids, None
    yield "mlm.attention_mask", texts.mask.long(), None
    if "mlm.logits" in case.tensors:
        images = model.processor.images(case.images[: len(asked)]).to(model.device)
        yield "mlm.logits", module.words(module(images, texts, last="text").text), None
    for number, (text, picture) in enumerate(zip(asked, case.images, strict=False)):
        if f"mlm.logits.{number}" in case.tensors:
            alone, image = model.processor.texts([text]), model.processor.images([picture])
            fused = module(image.to(model.device), alone.to(model.device), last="text")
            yield f"mlm.input_ids.{number}", alone.ids, None
            yield f"pixel_values.{number}", image.pixels, None
            yield f"mlm.logits.{number}", module.words(fused.text), None


# -- VLE --------------------------------------------------------------------------------------------------------------


def _vle(model: Model, run: Run, case: Case) -> Iterator[Found]:
    module: Any = model.module
    texts, images, start = run.texts, run.images, run.start
    fused = module(images, texts, boxes=run.boxes)
    text_half, image_half = fused.pooled.chunk(2, dim=-1)
    yield from _fused(fused, start, ("text_embeds", "image_embeds"))
    yield f"{start}text_pooler", text_half, None
    yield f"{start}image_pooler", image_half, None
    states = module.image.states(images.pixels)
    yield f"{start}vision.embeddings", module.image.embed(images.pixels), None
    yield f"{start}vision.pre_norm", states[0], None
    for number, state in enumerate(states[1:]):
        yield f"{start}vision.layer.{number}", state, None
    yield f"{start}vision.post_norm", module.image.norm_out(states[-1]), None
    yield f"{start}vision.projected", module.project_image(images), None
    states = module.text.states(texts)
    yield f"{start}text.embeddings", states[0], None
    for number, state in enumerate(states[1:]):
        yield f"{start}text.layer.{number}", state, None
    yield f"{start}text.features", states[-1], None
    yield f"{start}text.projected", module.project_text(texts), None
    yield from _vle_fusion(module, run)
    yield from _vle_heads(module, fused)


def _vle_fusion(module: Any, run: Run) -> Iterator[Found]:
    start, mask = run.start, None
    if run.boxes is None:
        text, image = module.text_levels(run.texts), module.image_levels(run.images)
    else:
        sides = module.project_text(run.texts), module.project_image(run.images)
        text, image, mask = module.with_boxes(*sides, run.boxes)
    yield f"{start}fusion.in.text", text[:, :, 0], None
    yield f"{start}fusion.in.image", image[:, :, 0], None
    for number, step in enumerate(module.fusion.trace(image, text, run.texts.mask, mask)):
        yield f"{start}fusion.{number}.text", step.text, None
        yield f"{start}fusion.{number}.image", step.image, None
        for name, own, other in (
            ("text", step.text_own, step.text_other),
            ("image", step.image_own, step.image_other),
        ):
            yield f"{start}fusion.{number}.{name}.self_attention", own, None
            yield f"{start}fusion.{number}.{name}.cross_attention", other, None


def _vle_heads(module: Any, fused: Fused) -> Iterator[Found]:
    """`logits` is of the one head that a published file has."""
    for name in ("match", "answer"):
        if name in module.heads:
            logits = module.heads[name](fused.pooled)
            yield "logits", logits, None
            yield "probabilities", logits.softmax(-1), None
            return
    if "fill" in module.heads:
        yield "logits", module.words(fused.text), None
    elif "ground" in module.heads:
        assert fused.image is not None
        yield "logits", module.heads["ground"](fused.image[:, 1:]), None


def _fused(fused: Fused, start: str, names: tuple[str, str]) -> Iterator[Found]:
    for name, state in zip((*names, "pooler_output"), (fused.text, fused.image, fused.pooled), strict=True):
        assert state is not None
        yield f"{start}{name}", state, None
