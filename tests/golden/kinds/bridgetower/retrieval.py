"""The original's finetuning for retrieval: both losses with recorded negatives, and the three ways of evaluating."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.bridgetower.streams import (
    check_file,
    check_gradients,
    length_of,
    loaded,
    match_logits,
    module_of,
    opened,
    rows,
    table,
)
from tuwen.losses import hard_pairs, match_loss, negative_weights, soft_contrastive
from tuwen.model import Model
from tuwen.nn.heads import unit
from tuwen.types import Images, Texts

LEFT_OUT = -100.0  # the score of a pair outside the shortlist


def check(case: Case, expected: Expected) -> None:
    model = loaded(case)
    check_file(expected, case, model)
    expected.value("compute_irtr")  # the loss of the rank head, which the original cannot compute
    check_training(case, expected, model)
    with torch.inference_mode():
        check_evaluation(case, expected, model)


def check_training(case: Case, expected: Expected, model: Model) -> None:
    train = expected.value("train")
    texts = model.processor.texts(train["texts"], length=length_of(case))
    images = model.processor.images([opened(shown(case, train, number)) for number in train["img_index"]])
    expected.equal("train.text_ids", texts.ids)
    expected.equal("train.text_masks", texts.mask.long())
    expected.close("train.pixel_values", images.pixels)
    module = module_of(model)
    expected.close("train.unimodal_feats_text", unit(module.encode_text(texts)))
    expected.close("train.unimodal_feats_image", unit(module.encode_image(images)))
    ids = torch.tensor(train["img_index"])
    for start, image_ids in (("finetune.", ids), ("finetune_global_negative.", ids), ("pretrain.", None)):
        check_losses(case, expected, start, model, images, texts, image_ids)


def shown(case: Case, train: dict[str, Any], number: int) -> bytes:
    """The file of the training picture of this number: the one that all of the number's texts describe."""
    own = {text for text, owner in zip(train["texts"], train["img_index"], strict=True) if owner == number}
    found: bytes = next(row["image"] for row in captions(case, "test") if own <= set(row["caption"]))
    return found


def captions(case: Case, split: str) -> list[dict[str, Any]]:
    return table(case, f"f30k_caption_karpathy_{split}")


def check_losses(
    case: Case, expected: Expected, start: str, model: Model, images: Images, texts: Texts, image_ids: Tensor | None
) -> None:
    module = module_of(model)
    text, image = unit(module.encode_text(texts)), unit(module.encode_image(images))
    contrast = soft_contrastive(image, text, module.scale(), image_ids)
    expected.close(f"{start}itc_loss", contrast)
    drawn = [expected.tensor(f"{start}negative_{what}") for what in ("image_for_text", "text_for_image")]
    for numbers, logits in zip(drawn, (text @ image.T, image @ text.T), strict=True):
        weights = negative_weights(module.scale() * logits, image_ids)
        possible = weights.gather(1, numbers[:, None]) > 0
        expected.same(f"{start}negatives can be drawn", possible.all().item(), True)
    text_rows, image_rows, labels = hard_pairs(*drawn)
    logits = match_logits(module, Images(images.pixels[image_rows]), rows(texts, text_rows))
    expected.close(f"{start}itm_logits", logits)
    match = match_loss(logits, labels)
    expected.close(f"{start}itm_loss", match)
    check_gradients(expected, f"{start}grad.", case, model, contrast + match)


def check_evaluation(case: Case, expected: Expected, model: Model) -> None:
    module = module_of(model)
    found = {row["image_id"]: row["image"] for row in captions(case, "test")}
    names = expected.value("eval_image_ids")
    expected.same("eval_image_ids", sorted(names), sorted(map(str, found)))
    images = model.processor.images([opened(found[name]) for name in names])
    texts = model.processor.texts(expected.value("eval_texts"), length=length_of(case))
    owners = torch.tensor(expected.value("eval_text_image_row"))  # the picture of each text
    image, text = unit(module.encode_image(images)), unit(module.encode_text(texts))
    expected.close("eval.unimodal_feats_image", image)
    expected.close("eval.unimodal_feats_text", text)
    cosines = image @ text.T
    expected.close_value("recall_itc_only", recalls(cosines, owners))
    scores = pair_scores(model, images, texts)
    limit = case.settings["config"]["k"]
    by_image = shortlisted(scores, cosines, limit)
    by_text = shortlisted(scores.T, cosines.T, limit).T
    expected.close("eval.itm_scores_image_to_text", by_image)
    expected.close("eval.itm_scores_text_to_image", by_text)
    expected.close_value("recall_itm_itc", recalls(torch.maximum(by_image, by_text), owners))
    # The rank head starts as the matching head's row for a true pair.
    expected.close("rank_output.weight", module.state_dict()["heads.match.weight"][1:])
    expected.close("eval.rank_scores", scores)
    expected.close_value("recall_rank_head", recalls(scores, owners))


def pair_scores(model: Model, images: Images, texts: Texts) -> Tensor:
    """The matching logit of every pair, (images, texts)."""
    module = module_of(model)
    image = module.fusion.image_side(module.image_levels(images))
    text = module.fusion.text_side(module.text_levels(texts), texts.mask)
    every = torch.arange(len(text))
    lines = []
    for number in range(len(image)):
        pooled = module.fusion(image[torch.full_like(every, number)], text[every], last="first").pooled
        assert pooled is not None
        lines.append(module.heads["match"](pooled)[:, 1])
    return torch.stack(lines)


def shortlisted(scores: Tensor, cosines: Tensor, limit: int) -> Tensor:
    """scores (N, M) where the cosine is among the `limit` best of its row, LEFT_OUT elsewhere."""
    best = cosines.topk(min(limit, cosines.shape[1]), dim=1).indices
    return torch.full_like(scores, LEFT_OUT).scatter(1, best, scores.gather(1, best))


def recalls(scores: Tensor, owners: Tensor) -> dict[str, float]:
    """scores (images, texts), owners (texts,): the share of texts and of pictures with a right one among the k best."""
    right = owners[None, :] == torch.arange(len(scores))[:, None]  # (images, texts)
    found: dict[str, float] = {}
    for name, table_of, hits in (("ir", scores.T, right.T), ("tr", scores, right)):
        for k in (1, 5, 10):
            best = table_of.topk(k, dim=1).indices
            found[f"{name}_r{k}"] = hits.gather(1, best).any(1).float().mean().item()
        found[f"{name}_mean"] = sum(found[f"{name}_r{k}"] for k in (1, 5, 10)) / 3
    return found | {"r_mean": (found["ir_mean"] + found["tr_mean"]) / 2}
