"""BridgeTower's model classes over ours: the bare model, and one for each head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tuwen.compat.bridgetower.settings import BridgeTowerConfig
from tuwen.compat.outputs import Output
from tuwen.compat.pretrained import Pretrained
from tuwen.errors import InputError, UsageError
from tuwen.losses import contrast_loss_three, match_loss, word_loss
from tuwen.models.bridgetower.towers import BridgeTower
from tuwen.nn.heads import unit
from tuwen.types import Fused, Texts

Tensors = tuple[Tensor, ...]
Pairs = tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True)
class Passed:
    """One pass of the model: what the fusion gives, and the towers' states that it came from.

    text: states (B, T, D) before the first layer and after each; image: the same (B, N, D), before the last norm.
    hidden, attentions: as published, None unless they were asked for.
    """

    fused: Fused
    text: list[Tensor]
    image: list[Tensor]
    hidden: tuple[Tensors, Tensors, Pairs] | None
    attentions: Pairs | None

    @property
    def pooled(self) -> Tensor:
        """(B, 2D)."""
        assert self.fused.pooled is not None
        return self.fused.pooled


class BridgeTowerPretrained(Pretrained):
    """Parent of BridgeTower's classes."""

    FAMILY = "bridgetower"
    FORM = "transformers"
    CONFIG = BridgeTowerConfig
    towers: BridgeTower

    @classmethod
    def narrowed(cls, sizes: Any) -> Any:
        """Sizes without other heads; the picture tower takes any size, so that a call may ask for it."""
        sizes = super().narrowed(sizes)
        return replace(sizes, image=replace(sizes.image, any_size=True))

    def passed(self, last: str, inputs: Mapping[str, Any]) -> Passed:
        """Our forward pass on published inputs; last: which part of its output is wanted."""
        unknown = sorted(inputs.keys() - INPUTS)
        if unknown:
            raise UsageError(f"{type(self).__name__} takes no {', '.join(unknown)}, only {', '.join(sorted(INPUTS))}")
        towers = self.towers
        texts = self._texts(inputs)
        image_states = towers.image.states_of(self._image_embeds(inputs))
        text_states = towers.text.states(texts)
        text = towers.text_levels_of(text_states)
        image = towers.image_levels_of(image_states, inputs.get("image_token_type_idx") or 1)
        if len(text) != len(image):
            raise UsageError(f"{len(text)} texts and {len(image)} pictures: there must be as many of both")
        if not (inputs.get("output_hidden_states") or inputs.get("output_attentions")):
            sides = towers.fusion.image_side(image), towers.fusion.text_side(text, texts.mask)
            return Passed(towers.fusion(*sides, last), text_states, image_states, None, None)
        steps = towers.fusion.trace(image, text, texts.mask)
        end = steps[-1]
        pooled = torch.cat([towers.fusion.text_pooler(end.text), towers.fusion.image_pooler(end.image)], dim=-1)
        hidden = (
            tuple(text_states),
            tuple(state.transpose(0, 1) for state in image_states),  # published with tokens first
            tuple((step.text, step.image) for step in steps),
        )
        attentions = tuple((step.text_own, step.image_own) for step in steps)
        return Passed(
            Fused(end.text, end.image, pooled),
            text_states,
            image_states,
            hidden if inputs.get("output_hidden_states") else None,
            attentions if inputs.get("output_attentions") else None,
        )

    def _texts(self, inputs: Mapping[str, Any]) -> Texts:
        ids, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if ids is None and inputs.get("inputs_embeds") is not None:
            raise NotImplementedError("BridgeTower takes no inputs_embeds: pass input_ids")
        if ids is None:
            raise UsageError("input_ids are needed: pass all that the processor gives")
        longest = self.towers.config.text.longest
        if longest is not None and ids.shape[1] > longest:
            raise InputError(
                f"a text of {ids.shape[1]} tokens, the model takes {longest}: pass truncation=True to the processor"
            )
        return Texts(ids, torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool())

    def _image_embeds(self, inputs: Mapping[str, Any]) -> Tensor:
        """What the first block of the picture tower takes, (B, N, D): as given, or of pixels."""
        if inputs.get("image_embeds") is not None:
            given: Tensor = inputs["image_embeds"]
            return given
        pixels = inputs.get("pixel_values")
        if pixels is None:
            raise UsageError("pixel_values or image_embeds are needed: pass all that the processor gives")
        image = self.towers.image
        height, width = pixels.shape[-2:]
        size = image.config.image_size
        if not inputs.get("interpolate_pos_encoding") and (height, width) != (size, size):
            raise InputError(
                f"Input image size ({height}*{width}) doesn't match model ({size}*{size}): prepare the pictures with "
                "the model's own processor, or pass interpolate_pos_encoding=True"
            )
        embedded: Tensor = image.norm_in(image.embed(pixels))
        return embedded

    def named(self, output: Output, inputs: Mapping[str, Any]) -> Any:
        """The output as it is, or as a tuple where the call or the configuration wants that."""
        asked = inputs.get("return_dict")
        return output if (self.config.return_dict if asked is None else asked) else output.to_tuple()


# Inputs by name. pixel_mask, token_type_ids and labels of the bare model are taken and change nothing, as published.
INPUTS = {
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "pixel_values",
    "pixel_mask",
    "inputs_embeds",
    "image_embeds",
    "image_token_type_idx",
    "interpolate_pos_encoding",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
}


class BridgeTowerModel(BridgeTowerPretrained):
    """The bare model."""

    FORM = "transformers-bare"

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        image_embeds: Tensor | None = None,
        image_token_type_idx: int | None = None,
        labels: Tensor | None = None,
        interpolate_pos_encoding: bool = False,
        **options: Any,
    ) -> Any:
        """-> text_features (B, T, D), image_features (B, N, D), pooler_output (B, 2D), hidden_states, attentions.

        input_ids and attention_mask (B, T), None: all real; pixel_values (B, 3, S, S), of other sizes with
        interpolate_pos_encoding; or image_embeds (B, N, D), what the picture tower's first block takes.
        options: output_hidden_states gives (text states, picture states (N, B, D) before the last norm, pairs of the
        fusion's layers), output_attentions the pairs of their own attention maps; return_dict=False a tuple.
        """
        inputs = _given(locals(), options)
        found = self.passed("all", inputs)
        output = Output(
            text_features=found.fused.text,
            image_features=found.fused.image,
            pooler_output=found.pooled,
            hidden_states=found.hidden,
            attentions=found.attentions,
        )
        return self.named(output, inputs)


class BridgeTowerForMaskedLM(BridgeTowerPretrained):
    """Scores of every word at every place of the text."""

    HEADS = ("mlm_score",)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        image_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """-> loss, logits (B, T, words), hidden_states, attentions. labels (B, T), -100 where nothing is masked."""
        inputs = _given(locals(), options)
        found = self.passed("text", inputs)
        assert found.fused.text is not None
        logits = self.towers.words(found.fused.text)
        loss = None if labels is None else word_loss(logits, labels.to(logits.device))
        return self.named(
            Output(loss=loss, logits=logits, hidden_states=found.hidden, attentions=found.attentions), inputs
        )


class BridgeTowerForImageAndTextRetrieval(BridgeTowerPretrained):
    """Whether a text belongs to a picture."""

    HEADS = ("itm_score",)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        image_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """-> loss, logits (B, 2), index 1 = match, hidden_states, attentions. labels (B,), 0 or 1."""
        inputs = _given(locals(), options)
        found = self.passed("first", inputs)
        logits = self.towers.heads["match"](found.pooled)
        loss = None if labels is None else match_loss(logits, labels.to(logits.device))
        return self.named(
            Output(loss=loss, logits=logits, hidden_states=found.hidden, attentions=found.attentions), inputs
        )


class BridgeTowerForContrastiveLearning(BridgeTowerPretrained):
    """Vectors of texts, of pictures and of both together, in one space."""

    HEADS = ("itc_text_head", "itc_image_head", "itc_cross_modal_head", "logit_scale")

    @classmethod
    def widened(cls, sizes: Any, settings: Mapping[str, Any]) -> Any:
        """Sizes with the head, whose width the configuration tells where the file does not."""
        width = settings["contrastive_hidden_size"]
        return replace(sizes, heads={"contrast": (width, width), **sizes.heads})

    @classmethod
    def _built(cls, config: Any) -> nn.Module:
        towers = super()._built(config)
        with torch.no_grad():
            towers.heads["contrast"].log_scale.fill_(config.logit_scale_init_value)  # type: ignore[union-attr, index]
        return towers

    @property
    def logit_scale(self) -> nn.Parameter:
        """The logarithm of what multiplies the cosine."""
        scale: nn.Parameter = self.towers.heads["contrast"].log_scale  # type: ignore[assignment]
        return scale

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        pixel_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        image_embeds: Tensor | None = None,
        return_loss: bool | None = None,
        **options: Any,
    ) -> Any:
        """-> loss, logits (B, 3, E), text_embeds, image_embeds, cross_embeds (B, E), hidden_states, attentions.

        logits are the three vectors, of unit length, and not their similarities, as published. return_loss: picture i
        belongs to text i.
        """
        inputs = _given(locals(), options)
        found, towers = self.passed("first", inputs), self.towers
        text = unit(towers.text_vector(found.text[-1][:, 0]))
        image = unit(towers.image_vector(towers.image.norm_out(found.image[-1][:, 0])))
        cross = unit(towers.encode_pair(found.pooled))
        output = Output(
            loss=contrast_loss_three(text, image, cross, towers.scale()) if return_loss else None,
            logits=torch.stack([text, image, cross], dim=-2),
            text_embeds=text,
            image_embeds=image,
            cross_embeds=cross,
            hidden_states=found.hidden,
            attentions=found.attentions,
        )
        return self.named(output, inputs)


def _given(arguments: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a call by name, out of its local names and its further options."""
    return {**{name: value for name, value in arguments.items() if name in INPUTS}, **options}
