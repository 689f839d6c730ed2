"""What VLE's cases have in common: their model, every stage of a forward pass, the loss's gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.gradients import check_all_norms, gradients
from tests.golden.kinds.written import check_written_back
from tuwen.loading import load
from tuwen.model import Model
from tuwen.models import vle
from tuwen.models.vle import VLE
from tuwen.types import Boxes, Fused, Images, Texts


def loaded(case: Case) -> Model:
    return load(case.path / "checkpoint", device="cpu")


def check_file(expected: Expected, case: Case, model: Model) -> None:
    """The case's weights find their way into the model and back, bit for bit."""
    check_written_back(expected, case.path / "checkpoint", model, vle)


def module_of(model: Model) -> VLE:
    assert isinstance(model.module, VLE)
    return model.module


def pooled_of(fused: Fused) -> Tensor:
    assert fused.pooled is not None
    return fused.pooled


def check_inputs(expected: Expected, texts: Texts, images: Images, start: str = "") -> None:
    """Ids, masks and pixels as the published processor names them."""
    expected.equal(f"{start}input_ids", texts.ids)
    expected.equal(f"{start}attention_mask", texts.mask.long())
    if f"{start}token_type_ids" in expected:
        expected.equal(f"{start}token_type_ids", torch.zeros_like(texts.ids))  # single texts have one segment
    expected.close(f"{start}pixel_values", images.pixels)


def check_stages(
    expected: Expected, model: Model, images: Images, texts: Texts, start: str = "", boxes: Boxes | None = None
) -> None:
    """Every state that the case recorded under `start`, padded rows included."""
    stages = {
        **image_stages(module_of(model), images),
        **text_stages(module_of(model), texts),
        **fusion_stages(module_of(model), images, texts, boxes),
    }
    for key in expected.keys(start):
        name = key.removeprefix(start)
        if key not in expected.unused:
            continue
        if name in stages:
            expected.close(key, stages[name])
        else:
            expected.differences.append(f"{key}: there is no such stage")
    # Only the first tokens of the last layer, and sides kept for several pairs, give the same.
    first = pooled_of(module_of(model)(images, texts, last="first", boxes=boxes))
    expected.close(f"{start}pooler_output", first, "of the first tokens alone")


def image_stages(module: VLE, images: Images) -> dict[str, Tensor]:
    pixels = images.pixels
    states = module.image.states(pixels)
    return {
        "vision.embeddings": module.image.embed(pixels),
        "vision.pre_norm": states[0],
        **{f"vision.layer.{number}": state for number, state in enumerate(states[1:])},
        **{f"vision.{number}.attention": maps for number, maps in enumerate(module.image.maps(pixels))},
        "vision.post_norm": module.image.norm_out(states[-1]),
        "vision.projected": module.project_image(images),
    }


def text_stages(module: VLE, texts: Texts) -> dict[str, Tensor]:
    states = module.text.states(texts)
    return {
        "text.embeddings": states[0],
        **{f"text.layer.{number}": state for number, state in enumerate(states[1:])},
        **{f"text.{number}.attention": maps for number, maps in enumerate(module.text.maps(texts))},
        "text.features": states[-1],
        "text.projected": module.project_text(texts),
    }


def fusion_stages(module: VLE, images: Images, texts: Texts, boxes: Boxes | None) -> dict[str, Tensor]:
    image_mask = None
    if boxes is None:
        text, image = module.text_levels(texts), module.image_levels(images)
    else:
        text, image, image_mask = module.with_boxes(module.project_text(texts), module.project_image(images), boxes)
    seen = torch.ones(image.shape[:2], dtype=torch.bool) if image_mask is None else image_mask
    stages = {
        "fusion.in.text": text[:, :, 0],
        "fusion.in.image": image[:, :, 0],
        "fusion.text_mask": texts.mask[:, None, None].long(),  # (B, 1, 1, T), 1 where real
        "fusion.image_mask": seen[:, None, None].long(),
    }
    for number, step in enumerate(module.fusion.trace(image, text, texts.mask, image_mask)):
        stages |= {
            f"fusion.{number}.text": step.text,
            f"fusion.{number}.image": step.image,
            f"fusion.{number}.text.self_attention": step.text_own,
            f"fusion.{number}.text.cross_attention": step.text_other,
            f"fusion.{number}.image.self_attention": step.image_own,
            f"fusion.{number}.image.cross_attention": step.image_other,
        }
    fused = module(images, texts, boxes=boxes)
    pooled = pooled_of(fused)
    text_half, image_half = pooled.chunk(2, dim=-1)
    assert fused.text is not None
    assert fused.image is not None
    return stages | {
        "text_embeds": fused.text,
        "image_embeds": fused.image,
        "text_pooler": text_half,
        "image_pooler": image_half,
        "pooler_output": pooled,
    }


def check_gradients(expected: Expected, model: Model, loss: Tensor, key: str = "grad_norms") -> None:
    """`key` holds the norms of the loss's gradients in the order of `grad_norm_names`."""
    module = module_of(model)
    form = "transformers-qa2r" if module.config.choose == "qa2r" else "transformers"
    check_all_norms(expected, key, expected.value("grad_norm_names"), gradients(module, loss, vle, form))
