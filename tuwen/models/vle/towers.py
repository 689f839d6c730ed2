"""VLE's sizes and its model: a DeBERTa-v3, a CLIP picture tower, and co-attention between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tuwen.errors import InputError, UsageError
from tuwen.nn.deberta import Deberta, DebertaConfig
from tuwen.nn.fusion import Fusion, FusionConfig
from tuwen.nn.heads import WordTransform, classifier, normal_start
from tuwen.nn.linear import Linear
from tuwen.nn.vit import ViT, ViTConfig
from tuwen.types import Boxes, Fused, Images, PackedTexts, Texts


@dataclass(frozen=True)
class Config:
    """Sizes of a model and which heads it has.

    heads: name -> widths of the head's layers: "match" (2,), "answer" (hidden, answers), "ground" (hidden, 2), "fill"
    (V,), "choose" (hidden, 1). choose: what the last is for, "q2a" (the answer to a question) or "qa2r" (the reason for
    an answer). types: rows of the token type table: text, picture, and objects from 2 on. answers: texts of the scores
    of "answer".
    """

    image: ViTConfig
    text: DebertaConfig
    fusion: FusionConfig
    heads: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    types: int = 2
    choose: str = "q2a"
    answers: tuple[str, ...] = ()


def _variant(
    size: str, image_size: int, heads: Mapping[str, tuple[int, ...]], types: int = 2, choose: str = "q2a"
) -> Config:
    width, layers, attention_heads, patch = (768, 12, 12, 16) if size == "base" else (1024, 24, 16, 14)
    return Config(
        ViTConfig(image_size, patch, width, layers - 1, attention_heads, hidden=4 * width),
        DebertaConfig(128100, width, layers, attention_heads, 4 * width),
        FusionConfig(width, 6, attention_heads, 4 * width),
        heads,
        types,
        choose,
    )


def _variants(size: str, sizes: tuple[int, int, int]) -> dict[str, Config]:
    """The five published models of one size, whose pictures are of these sizes: pretrained, for VQA, for VCR.

    The picture tower has one block less than CLIP's: the published sizes of files tell so.
    """
    width = 768 if size == "base" else 1024
    pretrained, vqa, vcr = sizes
    choose = {"choose": (2 * width, 1)}
    return {
        size: _variant(size, pretrained, {"match": (2,), "ground": (width, 2), "fill": (128100,)}),
        f"{size}-vqa": _variant(size, vqa, {"answer": (2 * width, 3129)}),
        f"{size}-vcr-q2a": _variant(size, vcr, choose, 83),
        f"{size}-vcr-qa2r": _variant(size, vcr, choose, 83, "qa2r"),
    }


VARIANTS = {**_variants("base", (224, 576, 384)), **_variants("large", (224, 504, 336))}


def variant_of(config: Config) -> str | None:
    """The published name of these sizes and heads, None where there is none.

    The size of the pictures does not count: it is not published for every model, and may be changed at loading.
    """
    plain = _without_size(config)
    return next((name for name, sizes in VARIANTS.items() if _without_size(sizes) == plain), None)


def _without_size(config: Config) -> Config:
    return replace(config, image=replace(config.image, image_size=0, any_size=False), answers=())


class Words(nn.Module):
    """States into the width of the text tower, ready for a comparison with its word table; the bias of every word."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.project = Linear(config.fusion.width, config.text.width)
        self.transform = WordTransform(config.text.width, config.text.eps, config.text.activation)
        self.bias = nn.Parameter(torch.zeros(config.text.vocabulary))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., width of the text tower)."""
        return self.transform(self.project(x))


class VLE(nn.Module):
    """Texts and pictures -> states that know of each other (iflytek/VLE, after METER, arXiv 2111.02387)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.fusion.width
        self.image = ViT(config.image)
        self.text = Deberta(config.text)
        self.text_projection = Linear(config.text.width, width)
        self.image_projection = Linear(config.image.width, width)
        self.types = nn.Embedding(config.types, width)
        self.fusion = Fusion(config.fusion)
        self.heads = nn.ModuleDict({name: new_head(name, config) for name in config.heads})

    # -- each side alone -----------------------------------------------------------------------------------------------

    def project_text(self, texts: Texts | PackedTexts) -> Tensor:
        """-> text states in the fusion's width, before token types: (B, T, D), or (N, D) of packed texts."""
        return self.text_projection(self.text(texts))

    def project_image(self, images: Images) -> Tensor:
        """-> picture states in the fusion's width, before token types: (B, N, D)."""
        # The last norm goes over all tokens; CLIP itself normalises the class token alone.
        return self.image_projection(self.image.norm_out(self.image.states(images.pixels)[-1]))

    def text_levels(self, texts: Texts | PackedTexts) -> Tensor:
        """-> what the fusion takes from the texts, (B, T, 1, D), or (N, 1, D) of packed ones."""
        return (self.project_text(texts) + self.types.weight[0]).unsqueeze(-2)

    def image_levels(self, images: Images) -> Tensor:
        """-> what the fusion takes from the pictures, (B, N, 1, D)."""
        return (self.project_image(images) + self.types.weight[1]).unsqueeze(-2)

    def with_boxes(self, text: Tensor, image: Tensor, boxes: Boxes) -> tuple[Tensor, Tensor, Tensor]:
        """Projected states text (B, T, D) and image (B, N, D) -> levels of both with objects, and the image's mask.

        Each box becomes a row after the picture's own: the mean of its patches. Rows that a picture lacks are zero
        before their token type 0, and masked.
        """
        check_boxes(boxes, image.shape[1] - 1, text.shape[1], self.config.types)
        most = max(map(len, boxes.patches))
        batch, patches, width = image.shape
        rows = image.new_zeros(batch, most, width)
        mask = torch.zeros(batch, patches + most, dtype=torch.bool, device=image.device)
        image_types = mask.new_zeros(mask.shape, dtype=torch.long)
        image_types[:, :patches] = 1
        text_types = image_types.new_zeros(text.shape[:2])
        for item, (own, kinds, words) in enumerate(
            zip(boxes.patches, boxes.image_types, boxes.text_types, strict=True)
        ):
            for row, numbers in enumerate(own):
                rows[item, row] = image[item, torch.tensor(numbers, device=image.device) + 1].mean(0)
            mask[item, : patches + len(own)] = True
            image_types[item, patches : patches + len(own)] = image_types.new_tensor(kinds)
            text_types[item, : len(words)] = text_types.new_tensor(words)
        image = torch.cat([image, rows], dim=1) + self.types(image_types)
        return (text + self.types(text_types)).unsqueeze(-2), image.unsqueeze(-2), mask

    # -- together ------------------------------------------------------------------------------------------------------

    def forward(self, images: Images, texts: Texts, last: str = "all", boxes: Boxes | None = None) -> Fused:
        """Picture i with text i. last: which part of `Fused` is wanted (see `Fusion.forward`)."""
        mask = None
        if boxes is None:
            text, image = self.text_levels(texts), self.image_levels(images)
        else:
            text, image, mask = self.with_boxes(self.project_text(texts), self.project_image(images), boxes)
        return self.fusion(self.fusion.image_side(image, mask), self.fusion.text_side(text, texts.mask), last)

    def words(self, text: Tensor) -> Tensor:
        """Fused text states (..., D) -> logits (..., V), by the text tower's own word table."""
        head = cast(Words, self.heads["fill"])
        return F.linear(head(text), self.text.embeddings.words.weight, head.bias)


def build(config: Config) -> VLE:
    """A model of these sizes with fresh weights."""
    return VLE(config)


def new_head(name: str, config: Config) -> nn.Module:
    """A head with fresh weights: normal with 0.02, biases 0; the word head keeps torch's start, as in the original."""
    width, outputs = config.fusion.width, config.heads[name]
    if name == "fill":
        return Words(config)
    if name == "match":
        head: nn.Module = Linear(2 * width, outputs[0])
    elif name in ("answer", "choose"):
        head = classifier(2 * width, *outputs)
    elif name == "ground":
        head = classifier(width, *outputs)
    else:
        raise UsageError(f"VLE has no head {name!r}")
    return normal_start(head)


def check_boxes(boxes: Boxes, patches: int, tokens: int, types: int) -> None:
    """InputError that names the first item whose objects cannot be taken."""
    for item, (own, kinds, words) in enumerate(zip(boxes.patches, boxes.image_types, boxes.text_types, strict=True)):
        if len(own) != len(kinds):
            raise InputError(f"item {item} has {len(own)} boxes but types for {len(kinds)}")
        for number, box in enumerate(own):
            if not box:
                raise InputError(f"box {number} of item {item} covers no patch: it lies outside the picture")
            if not 0 <= min(box) <= max(box) < patches:
                raise InputError(f"box {number} of item {item} names patch {max(box)}: there are {patches}")
        if len(words) > tokens:
            raise InputError(f"item {item} has token types for {len(words)} of its {tokens} tokens")
        if not all(0 <= kind < types for kind in (*kinds, *words)):
            raise InputError(
                f"item {item} uses token type {max(*kinds, *words)}: this model has {types} (0 text, 1 picture, "
                "objects from 2 on)"
            )
