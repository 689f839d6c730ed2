"""The peer of ERNIE-ViL 2.0, transformers' CLIP picture tower and ERNIE, and tuwen with the same random weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.initialization import no_init_weights

from benchmarks.fusion_peer import fill
from benchmarks.material import vocabulary
from tuwen import keymap, models
from tuwen.loading import assemble
from tuwen.model import Model
from tuwen.models.ernie_vil2 import VARIANTS
from tuwen.models.towers import bert_keys, transformers_clip_keys
from tuwen.nn.heads import unit
from tuwen.processing.wordpiece import WordPiece
from tuwen.types import Images, Texts

SIZES = VARIANTS["base"]
PADDED = 48  # ids, to which the original's configuration pads
AT_ONCE = 10  # rows in a batch of the original's configuration
SEGMENTS = "embeddings.token_type_embeddings.weight"  # transformers cannot do without a table that this model has not


class Towers:
    """Both towers, on both sides."""

    def __init__(self, seed: int = 5) -> None:
        with no_init_weights():
            self.image: Any = transformers.CLIPVisionModel(image_settings()).eval()
            self.text: Any = transformers.ErnieModel(text_settings()).eval()
        fill(self.image.named_parameters(), seed)
        fill(self.text.named_parameters(), seed + 1)
        text = self.text.state_dict()
        text[SEGMENTS].zero_()
        theirs = {f"image.{name}": tensor for name, tensor in self.image.state_dict().items()}
        theirs |= {f"text.{name}": tensor for name, tensor in text.items() if name != SEGMENTS}
        pooler = keymap.Key("text.pooler.dense.{w}", "text.pooler.{w}")
        ours, _ = keymap.load(theirs, (*transformers_clip_keys("image"), *bert_keys("text"), pooler))
        ours["log_scale"] = torch.tensor(2.65926)
        family = models.family("ernie-vil2")
        processor = family.processor("research", SIZES, WordPiece(vocabulary(), "ernie"), None)
        self.model = Model("ernie-vil2", assemble(family, SIZES, ours, "the peer"), processor, device="cpu")

    def padded(self, texts: Sequence[str]) -> Texts:
        """As the original's reader gives them, each of 48 ids."""
        return self.model.processor.texts(texts, PADDED)

    def peer_texts(self, texts: Texts) -> Tensor:
        """-> (B, E), unit length, a batch of the original's size at a time."""
        with torch.no_grad():
            parts = zip(texts.ids.split(AT_ONCE), texts.mask.split(AT_ONCE), strict=True)
            outputs = [self.text(ids, attention_mask=mask.long()).pooler_output for ids, mask in parts]
        return unit(torch.cat(outputs))

    def peer_pictures(self, pixels: Tensor) -> Tensor:
        """pixels (B, 3, 224, 224) -> (B, E), unit length."""
        with torch.no_grad():
            return unit(self.image(pixel_values=pixels).pooler_output)

    def pictures(self, pixels: Tensor) -> Tensor:
        """The same of ours."""
        with torch.no_grad():
            return unit(self.model.towers.encode_image(Images(pixels)))


def image_settings() -> Any:
    """transformers' configuration of the picture tower, which is CLIP's with another epsilon."""
    sizes = SIZES.image
    return transformers.CLIPVisionConfig(
        image_size=sizes.image_size,
        patch_size=sizes.patch_size,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.width,
        hidden_act=sizes.activation,
        layer_norm_eps=sizes.eps,
    )


def text_settings() -> Any:
    """transformers' configuration of the text tower."""
    sizes = SIZES.text
    return transformers.ErnieConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.hidden,
        max_position_embeddings=sizes.positions,
        hidden_act=sizes.activation,
        layer_norm_eps=sizes.eps,
    )
