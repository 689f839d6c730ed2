"""VLE's model classes for visual commonsense reasoning: one of several choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tuwen.compat.vle.models import ObjectTypes, VLEPretrained, boxes_of, numbers_of, texts_of, with_loss
from tuwen.losses import match_loss
from tuwen.types import Boxes, Images


class VLEForChoice(VLEPretrained):
    """Parent of the two classes for visual commonsense reasoning. CHOICE: "q2a" or "qa2r"."""

    CHOICE = "q2a"

    @classmethod
    def narrowed(cls, sizes: Any) -> Any:
        """Sizes with the head only if it is for the same choice."""
        sizes = super().narrowed(sizes)
        return sizes if sizes.choose == cls.CHOICE else replace(sizes, heads={}, choose=cls.CHOICE)

    def forward(
        self,
        input_ids: Sequence[Tensor] | Tensor,
        pixel_values: Tensor,
        attention_mask: Sequence[Tensor] | Tensor,
        position_ids: Tensor | None = None,
        token_type_ids: Sequence[Tensor] | Tensor | None = None,
        patch_ids: Sequence[Sequence[Sequence[Sequence[int]]]] | None = None,
        vcr_labels: Any = None,
        extend_token_type_ids: Sequence[ObjectTypes] | None = None,
        return_loss: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """-> loss, logits (B, C), the scores of C choices. vcr_labels: B numbers, the right choice of each item.

        input_ids, attention_mask, patch_ids and extend_token_type_ids: for each choice what `VLEModel` takes;
        pixel_values (B, 3, S, S) once, and the pictures are encoded once.
        """
        projected = self.towers.project_image(Images(pixel_values))
        fusion, scores = self.towers.fusion, []
        for choice, (ids, mask) in enumerate(zip(input_ids, attention_mask, strict=True)):
            texts = texts_of(ids, mask)
            text = self.towers.project_text(texts)
            boxes = boxes_of(
                None if patch_ids is None else patch_ids[choice],
                None if extend_token_type_ids is None else extend_token_type_ids[choice],
            ) or Boxes([[] for _ in projected], [[] for _ in projected], [[] for _ in projected])
            levels, pictures, seen = self.towers.with_boxes(text, projected, boxes)
            sides = fusion.image_side(pictures, seen), fusion.text_side(levels, texts.mask)
            scores.append(self.towers.heads["choose"](fusion(*sides, last="first").pooled))
        logits = torch.cat(scores, dim=-1)
        loss = match_loss(logits, numbers_of(vcr_labels, logits)) if return_loss and vcr_labels is not None else None
        return with_loss(loss, logits, self.return_as_dict(return_dict))


class VLEForVCRQ2A(VLEForChoice):
    """Which answer to a question about a picture is right."""

    HEADS = ("vcr_q2a_logit",)


class VLEForVCRQA2R(VLEForChoice):
    """Which reason for an answer is right."""

    HEADS = ("vcr_qa2r_logit",)
    FORM = "transformers-qa2r"
    CHOICE = "qa2r"
