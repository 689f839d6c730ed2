"""The names of the tensors in BriVL's files, and ours for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from tuwen.errors import CheckpointError
from tuwen.keymap import Key
from tuwen.models.towers import bert_keys
from tuwen.nn.efficientnet import STAGES

TEXT_FILE = "text_model.learnable."  # before every name in the file of the text tower alone, from Text2Poster


@dataclass(frozen=True)
class Pixelwise:
    """The kernel of a 1x1 convolution (A, B, 1, 1) <-> the weight of a linear layer (A, B), as a view."""

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]:
        (tensor,) = theirs
        if tensor.shape[2:] != (1, 1):
            raise ValueError(f"shape {tuple(tensor.shape)} is not that of a 1x1 convolution")
        return [tensor[:, :, 0, 0]]

    def back(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return [tensor[:, :, None, None] for tensor in ours]


@dataclass(frozen=True)
class Norm:
    """A BatchNorm's tensors; its count of batches, the only whole number among them, may be stored as () or (1,)."""

    def forward(self, theirs: Sequence[Tensor]) -> list[Tensor]:
        return [tensor if tensor.is_floating_point() else tensor.reshape(()) for tensor in theirs]

    def back(self, ours: Sequence[Tensor]) -> list[Tensor]:
        return list(ours)


def _convolution(theirs: str, norm: str, ours: str) -> tuple[Key, Key]:
    return Key(f"{theirs}.weight", f"{ours}.conv.weight"), Key(f"{norm}.{{w}}", f"{ours}.norm.{{w}}", Norm())


def _pixelwise(theirs: str, ours: str) -> tuple[Key, Key]:
    """A 1x1 convolution with a bias, which is a linear layer here."""
    return Key(f"{theirs}.weight", f"{ours}.weight", Pixelwise()), Key(f"{theirs}.bias", f"{ours}.bias")


def efficientnet_keys(theirs: str = "", ours: str = "") -> tuple[Key, ...]:
    """timm's EfficientNet; `theirs` and `ours` come before every name, with their dot."""
    keys = [*_convolution(f"{theirs}conv_stem", f"{theirs}bn1", f"{ours}stem")]
    for number, stage in enumerate(STAGES):
        block, our_block = f"{theirs}blocks.{number}.{{i}}.", f"{ours}stages.{number}.{{i}}."
        widens = stage.expansion > 1
        if widens:
            keys += _convolution(f"{block}conv_pw", f"{block}bn1", f"{our_block}widen")
        keys += _convolution(f"{block}conv_dw", f"{block}bn{1 + widens}", f"{our_block}look")
        for part in ("reduce", "expand"):
            keys += _pixelwise(f"{block}se.conv_{part}", f"{our_block}squeeze.{part}")
        last = "conv_pwl" if widens else "conv_pw"  # without the first 1x1 convolution the last has its name
        keys += _convolution(f"{block}{last}", f"{block}bn{2 + widens}", f"{our_block}narrow")
    keys += _convolution(f"{theirs}conv_head", f"{theirs}bn2", f"{ours}head")
    return (*keys, Key(f"{theirs}classifier.{{w}}", f"{ours}classifier.{{w}}"))


def _encoder(theirs: str, ours: str) -> tuple[Key, ...]:
    """torch's TransformerEncoder."""
    layer, our_layer = f"{theirs}.layers.{{i}}", f"{ours}.layers.{{i}}"
    return (
        Key(f"{layer}.self_attn.in_proj_{{w}}", f"{our_layer}.attention.qkv.{{w}}"),
        Key(f"{layer}.self_attn.out_proj.{{w}}", f"{our_layer}.attention.output.{{w}}"),
        Key(f"{layer}.linear1.{{w}}", f"{our_layer}.expand.{{w}}"),
        Key(f"{layer}.linear2.{{w}}", f"{our_layer}.reduce.{{w}}"),
        Key(f"{layer}.norm1.{{w}}", f"{our_layer}.norm_attention.{{w}}"),
        Key(f"{layer}.norm2.{{w}}", f"{our_layer}.norm_mlp.{{w}}"),
    )


def _head(theirs: str, ours: str) -> tuple[Key, Key]:
    return Key(f"{theirs}.fc1.{{w}}", f"{ours}.head.0.{{w}}"), Key(f"{theirs}.fc2.{{w}}", f"{ours}.head.2.{{w}}")


def _image_keys(theirs: str) -> tuple[Key, ...]:
    learnable = f"{theirs}.learnable"
    return (
        *efficientnet_keys(f"{theirs}.backbone.", "image.cnn."),
        *_head(f"{learnable}.imgFC", "image"),
        *_encoder(f"{learnable}.imgAtt", "image.encoder"),
        *_pixelwise(f"{learnable}.max_pool.0", "image.region"),  # a convolution, despite its name
    )


def _text_keys(theirs: str) -> tuple[Key, ...]:
    learnable = f"{theirs}.learnable"
    return (
        *bert_keys(f"{theirs}.backbone.bert", "text.bert"),
        Key(f"{theirs}.backbone.bert.pooler.dense.{{w}}", "text.bert.pooler.{w}"),
        *_head(f"{learnable}.textFC", "text"),
        *_encoder(f"{learnable}.textAtt", "text.encoder"),
    )


# "text" is the file of the text tower alone; the other format may hold one tower or both.
KEYS = {
    "original": (*_image_keys("imgencoder"), *_text_keys("textencoder")),
    "text": _text_keys(f"{TEXT_FILE}textencoder"),
}


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


POSITION_IDS = "textencoder.backbone.bert.embeddings.position_ids"  # counting rows that 2021 files carry
_MOMENTUM = (("imgencoder.", "imgencoder_mom."), ("textencoder.", "textencoder_mom."))


def of_twins(name: str) -> str:
    """The name of the momentum copy of a tensor."""
    for own, twin in _MOMENTUM:
        name = name.replace(own, twin, 1)
    return name


DROP = (
    POSITION_IDS,
    TEXT_FILE + POSITION_IDS,
    of_twins(POSITION_IDS),
    *(of_twins(name) for key in KEYS["original"] for name in _several(key.theirs)),  # only training needs the twins
    "img_queue",
    "text_queue",
    "img_queue_ptr",
    "text_queue_ptr",
)


def recognise(names: Iterable[str]) -> str | None:
    """Which of the formats in KEYS a state dict is in, by its names; None if it is not BriVL's."""
    text = "textencoder.learnable.textFC.fc1.weight"
    present = set(names)
    if present & {text, "imgencoder.learnable.imgFC.fc1.weight"}:
        return "original"
    return "text" if TEXT_FILE + text in present else None


def momentum(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The momentum twins of a training checkpoint under the names of the encoders they follow, and nothing else.

    CheckpointError where the file has none.
    """
    twins = {
        name.replace(twin, own, 1): tensor
        for name, tensor in tensors.items()
        for own, twin in _MOMENTUM
        if name.startswith(twin)
    }
    if not twins:
        raise CheckpointError("the file holds no momentum copies (imgencoder_mom., textencoder_mom.): load it without")
    return twins


def one_tower(tensors: Mapping[str, Tensor], tower: str) -> dict[str, Tensor]:
    """The tensors of the "image" or the "text" tower alone, momentum copies left out. CheckpointError for none.

    Names are those of a published file, or tuwen's own.
    """
    starts = ("imgencoder.", "image.") if tower == "image" else ("textencoder.", "text.")
    kept = {name: tensor for name, tensor in tensors.items() if name.removeprefix(TEXT_FILE).startswith(starts)}
    if not kept:
        raise CheckpointError(f"the file holds nothing of the {tower} tower")
    return kept
