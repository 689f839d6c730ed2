"""The peer of BriVL: the original's forward, made of transformers' models and torch's, and tuwen with its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.initialization import no_init_weights

from benchmarks.fusion_peer import fill
from benchmarks.material import squares, vocabulary
from tuwen import keymap, models
from tuwen.loading import assemble
from tuwen.model import Model
from tuwen.models.brivl import KEYS, VARIANTS
from tuwen.nn.efficientnet import SCALES, STAGES
from tuwen.nn.heads import unit
from tuwen.processing.boxes import prepare
from tuwen.processing.wordpiece import WordPiece
from tuwen.types import Images, Texts

SIZES = replace(VARIANTS["1.0"], image=replace(VARIANTS["1.0"].image, classes=0))  # features meet no classifier
EDGE, PADDED = SIZES.image.image_size, SIZES.context_length

# Names of transformers' EfficientNet and ours, outside the blocks and in one.
OUTSIDE = {
    "embeddings.convolution": "stem.conv",
    "embeddings.batchnorm": "stem.norm",
    "encoder.top_conv": "head.conv",
    "encoder.top_bn": "head.norm",
}
INSIDE = {
    "expansion.expand_conv": "widen.conv",
    "expansion.expand_bn": "widen.norm",
    "depthwise_conv.depthwise_conv": "look.conv",
    "depthwise_conv.depthwise_norm": "look.norm",
    "squeeze_excite.reduce": "squeeze.reduce",
    "squeeze_excite.expand": "squeeze.expand",
    "projection.project_conv": "narrow.conv",
    "projection.project_bn": "narrow.norm",
}


class Head(nn.Module):
    """The original's two layers at the end of a tower."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, SIZES.embedding), nn.Linear(SIZES.embedding, SIZES.embedding)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(x)))


def attention(width: int, layers: int, heads: int) -> nn.TransformerEncoder:
    """The original's small transformer: torch's own, sequences along the first axis."""
    return nn.TransformerEncoder(
        nn.TransformerEncoderLayer(width, heads, SIZES.hidden), layers, enable_nested_tensor=False
    )


def attended(encoder: nn.TransformerEncoder, x: Tensor, mask: Tensor) -> Tensor:
    """x (B, R, D), mask (B, R) -> the mean of the real ones after the transformer, (B, D)."""
    states = encoder(x.transpose(0, 1), src_key_padding_mask=~mask).transpose(0, 1)
    kept = mask[..., None].float()
    return (states * kept).sum(dim=1) / kept.sum(dim=1)


class ImagePeer(nn.Module):
    """`EfficientNetModel`, boxes sampled one by one, the transformer, the head."""

    def __init__(self) -> None:
        super().__init__()
        width, (wide, deep, _) = SIZES.embedding, SCALES["b5"]
        settings = transformers.EfficientNetConfig(
            image_size=EDGE,
            width_coefficient=wide,
            depth_coefficient=deep,
            hidden_dim=width,
            depthwise_padding=odd_blocks(EDGE),
        )
        with no_init_weights():
            self.backbone: Any = transformers.EfficientNetModel(settings)
        self.region = nn.Conv2d(width, width, 1)
        self.encoder = attention(width, SIZES.image_layers, SIZES.image_heads)
        self.head = Head(width)

    def forward(self, pixels: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        """pixels (B, 3, S, S), boxes (B, R, 4) in pixels, mask (B, R) -> (B, E)."""
        maps = self.backbone(pixels).last_hidden_state
        regions = torch.stack([self.pooled(cells, own) for cells, own in zip(maps, boxes, strict=True)])
        return self.head(attended(self.encoder, F.normalize(regions, dim=-1), mask))

    def pooled(self, cells: Tensor, boxes: Tensor) -> Tensor:
        """A picture's map (D, F, F) and boxes (R, 4) -> (R, D)."""
        side = cells.shape[-1]
        left, top, right, bottom = (boxes / (EDGE / side)).unbind(-1)
        zero = torch.zeros_like(left)
        across = [(right - left) / (side - 1), zero, (left + right - side + 1) / (side - 1)]
        down = [zero, (bottom - top) / (side - 1), (top + bottom - side + 1) / (side - 1)]
        matrices = torch.stack([torch.stack(across, dim=-1), torch.stack(down, dim=-1)], dim=1)  # (R, 2, 3)
        size = [len(boxes), len(cells), SIZES.samples, SIZES.samples]
        grid = F.affine_grid(matrices, size, align_corners=False)
        samples = F.grid_sample(cells.expand(len(boxes), -1, -1, -1), grid, align_corners=False)
        return self.region(samples).mean(dim=(2, 3))


def odd_blocks(size: int) -> list[int]:
    """Numbers of the blocks of stride 2 whose input has an odd edge, which transformers wants to be told."""
    found, number, edge = [], 0, -(-size // 2)
    for stage, repeats in zip(STAGES, SIZES.image.repeats, strict=True):
        if stage.stride == 2:
            found += [number] if edge % 2 else []
            edge = -(-edge // 2)
        number += repeats
    return found


class TextPeer(nn.Module):
    """`BertModel` on padded ids without a mask, the transformer, the head."""

    def __init__(self) -> None:
        super().__init__()
        with no_init_weights():
            self.bert: Any = transformers.BertModel(transformers.BertConfig(vocab_size=SIZES.text.vocabulary))
        width = SIZES.text.width
        self.encoder = attention(width, SIZES.text_layers, SIZES.text_heads)
        self.head = Head(width)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids (B, 80), mask (B, 80) -> (B, E)."""
        states = self.bert(ids).last_hidden_state  # without a mask, which is what the original does
        return self.head(attended(self.encoder, F.normalize(states, dim=-1), mask))


class Pictures:
    """The picture tower, on both sides."""

    def __init__(self, seed: int = 7) -> None:
        self.peer = ImagePeer().eval()
        fill((item for item in self.peer.named_parameters() if not item[0].startswith("backbone.")), seed)
        calibrate(self.peer.backbone, seed)
        tensors = self.peer.state_dict()
        rest = renamed(tensors, "imgencoder.learnable", "img")
        rest |= {f"imgencoder.learnable.max_pool.0.{w}": tensors[f"region.{w}"] for w in ("weight", "bias")}
        ours, _ = keymap.load(rest, KEYS["original"])
        self.model = model("image", {**ours, **network(tensors)})

    def prepared(self, pictures: Sequence[Any], boxes: Sequence[Any]) -> Images:
        """What the original's data set would give: the whole picture after the boxes, and places that stay empty."""
        sizes = [picture.shape[:2] for picture in pictures]
        places, mask = prepare(boxes, sizes, EDGE, SIZES.boxes)
        return Images(self.model.processor.images(pictures).pixels, None, places, mask)

    def peer_features(self, images: Images) -> Tensor:
        """-> (B, E), unit length, picture by picture as in the original's script; for the peer the faster way."""
        assert images.boxes is not None
        assert images.box_mask is not None
        parts = (part.split(1) for part in (images.pixels, images.boxes, images.box_mask))
        with torch.no_grad():
            return unit(torch.cat([self.peer(*one) for one in zip(*parts, strict=True)]))


class Captions:
    """The text tower, on both sides."""

    def __init__(self, seed: int = 8) -> None:
        self.peer = TextPeer().eval()
        fill(self.peer.named_parameters(), seed)
        tensors = self.peer.state_dict()
        bert = {f"textencoder.backbone.{name}": tensor for name, tensor in tensors.items() if name.startswith("bert.")}
        ours, _ = keymap.load({**renamed(tensors, "textencoder.learnable", "text"), **bert}, KEYS["original"])
        self.model = model("text", ours)

    def padded(self, texts: Sequence[str]) -> Texts:
        """As the original's tokenizer gives them, each of 80 ids."""
        return self.model.processor.texts(texts, PADDED)

    def peer_features(self, texts: Texts, at_once: int) -> Tensor:
        """-> (B, E), unit length, so many texts in a batch."""
        parts = zip(texts.ids.split(at_once), texts.mask.split(at_once), strict=True)
        with torch.no_grad():
            return unit(torch.cat([self.peer(ids, mask) for ids, mask in parts]))


def renamed(tensors: Mapping[str, Tensor], start: str, part: str) -> dict[str, Tensor]:
    """Transformer and head under the original's names."""
    names = {"encoder": f"{start}.{part}Att", "head": f"{start}.{part}FC"}
    return {
        name.replace(first, names[first], 1): tensor
        for name, tensor in tensors.items()
        if (first := name.split(".")[0]) in names
    }


def network(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """transformers' EfficientNet under our names, and its linear layers as we have them."""
    blocks = [(stage, block) for stage, repeats in enumerate(SIZES.image.repeats) for block in range(repeats)]
    names = dict(OUTSIDE)
    for number, (stage, block) in enumerate(blocks):
        names |= {f"encoder.blocks.{number}.{a}": f"stages.{stage}.{block}.{b}" for a, b in INSIDE.items()}
    found = {}
    for name, tensor in tensors.items():
        if name.startswith("backbone."):
            part, _, leaf = name.removeprefix("backbone.").rpartition(".")
            linear = ".squeeze_excite." in name and tensor.ndim == 4
            found[f"image.cnn.{names[part]}.{leaf}"] = tensor[:, :, 0, 0] if linear else tensor
    return found


def calibrate(network: nn.Module, seed: int) -> None:
    """Random convolutions, and norms that know what comes to them: states neither die away nor grow block by block."""
    generator = torch.Generator().manual_seed(seed)
    fill(network.named_parameters(), seed)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim == 4:
                weight.normal_(0, weight[0].numel() ** -0.5, generator=generator)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0  # the statistics of the last batch
        pictures = torch.stack([torch.tensor(picture) for picture in squares(2, EDGE, seed)])
        network.train()(pictures.permute(0, 3, 1, 2) / 64 - 2)  # pixels of about unit deviation
    network.eval()


def model(tower: str, tensors: dict[str, Tensor]) -> Model:
    """tuwen's model of one tower, which shares the tensors."""
    family = models.family("brivl")
    sizes = replace(SIZES, towers=(tower,))
    processor = family.processor("original", sizes, WordPiece(vocabulary(), "transformers"), None)
    module = assemble(family, sizes, tensors, "the peer")
    return Model("brivl", module, processor, device="cpu")
