"""VLE's model classes over ours: the bare model, and one for each head."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from tuwen.compat.outputs import Output
from tuwen.compat.pretrained import TO_SETTINGS, Pretrained
from tuwen.compat.settings import plain
from tuwen.compat.vle.settings import VLEConfig
from tuwen.errors import UsageError
from tuwen.losses import answer_loss, match_loss, patch_loss, word_loss
from tuwen.models.vle.start import Tower, from_towers
from tuwen.models.vle.towers import VLE
from tuwen.types import Boxes, Fused, Images, Texts

log = logging.getLogger(__name__)

# Object types of a batch: for each item the types of its boxes, and for each item the types of its text.
ObjectTypes = Sequence[Sequence[Sequence[int]]]


class VLEPretrained(Pretrained):
    """Parent of VLE's classes."""

    FAMILY = "vle"
    FORM = "transformers"
    CONFIG = VLEConfig
    towers: VLE

    def __init__(
        self, config: VLEConfig | None = None, vision_model: Any = None, text_model: Any = None, towers: Any = None
    ) -> None:
        """config alone: everything is fresh. vision_model and text_model: trained towers, see `vle.from_towers`."""
        if towers is None and vision_model is not None and text_model is not None:
            sizes = {} if config is None else config.to_dict()
            towers = from_towers(_tower(vision_model), _tower(text_model), sizes)
            config = VLEConfig(**{**sizes, **_towers_settings(towers)})
        if config is None:
            raise UsageError("either config, or both vision_model and text_model must be given")
        if towers is not None and towers.config.heads.keys() != set(self.head()):
            towers = self._with_fresh_head(towers, config)
        super().__init__(config, towers)

    @classmethod
    def _with_fresh_head(cls, towers: VLE, config: VLEConfig) -> nn.Module:
        from tuwen.models import vle

        sizes = cls.widened(cls.narrowed(towers.config), config.to_dict())
        model = vle.build(sizes)
        model.load_state_dict(towers.state_dict(), strict=False)
        return model

    def return_as_dict(self, asked: bool | None) -> bool:
        """Whether outputs have names: what the call says, else the configuration."""
        return bool(self.config.return_dict if asked is None else asked)

    def fused(
        self,
        last: str,
        input_ids: Tensor | None,
        pixel_values: Tensor | None,
        attention_mask: Tensor | None,
        patch_ids: Sequence[Sequence[Sequence[int]]] | None = None,
        extend_token_type_ids: ObjectTypes | None = None,
    ) -> Fused:
        """Our forward pass on published inputs; last: which part of it is wanted."""
        if input_ids is None or pixel_values is None or attention_mask is None:
            raise UsageError("input_ids, pixel_values and attention_mask are needed: pass all that the processor gives")
        boxes = boxes_of(patch_ids, extend_token_type_ids)
        return self.towers(Images(pixel_values), texts_of(input_ids, attention_mask), last=last, boxes=boxes)


class VLEModel(VLEPretrained):
    """The bare model."""

    FORM = "transformers-bare"

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        patch_ids: Sequence[Sequence[Sequence[int]]] | None = None,
        extend_token_type_ids: ObjectTypes | None = None,
        return_loss: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """-> pooler_output (B, 2D), text_embeds (B, L, D), image_embeds (B, N, D), or these as a tuple.

        input_ids and attention_mask (B, L); pixel_values (B, 3, S, S). position_ids and token_type_ids have no effect,
        as the text tower has no such tables. patch_ids: for each item its boxes, each a list of patch numbers;
        extend_token_type_ids: (types of each item's boxes, types of each item's text), needed with patch_ids.
        """
        fused = self.fused("all", input_ids, pixel_values, attention_mask, patch_ids, extend_token_type_ids)
        output = Output(pooler_output=fused.pooled, text_embeds=fused.text, image_embeds=fused.image)
        return output if self.return_as_dict(return_dict) else output.to_tuple()

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor, **unused: Any) -> Tensor:
        """-> the text tower's last states (B, L, width of the tower), before any projection."""
        return self.towers.text(texts_of(input_ids, attention_mask))

    def get_image_features(self, pixel_values: Tensor, **unused: Any) -> Tensor:
        """-> the picture tower's last states, normalised, (B, N, width of the tower), before any projection."""
        return self.towers.image.norm_out(self.towers.image.states(pixel_values)[-1])

    @classmethod
    def from_vision_text_pretrained(
        cls,
        vision_model_name_or_path: str | Path | None = None,
        text_model_name_or_path: str | Path | None = None,
        *,
        vision_model: Any = None,
        text_model: Any = None,
        vision_num_hidden_layers: int | None = None,
        **settings: Any,
    ) -> VLEModel:
        """A model of two trained towers and a fresh fusion, in eval mode; see `models.vle.from_towers`.

        vision: a folder or repository of a CLIP, whole or its picture tower alone; text: of a DeBERTa-v3; or modules of
        transformers as vision_model and text_model. vision_num_hidden_layers: how many of the picture tower's first
        blocks are kept: 11 of 12 and 23 of 24 in the published models. settings: sizes of the fusion.
        """
        vision = _tower(vision_model_name_or_path if vision_model is None else vision_model)
        text = _tower(text_model_name_or_path if text_model is None else text_model)
        towers = from_towers(vision, text, settings, vision_num_hidden_layers)
        log.warning("the fusion and the projections into it start from random numbers: train the model before using it")
        return cls._of(VLEConfig(**_towers_settings(towers)), towers).eval()


class VLEForVQA(VLEPretrained):
    """Scores of every known answer."""

    HEADS = ("vqa_classifier",)

    @property
    def num_vqa_labels(self) -> int:
        """How many answers there are."""
        return self.towers.config.heads["answer"][-1]

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        patch_ids: Sequence[Sequence[Sequence[int]]] | None = None,
        vqa_labels: Sequence[Sequence[int]] | None = None,
        vqa_scores: Sequence[Sequence[float]] | None = None,
        return_loss: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """-> loss, logits (B, answers). vqa_labels, vqa_scores: for each item numbers of answers and their scores."""
        fused = self.fused("first", input_ids, pixel_values, attention_mask, patch_ids)
        logits = self.towers.heads["answer"](fused.pooled)
        loss = None
        if return_loss and vqa_labels is not None and vqa_scores is not None:
            targets = torch.zeros_like(logits)
            for row, numbers, scores in zip(targets, vqa_labels, vqa_scores, strict=True):
                for number, score in zip(numbers, scores, strict=True):
                    row[number] = score
            loss = answer_loss(logits, targets)
        return with_loss(loss, logits, self.return_as_dict(return_dict))


class VLEForITM(VLEPretrained):
    """Whether a text belongs to a picture."""

    HEADS = ("itm_score",)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        patch_ids: Sequence[Sequence[Sequence[int]]] | None = None,
        itm_labels: Any = None,
        return_loss: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """-> loss, logits (B, 2), index 1 = match. itm_labels: B numbers, 0 or 1."""
        fused = self.fused("first", input_ids, pixel_values, attention_mask, patch_ids)
        logits = self.towers.heads["match"](fused.pooled)
        loss = match_loss(logits, numbers_of(itm_labels, logits)) if return_loss and itm_labels is not None else None
        return with_loss(loss, logits, self.return_as_dict(return_dict))


class VLEForPBC(VLEPretrained):
    """Which patches show what a text says."""

    HEADS = ("pbc_classifier",)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        patch_ids: Sequence[Sequence[Sequence[int]]] | None = None,
        pbc_labels: Any = None,
        return_loss: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """-> loss, logits (B, P, 2), index 1 = shown. pbc_labels (B, P), 0 or 1.

        The original's loss takes the patches for the classes and fails on such labels; this is what it describes.
        """
        fused = self.fused("image", input_ids, pixel_values, attention_mask, patch_ids)
        logits = self.towers.heads["ground"](cast(Tensor, fused.image)[:, 1:])
        loss = None
        if return_loss and pbc_labels is not None:
            labels = numbers_of(pbc_labels, logits)
            if labels.shape != logits.shape[:2]:
                raise UsageError(
                    f"pbc_labels are {tuple(labels.shape)}, expected 0 or 1 for every patch, {tuple(logits.shape[:2])}"
                )
            loss = patch_loss(logits, labels)
        return with_loss(loss, logits, self.return_as_dict(return_dict))


class VLEForMLM(VLEPretrained):
    """Scores of every word at every place of the text."""

    HEADS = ("mlm_score",)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        patch_ids: Sequence[Sequence[Sequence[int]]] | None = None,
        mlm_labels: Any = None,
        return_loss: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """-> loss, logits (B, L, words). mlm_labels (B, L), -100 where nothing is masked."""
        fused = self.fused("text", input_ids, pixel_values, attention_mask, patch_ids)
        logits = self.towers.words(cast(Tensor, fused.text))
        loss = word_loss(logits, numbers_of(mlm_labels, logits)) if return_loss and mlm_labels is not None else None
        return with_loss(loss, logits, self.return_as_dict(return_dict))


def texts_of(ids: Tensor, mask: Tensor) -> Texts:
    """Published ids and mask (B, L), 1 where real -> ours."""
    return Texts(ids, mask.bool())


def boxes_of(patches: Sequence[Sequence[Sequence[int]]] | None, types: ObjectTypes | None) -> Boxes | None:
    """Published boxes and their types -> ours; types without boxes are of no use, as in the original."""
    if patches is None:
        return None
    if types is None:
        raise UsageError(
            "patch_ids need extend_token_type_ids, the types of boxes and texts; only VCR's heads take them"
        )
    image, text = types
    return Boxes(
        [[[int(number) for number in box] for box in item] for item in patches],
        [[int(kind) for kind in item] for item in image],
        [[int(kind) for kind in item] for item in text],
    )


def numbers_of(labels: Any, logits: Tensor) -> Tensor:
    """Labels, lists or a tensor, as whole numbers on the device of the logits."""
    return torch.as_tensor(labels, device=logits.device).long()


def with_loss(loss: Tensor | None, logits: Tensor, named: bool) -> Any:
    """The output of every head: loss where there is one, and logits."""
    output = Output(loss=loss, logits=logits)
    return output if named else output.to_tuple()


def _tower(model: Any) -> str | Path | Tower:
    """A name or folder as it is; a module of transformers, or of its kind, by its settings and tensors."""
    if isinstance(model, str | Path):
        return model
    if model is None:
        raise UsageError("a tower is missing: pass the names of both models, or vision_model and text_model")
    return Tower(plain(model.config), cast(Mapping[str, Tensor], model.state_dict()))


def _towers_settings(towers: VLE) -> dict[str, Any]:
    return TO_SETTINGS["vle"](towers.config)
