"""Learn from pairs: every picture must prefer its own caption among all captions of the batch, and the reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from tuwen.distributed import gather
from tuwen.losses import contrastive
from tuwen.nn.heads import unit
from tuwen.types import DualEncoder, Images

if TYPE_CHECKING:
    from tuwen.processing.processor import Processor


class Contrast(nn.Module):
    """Symmetric contrastive loss of a two-tower model, averaged over the languages that caption the same pictures."""

    def __init__(self, model: nn.Module, processor: Processor, precision: str = "float32") -> None:
        super().__init__()
        self.model = model
        self.processor = processor
        self.precision = precision

    @property
    def towers(self) -> DualEncoder:
        """The model as what every two-tower family is."""
        return cast(DualEncoder, self.model)

    def forward(
        self,
        pixels: Tensor,
        captions: dict[str, list[str]],
        said: dict[str, Tensor],
        shown: Tensor,
        patch_dropout: float = 0.0,
    ) -> tuple[Tensor, dict[str, float]]:
        """pixels (B, R, R, 3) uint8 and their captions by language -> loss, and what to log.

        said (B, G) by language: which of G things a caption names; shown (B, G): which a picture shows. A caption whose
        things are all in another picture too is not counted as that picture's negative.
        The towers run in the chosen precision, features and loss in float32.
        """
        scale = self.towers.scale()
        device = scale.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            images = Images(self.processor.image.normalise(pixels.to(device, non_blocking=True)))
            image = self.towers.encode_image(images, patch_dropout)
            text = self._encode_text([caption for texts in captions.values() for caption in texts])
        image = unit(image.float())
        by_language = unit(text.float()).split(len(pixels))
        absent = 1 - gather(shown.to(device)).float()  # (N, G)
        losses = [
            contrastive(image, features, scale, also=absent @ gather(marks.to(device)).float().T == 0)
            for features, marks in zip(by_language, said.values(), strict=True)
        ]
        loss = torch.stack(losses).mean()
        right = (image @ by_language[0].T).argmax(dim=1) == torch.arange(len(pixels), device=device)
        return loss, {"accuracy": right.float().mean().item(), "scale": scale.item()}

    def _encode_text(self, texts: list[str]) -> Tensor:
        """Packed: nothing is computed on padding. (B, E) in the order of the texts."""
        packed, order = self.processor.packed(self.processor.ids(texts))
        features = self.towers.encode_text(packed.to(next(self.model.parameters()).device))
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return features[back.to(features.device)]

    def after_step(self) -> None:
        """What has to happen after every optimizer step."""
        self.towers.after_step()
