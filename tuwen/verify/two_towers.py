"""What the cases of two-tower families recorded, recomputed: inputs, states of both towers, features, scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tuwen.losses import contrastive
from tuwen.models.ernie_vil2.reference import epsilon
from tuwen.nn.heads import unit
from tuwen.types import Images, Texts
from tuwen.verify.case import Case, text_length

if TYPE_CHECKING:
    from tuwen.model import Model

EPS = ".eps"  # in the name of a stage, before another epsilon than the config's

Found = tuple[str, Tensor, Tensor | None]  # name, ours, and where of its first axes it is compared


def stages(model: Model, case: Case) -> Iterator[Found]:
    """Every stage under every name that the originals of these families know it by."""
    images, texts = _images(model, case), _texts(model, case)
    module: Any = model.module
    if texts is not None:
        yield from _of_texts(module, texts)
        yield from _other_lengths(model, case)
    if images is not None:
        yield from _of_images(module, images)
    yield from _single(module, images, texts)
    if images is not None and texts is not None:
        yield from _scores(module, images, texts, case)
    yield from _other_epsilons(module, images, texts, case)


def _images(model: Model, case: Case) -> Images | None:
    """The pictures of a case, or its recorded pixels, where it has no pictures."""
    if case.images:
        return model.processor.images(case.images).to(model.device)
    recorded = case.tensors.get("pixel_values")
    return None if recorded is None else Images(recorded.to(model.device))


def _texts(model: Model, case: Case) -> Texts | None:
    if case.texts:
        return model.processor.texts(case.texts, text_length(case)).to(model.device)
    ids = case.tensors.get("input_ids")
    return None if ids is None else Texts(ids, ids != 0).to(model.device)


def _of_texts(module: Any, texts: Texts) -> Iterator[Found]:
    yield "input_ids", texts.ids, None
    yield "attention_mask", texts.mask.long(), None
    yield "token_type_ids", torch.zeros_like(texts.ids), None
    yield "position_ids", torch.arange(texts.ids.shape[1]).expand(texts.ids.shape), None
    feature = module.encode_text(texts)
    for name in ("text_features", "text.feature"):
        yield name, feature, None
    for name in ("text_features_norm", "text_embeds", "text.embed"):
        yield name, unit(feature), None
    states = module.text.states(texts)
    yield "text.embeddings", states[0], texts.mask
    for number, state in enumerate(states):
        yield f"text.hidden.{number}", state, texts.mask
    yield "text.last_hidden_state", states[-1], texts.mask
    for number, state in enumerate(states[1:]):
        yield f"text.layer.{number}", state, texts.mask
        yield f"text.block.{number}", state, texts.mask


def _other_lengths(model: Model, case: Case) -> Iterator[Found]:
    """Texts cut or padded to another length: short.input_ids, pad52.text_features, input_ids.max_length.16."""
    for name in case.tensors:
        start, dot, what = name.rpartition(".")
        if name.startswith("input_ids.max_length."):
            yield name, model.processor.texts(case.texts, int(what)).ids, None
        elif dot and what == "text_features" and (start == "short" or start.startswith("pad")):
            length = case.length(f"{start}.input_ids")
            length = int(start.removeprefix("pad")) if length is None and start != "short" else length
            texts = model.processor.texts(case.texts, length).to(model.device)
            yield f"{start}.input_ids", texts.ids, None
            yield name, model.towers.encode_text(texts), None


def _of_images(module: Any, images: Images) -> Iterator[Found]:
    pixels = images.pixels
    yield "pixel_values", pixels, None
    feature = module.encode_image(images)
    for name in ("image_features", "vision.feature"):
        yield name, feature, None
    for name in ("image_features_norm", "image_embeds", "vision.embed"):
        yield name, unit(feature), None
    states = module.image.states(pixels)
    if hasattr(module.image, "patches"):
        yield "vision.patch_embed", module.image.patches(pixels).flatten(2).transpose(1, 2), None
        yield "vision.embeddings", module.image.embed(pixels), None
        yield "vision.ln_pre", states[0], None
        yield "vision.norm_pre", states[0], None
        for number, state in enumerate(states):
            yield f"vision.hidden.{number}", state, None
        for number, state in enumerate(states[1:]):
            yield f"vision.block.{number}", state, None
        yield "vision.last_hidden_state", states[-1], None
        yield "vision.ln_post", module.image.norm_out(states[-1][:, 0]), None
        yield "vision.norm_post", module.image.norm_out(states[-1]), None
        yield "vision.pooler_output", module.image(pixels), None
    else:
        yield "vision.stem", states[0], None
        for number, state in enumerate(states[1:], 1):
            yield f"vision.layer{number}", state, None
        yield "vision.attnpool", module.image.pool(states[-1]), None


def _other_epsilons(module: Any, images: Images | None, texts: Texts | None, case: Case) -> Iterator[Found]:
    """Stages "text.embed.eps1e-12" and the like: of a text tower whose norms run with that epsilon."""
    for ending in sorted({name[name.index(EPS) :] for name in case.tensors if EPS in name}):
        if texts is None:
            return
        with epsilon(module.text, float(ending.removeprefix(EPS))):
            found = list(_of_texts(module, texts))
            found += [] if images is None else _scores(module, images, texts, case)
        yield from ((name + ending, ours, mask) for name, ours, mask in found)


def _single(module: Any, images: Images | None, texts: Texts | None) -> Iterator[Found]:
    """One picture or text alone."""
    for number in range(0 if images is None else len(images.pixels)):
        assert images is not None
        feature = module.encode_image(Images(images.pixels[number : number + 1]))
        yield f"single.image_features_{number}", feature, None
        if number == 0:
            yield "single.vision.feature", feature, None
    for number in range(0 if texts is None else len(texts.ids)):
        assert texts is not None
        feature = module.encode_text(Texts(texts.ids[number : number + 1], texts.mask[number : number + 1]))
        yield f"single.text_features_{number}", feature, None
        if number == 0:
            yield "single.text.feature", feature, None


def _scores(module: Any, images: Images, texts: Texts, case: Case) -> Iterator[Found]:
    batch = case.settings.get("loss_batch")  # ERNIE-ViL 2.0's scores are of the first pairs
    image, text = unit(module.encode_image(images))[:batch], unit(module.encode_text(texts))[:batch]
    scale = module.scale().detach()
    logits = scale * image @ text.T
    yield "logits_per_image", logits, None
    yield "logits_per_text", logits.T, None
    yield "probs", logits.softmax(-1), None
    yield "logit_scale_exp", scale, None
    yield "logit_scale", scale.reshape(1), None
    if batch is not None:
        yield "loss", contrastive(image, text, scale).reshape(1), None
