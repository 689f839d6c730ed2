"""BriVL's sizes and its model: boxes pooled from an EfficientNet, a BERT, and a small transformer on each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.nn.attention import unpacked
from tuwen.nn.bert import Bert, BertConfig
from tuwen.nn.bert import Block as BertBlock
from tuwen.nn.efficientnet import SCALES, EfficientNet, EfficientNetConfig, scaled
from tuwen.nn.linear import Linear
from tuwen.nn.regions import pool_boxes, regular_grid, whole_picture
from tuwen.nn.transformer import Encoder, EncoderConfig, masked_mean
from tuwen.types import Images, PackedTexts, Texts

TEMPERATURE = 0.07  # fixed in training; nothing scales the similarity afterwards
TOWERS = ("image", "text")
TOKENS_AT_ONCE = 1120  # of one pass of the BERT on a CPU outside training, padding counted: more do not fit its caches


@dataclass(frozen=True)
class Config:
    """Sizes of both towers.

    *_layers, *_heads, hidden: of the small transformers. boxes: places for boxes, the whole picture's included;
    samples: points along an edge of a box. grid: where a picture comes without boxes, that many by that many cells and
    the whole picture are pooled; 0 pools the whole picture alone. context_length: the length in tokens to which every
    text is padded. towers: what is there; the sizes of the other mean nothing.
    """

    image: EfficientNetConfig
    text: BertConfig
    image_layers: int = 4
    image_heads: int = 4
    text_layers: int = 4
    text_heads: int = 4
    hidden: int = 2048
    boxes: int = 37
    samples: int = 4
    grid: int = 0
    context_length: int = 80
    towers: tuple[str, ...] = TOWERS

    def __post_init__(self) -> None:
        if not self.towers or set(self.towers) - set(TOWERS):
            raise UsageError(f"towers are {self.towers}, expected one or both of {', '.join(TOWERS)}")
        if not 2 <= self.context_length <= self.text.positions:
            raise UsageError(
                f"texts are padded to {self.context_length} tokens, expected 2 to {self.text.positions}, the rows of "
                "the position table"
            )

    @property
    def embedding(self) -> int:
        """Width E of the features, which is that of the feature map."""
        return self.image.head

    def usual_boxes(self, size: int) -> Tensor:
        """(R, 4) of a picture of `size` pixels for which nobody gave boxes: the grid's, and the whole picture last."""
        parts = [regular_grid(size, self.grid)] if self.grid else []
        return torch.cat([*parts, whole_picture(size)])


BASE_TEXT = BertConfig(21128, 768, 12, 12, 3072, pooler=True)
LARGE_TEXT = BertConfig(21128, 1024, 24, 16, 4096, pooler=True)
B5, B7 = scaled(380, *SCALES["b5"][:2]), scaled(600, *SCALES["b7"][:2])

VARIANTS = {
    "1.0": Config(B5, BASE_TEXT),  # trained on detector boxes
    "roberta-base": Config(replace(B5, image_size=456), BASE_TEXT, grid=6),  # trained on the grid
    "roberta-large": Config(B7, LARGE_TEXT, grid=6),  # of the papers, never released
}


def variant_of(config: Config) -> str | None:
    """The name of these sizes, None where there is none; parts that features never meet do not count."""
    image = replace(config.image, classes=B5.classes, counters=True)
    plain = replace(config, image=image, text=replace(config.text, pooler=True), towers=TOWERS)
    return next((name for name, sizes in VARIANTS.items() if sizes == plain), None)


def of_tower(config: Config, tower: str) -> Config:
    """The sizes of one tower alone; those of the other, which mean nothing then, are the published ones."""
    if tower == "image":
        return replace(config, text=BASE_TEXT, text_layers=4, text_heads=4, towers=("image",))
    image = scaled(config.image.image_size, *SCALES["b5"][:2], head=config.embedding)
    return replace(config, image=image, image_layers=4, image_heads=4, boxes=37, samples=4, grid=0, towers=("text",))


def head(width: int, embedding: int) -> nn.Sequential:
    """The two layers at the end of each tower."""
    return nn.Sequential(Linear(width, embedding), nn.ReLU(), Linear(embedding, embedding))


class ImageTower(nn.Module):
    """Pictures and boxes -> features."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.embedding
        self.cnn = EfficientNet(config.image)
        self.region = Linear(width, width)  # a 1x1 convolution of the samples there; their mean goes through it here
        self.encoder = Encoder(EncoderConfig(width, config.image_layers, config.image_heads, config.hidden))
        self.head = head(width, width)

    def regions(self, feature_map: Tensor, images: Images) -> tuple[Tensor, Tensor | None]:
        """map (B, D, H, W) -> what the transformer takes: (B, R, D), unit length, and mask (B, R) or None.

        R is the most boxes that a picture of the batch has: empty places behind them are never computed.
        """
        boxes, mask = self.boxes_of(images)
        pooled = pool_boxes(feature_map, boxes, images.pixels.shape[-2], self.config.samples)
        return F.normalize(self.region(pooled), dim=-1), mask

    def boxes_of(self, images: Images) -> tuple[Tensor, Tensor | None]:
        """boxes (B, R, 4) and mask (B, R), None where all are real; those of the config for pictures without boxes."""
        batch, size = len(images.pixels), images.pixels.shape[-2]
        if images.boxes is None:
            boxes = self.config.usual_boxes(size).to(images.pixels.device)
            return boxes.expand(batch, -1, -1), None
        boxes, mask = images.boxes, images.box_mask
        if boxes.shape != (batch, boxes.shape[1], 4) or (mask is not None and mask.shape != boxes.shape[:2]):
            shapes = tuple(boxes.shape), None if mask is None else tuple(mask.shape)
            raise InputError(f"boxes and box_mask are of shapes {shapes}, expected ({batch}, R, 4) and ({batch}, R)")
        if mask is None or bool(mask.all()):
            return boxes, None
        if not bool(mask.any(dim=1).all()):
            raise InputError("a picture has no box at all: the whole picture must be one of its boxes")
        used = int(mask.any(dim=0).nonzero().max()) + 1
        return boxes[:, :used], mask[:, :used]

    def forward(self, images: Images) -> Tensor:
        """-> (B, E)."""
        x, mask = self.regions(self.cnn(images.pixels), images)
        return self.head(masked_mean(self.encoder(x, mask), mask))


class TextTower(nn.Module):
    """Texts -> features.

    The original calls its BERT without a mask, so every token attends to the padding behind its text, which gets
    positions like any word: features depend on the length that texts are padded to, and packing them without padding
    would change every number. Only what nothing reads is left out, the last layer's states at padding, and padding in
    the small transformer, which does mask it; and what is the same in every text, the first layer's queries, keys and
    values of padding, is computed once.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.length = config.context_length
        self.bert = Bert(config.text)
        width = config.text.width
        self.encoder = Encoder(EncoderConfig(width, config.text_layers, config.text_heads, config.hidden))
        self.head = head(width, config.embedding)

    def states(self, ids: Tensor) -> list[Tensor]:
        """ids (B, T), padded to the model's length -> states (B, T, D) after the embeddings and after every layer."""
        states = [self._embed(ids)]
        for block in self.bert.blocks:
            states.append(block(states[-1]))
        return states

    def _embed(self, ids: Tensor) -> Tensor:
        return self.bert.embeddings(ids, torch.arange(ids.shape[1], device=ids.device), None)

    def forward(self, texts: Texts | PackedTexts) -> Tensor:
        """-> (B, E). InputError for a text longer than the model's length."""
        if isinstance(texts, PackedTexts):
            return self._packed(texts)
        short = self.length - texts.ids.shape[1]
        self._check(texts.ids.shape[1])
        ids, mask = F.pad(texts.ids, (0, short)), F.pad(texts.mask, (0, short))  # 0 is BERT's padding
        x = self.encoder(F.normalize(self.states(ids)[-1], dim=-1), mask)
        return self.head(masked_mean(x, mask))

    def _check(self, longest: int) -> None:
        if longest > self.length:
            raise InputError(
                f"a text has {longest} tokens, the model takes {self.length}: cut it, as its processor does"
            )

    def _packed(self, texts: PackedTexts) -> Tensor:
        """Padded for the BERT alone, on a CPU a bounded number of texts at a time; (B, E), ordered as the texts."""
        self._check(max(length for _, length in texts.runs))
        bounded = texts.ids.device.type == "cpu" and not torch.is_grad_enabled()
        limit = max(1, TOKENS_AT_ONCE // self.length) if bounded else len(texts.starts)
        pieces = [piece for run in unpacked(texts.ids[:, None], texts.runs) for piece in run[..., 0].split(limit)]
        passes: list[list[Tensor]] = [[]]
        for piece in pieces:  # (count, length) each
            if passes[-1] and sum(map(len, passes[-1])) + len(piece) > limit:
                passes.append([])
            passes[-1].append(piece)
        x = torch.cat([self._real(pieces) for pieces in passes])
        x = self.encoder(F.normalize(x, dim=-1), runs=texts.runs)
        return self.head(torch.cat([run.mean(dim=1) for run in unpacked(x, texts.runs)]))

    def _real(self, pieces: list[Tensor]) -> Tensor:
        """Ids (count, length) of each run of equally long texts -> the BERT's last states of real tokens, (N, D)."""
        runs = [(piece.shape[0], piece.shape[1]) for piece in pieces]
        return real_states(self.bert.blocks[-1], self._before_last(pieces, runs), runs)

    def _before_last(self, pieces: list[Tensor], runs: list[tuple[int, int]]) -> Tensor:
        """Ids (count, length) of each run -> what the last block takes, (B, T, D)."""
        blocks = self.bert.blocks[:-1]
        texts, tokens = sum(map(len, pieces)), sum(piece.numel() for piece in pieces)
        # In training dropout draws other noise for the padding of every text.
        if self.training or not blocks or tokens + self.length >= texts * self.length:
            x = self._embed(torch.cat([F.pad(piece, (0, self.length - piece.shape[1])) for piece in pieces]))
        else:
            real = torch.cat([self._embed(piece).flatten(0, 1) for piece in pieces])
            padding = self._embed(pieces[0].new_zeros(1, self.length))[0]
            x, blocks = first_states(blocks[0], real, padding, runs), blocks[1:]
        for block in blocks:
            x = block(x)
        return x


def first_states(block: nn.Module, real: Tensor, padding: Tensor, runs: list[tuple[int, int]]) -> Tensor:
    """Real tokens (N, D), packed, and padding (T, D) -> what a BERT's first block makes of the padded texts, (B, T, D).

    Before the first block padding is the same behind every text: its queries, keys and values are computed once.
    """
    assert isinstance(block, BertBlock)
    attention = block.attention
    attended = attention.mix(padded(attention.qkv(real), attention.qkv(padding), runs))
    return block.think(padded(real, padding, runs), attended)


def padded(real: Tensor, padding: Tensor, runs: list[tuple[int, int]]) -> Tensor:
    """Packed real (N, W) and padding (T, W), which each place behind a text takes its row of -> (B, T, W)."""
    whole = padding.new_empty(sum(count for count, _ in runs), *padding.shape)
    start = 0
    for (count, length), own in zip(runs, unpacked(real, runs), strict=True):
        whole[start : start + count, :length] = own
        whole[start : start + count, length:] = padding[length:]
        start += count
    return whole


def real_states(block: nn.Module, x: Tensor, runs: list[tuple[int, int]]) -> Tensor:
    """x (B, T, D), padded -> what a BERT's block makes of the real tokens alone, which see the padding: (N, D).

    runs: (count, length) of each stretch of texts with as many real tokens.
    """
    assert isinstance(block, BertBlock)
    attention, start = block.attention, 0
    own, mixed = [], []
    qkv = attention.qkv(x).unflatten(-1, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, H, T, D / H)
    for count, length in runs:
        query, key, value = qkv[:, start : start + count].unbind(0)
        seen = F.scaled_dot_product_attention(
            query[:, :, :length], key, value, dropout_p=attention.dropout if block.training else 0.0
        )
        mixed.append(seen.transpose(1, 2).reshape(count * length, -1))
        own.append(x[start : start + count, :length].flatten(0, 1))
        start += count
    return block.think(torch.cat(own), attention.output(torch.cat(mixed)))


class BriVL(nn.Module):
    """Pictures and texts -> features in one space (arXiv 2103.06561, BAAI-WuDao/BriVL)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.image = ImageTower(config) if "image" in config.towers else None
        self.text = TextTower(config) if "text" in config.towers else None

    def encode_image(self, images: Images, patch_dropout: float = 0.0) -> Tensor:
        """-> (B, E), not normalised. UnsupportedTask where the weights have no picture tower."""
        if patch_dropout:
            raise UsageError("BriVL's pictures are no patches: patch_dropout must be 0")
        if self.image is None:
            raise UnsupportedTask("these weights are of BriVL's text tower alone: load a file that has both towers")
        return self.image(images)

    def encode_text(self, texts: Texts | PackedTexts) -> Tensor:
        """-> (B, E), not normalised. UnsupportedTask where the weights have no text tower."""
        if self.text is None:
            raise UnsupportedTask("these weights are of BriVL's picture tower alone: load a file that has both towers")
        return self.text(texts)

    def scale(self) -> Tensor:
        """What multiplies the cosine in training."""
        return torch.tensor(1 / TEMPERATURE, device=next(self.parameters()).device)

    def after_step(self) -> None:
        """Nothing."""


def build(config: Config) -> BriVL:
    """A model of these sizes with fresh weights."""
    return BriVL(config)
