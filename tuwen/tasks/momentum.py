"""Learn from pairs with queues of past features, made by a twin of the model that follows it slowly (MoCo, BriVL)."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.distributed import gather, processes, rank
from tuwen.losses import positives_loss, queue_logits
from tuwen.nn.queue import Queue
from tuwen.types import DualEncoder, Images, Texts


class Momentum(nn.Module):
    """BriVL's pretraining: a picture must prefer its own text to the texts in a queue, and a text its own picture.

    The negatives are the queues' alone, `queue` features of each side; those of the same batch do not count. `momentum`
    is how much of itself the twin keeps at every step.
    multi_label: what is in the queues and among the `nearest` of both the own picture and the own text counts as right.
    mask_stays: as in the published code, which shuffles pictures and boxes before the twin sees them but not the masks
    of the boxes, so that a picture is pooled with another's mask; it matters only where pictures differ in boxes.
    """

    def __init__(
        self,
        model: nn.Module,
        queue: int = 9600,
        momentum: float = 0.99,
        temperature: float = 0.07,
        multi_label: bool = False,
        nearest: int = 1,
        mask_stays: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.twin = copy.deepcopy(model).requires_grad_(False)
        self.image_queue = Queue(self.towers.config.embedding, queue)
        self.text_queue = Queue(self.towers.config.embedding, queue)
        self.momentum = momentum
        self.temperature = temperature
        self.multi_label = multi_label
        self.nearest = nearest
        self.mask_stays = mask_stays
        self._fresh: list[tuple[Tensor, Tensor]] = []  # keys (N, E) of both sides since the last step

    @property
    def towers(self) -> DualEncoder:
        """The model as what every two-tower family is."""
        return cast(DualEncoder, self.model)

    def forward(
        self, images: Images, texts: Texts, orders: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """B pictures and their B texts, all padded to one shape on every process -> loss, and what to log.

        orders: (N,) int64 for pictures and for texts, in which the twin sees the N = B x processes of all; drawn, and
        the same on every process, unless given. They matter where norms take the statistics of their batch.
        """
        image = F.normalize(self.towers.encode_image(images), dim=-1)
        text = F.normalize(self.towers.encode_text(texts), dim=-1)
        image_order, text_order = orders or (self._order(len(image)), self._order(len(image)))
        image_keys = self._image_keys(images, image_order)  # (N, E)
        text_keys = self._text_keys(texts, text_order)
        self._fresh.append((image_keys, text_keys))
        own = slice(rank() * len(image), (rank() + 1) * len(image))
        also = self._also(image_keys[own], text_keys[own]) if self.multi_label else None
        to_text = queue_logits(image, text_keys[own], self.text_queue.rows, self.temperature)
        to_image = queue_logits(text, image_keys[own], self.image_queue.rows, self.temperature)
        loss = positives_loss(to_image, also) + positives_loss(to_text, also)
        right = (to_text.argmax(1) == 0).float().mean().item()
        return loss, {"accuracy": right}

    @torch.no_grad()
    def _image_keys(self, images: Images, order: Tensor) -> Tensor:
        """(N, E), unit length, of all processes, in the order of the batch."""
        mask = images.box_mask
        shuffled = Images(
            _share(images.pixels, order),
            None,
            None if images.boxes is None else _share(images.boxes, order),
            mask if mask is None or self.mask_stays else _share(mask.byte(), order).bool(),
        )
        keys = F.normalize(cast(DualEncoder, self.twin).encode_image(shuffled), dim=-1)
        return gather(keys)[order.argsort()]

    @torch.no_grad()
    def _text_keys(self, texts: Texts, order: Tensor) -> Tensor:
        shuffled = Texts(_share(texts.ids, order), _share(texts.mask.byte(), order).bool())
        keys = F.normalize(cast(DualEncoder, self.twin).encode_text(shuffled), dim=-1)
        return gather(keys)[order.argsort()]

    def _order(self, batch: int) -> Tensor:
        """(N,), drawn by the first process for all."""
        drawn = torch.randperm(batch * processes()).to(self.image_queue.rows.device)
        return gather(drawn)[: len(drawn)]

    def _also(self, image_keys: Tensor, text_keys: Tensor) -> Tensor:
        """(B, K) bool: entries of the queues that are near by picture and by text."""
        near = []
        for keys, queue in ((text_keys, self.text_queue), (image_keys, self.image_queue)):
            scores = keys @ queue.rows.T
            places = scores.topk(self.nearest, dim=1).indices
            near.append(torch.zeros_like(scores, dtype=torch.bool).scatter_(1, places, True))
        return near[0] & near[1]

    @torch.no_grad()
    def after_step(self) -> None:
        """The keys since the last step enter the queues, and the twin moves towards the model, for the next keys."""
        for image_keys, text_keys in self._fresh:
            self.image_queue.add(image_keys)
            self.text_queue.add(text_keys)
        self._fresh.clear()
        self.towers.after_step()
        self.follow()

    @torch.no_grad()
    def follow(self) -> None:
        """Every parameter of the twin, frozen ones too; its running statistics are its own."""
        for twin, parameter in zip(self.twin.parameters(), self.model.parameters(), strict=True):
            twin.mul_(self.momentum).add_(parameter, alpha=1 - self.momentum)


def _share(rows: Tensor, order: Tensor) -> Tensor:
    """This process's part of all processes' rows (B, ...) in a common order."""
    count = len(rows)
    return gather(rows)[order[rank() * count : (rank() + 1) * count]]
