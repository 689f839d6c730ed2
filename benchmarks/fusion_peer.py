"""The peers of fusion models, transformers' BridgeTower and DeBERTa, and tuwen with the same random weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers.initialization import no_init_weights

from tuwen import keymap, models
from tuwen.loading import assemble, shapes_of
from tuwen.model import Model
from tuwen.models.bridgetower import KEYS as BRIDGETOWER_KEYS
from tuwen.models.vle import KEYS as VLE_KEYS
from tuwen.models.vle import VARIANTS as VLE_VARIANTS
from tuwen.nn.deberta import Deberta, DebertaConfig, RelativeAttention
from tuwen.processing.byte_bpe import SPECIAL as ROBERTA_SPECIAL
from tuwen.processing.byte_bpe import ByteBPE
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.sentencepiece import CONTROL, NORMAL, SPACE, UNKNOWN, Replacements, SentencePieces
from tuwen.processing.unigram import Unigram
from tuwen.tasks.answer import Answer, best_answers, known_answers
from tuwen.types import Images

Pictures = Sequence[Any]  # arrays (H, W, 3) uint8

# What the published large models set apart from their classes' own default; the base models set nothing.
_LARGE_TOWER: dict[str, Any] = {"hidden_size": 1024, "num_hidden_layers": 24}
LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "text_config": {**_LARGE_TOWER, "num_attention_heads": 16, "intermediate_size": 4096},
    "vision_config": {**_LARGE_TOWER, "patch_size": 14, "image_size": 294},
}
BASE_EDGE, LARGE_EDGE = 288, 294
MIDDLE = {BASE_EDGE: 2.7, LARGE_EDGE: -5.7}  # what these random weights prefer a match by
ANSWERS = 3129  # of VQA
TOP = 5  # answers that are asked for


def fill(tensors: Iterable[tuple[str, Tensor]], seed: int, spread: float = 0.03) -> None:
    """Random values in place: norms around 1, biases around 0, so that a misplaced tensor shows; the rest `spread`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in tensors:
            plain = tensor.ndim > 1
            tensor.normal_(0, spread if plain else 0.02, generator=generator)
            if not plain and name.endswith("weight"):
                tensor.add_(1)


# -- BridgeTower -----------------------------------------------------------------------------------------------------


class Matching:
    """`BridgeTowerForImageAndTextRetrieval` and tuwen's model of the same weights, of a published size."""

    def __init__(self, edge: int) -> None:
        """edge: of a picture in pixels, BASE_EDGE or LARGE_EDGE; it tells which model."""
        settings = transformers.BridgeTowerConfig(**(LARGE if edge == LARGE_EDGE else {}))
        with no_init_weights():
            self.peer: Any = transformers.BridgeTowerForImageAndTextRetrieval(settings).eval()
        fill(self.peer.named_parameters(), seed=0)
        with torch.no_grad():  # scores spread around the middle, where they move most
            self.peer.itm_score.fc.weight.mul_(2)
            self.peer.itm_score.fc.bias.copy_(torch.tensor([MIDDLE[edge], 0.0]))
        self.model = bridgetower(settings.to_dict(), self.peer.state_dict(), edge)

    def prepared(self, pictures: Pictures, texts: Sequence[str]) -> tuple[Images, list[Tensor]]:
        """What the peer's processor would give: pixels of all pictures, ids (1, T) of each text."""
        processor = self.model.processor
        return processor.images(pictures), [torch.tensor([ids]) for ids in processor.ids(texts)]

    def peer_scores(self, pixels: Tensor, texts: Sequence[Tensor]) -> Tensor:
        """pixels (3, H, W) of one picture, ids (1, T) of M texts -> probabilities (1, M): a forward for each pair."""
        rows = []
        with torch.no_grad():
            for ids in texts:
                inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
                mask = torch.ones(1, *pixels.shape[1:], dtype=torch.long)
                output = self.peer(**inputs, pixel_values=pixels[None], pixel_mask=mask)
                rows.append(output.logits.softmax(-1)[:, 1])
        return torch.stack(rows, dim=1)


def bridgetower(settings: Mapping[str, Any], tensors: Mapping[str, Tensor], edge: int) -> Model:
    """tuwen's model of tensors in transformers' format, which it shares, with a tokenizer of single letters."""
    family = models.family("bridgetower")
    sizes = family.read_sizes("transformers", settings, shapes_of(tensors), {}, None)
    ours, _ = keymap.load(tensors, BRIDGETOWER_KEYS["transformers"], family.DROP)
    processor = family.processor("transformers", sizes, letters_bpe(), {"size": edge})
    return Model("bridgetower", assemble(family, sizes, ours, "the peer"), processor, languages=("en",), device="cpu")


def letters_bpe() -> ByteBPE:
    """RoBERTa's special tokens, the 256 bytes, and every small letter after a space."""
    spaced = [f"Ġ {chr(letter)}" for letter in range(ord("a"), ord("z") + 1)]
    special = list(ROBERTA_SPECIAL)
    names = [*special, *sorted(ByteLevel.alphabet()), *(pair.replace(" ", "") for pair in spaced)]
    vocabulary = {name: number for number, name in enumerate(names)}
    return ByteBPE(
        {
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "BPE", "vocab": vocabulary, "merges": spaced},
        }
    )


# -- VLE -------------------------------------------------------------------------------------------------------------


class Answering:
    """VLE-base with its head for VQA, and the forward that knows nothing of states kept: its peer."""

    def __init__(self, edge: int) -> None:
        sizes = VLE_VARIANTS["base-vqa"]
        answers = tuple(f"answer {number}" for number in range(ANSWERS))
        sizes = replace(sizes, image=replace(sizes.image, image_size=edge), answers=answers)
        family = models.family("vle")
        with torch.device("meta"):
            wanted = family.build(sizes).state_dict()
        tensors = {name: torch.empty_like(tensor, device="cpu") for name, tensor in wanted.items()}
        fill(tensors.items(), seed=1)
        tensors["heads.answer.3.weight"].mul_(3)  # spreads the scores
        processor = family.processor("transformers", sizes, letters_unigram(), None)
        module = assemble(family, sizes, tensors, "random weights")
        self.model = Model("vle", module, processor, languages=("en",), device="cpu")

    def uncached(self, pixels: Tensor, questions: Sequence[str]) -> list[list[Answer]]:
        """pixels (B, 3, H, W), a picture for each question -> what `Model.answer` gives: both towers for every pair."""
        texts = self.model.processor.texts(questions)
        with torch.no_grad():
            fused = self.model.module(Images(pixels), texts, "first")
            logits = self.model.fusing.heads["answer"](fused.pooled)
        return best_answers(logits, known_answers(self.model), TOP)


def as_rows(answers: Iterable[list[Answer]]) -> Tensor:
    """Answers of N questions, best first -> (N, 2 * top_k): their numbers, then their probabilities."""
    return torch.tensor(
        [
            [*(float(answer.text.split()[1]) for answer in row), *(answer.probability for answer in row)]
            for row in answers
        ]
    )


def letters_unigram() -> Unigram:
    """DeBERTa's special tokens, and every small letter after a space."""
    special = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    pieces = (*special, *(f"{SPACE}{chr(letter)}" for letter in range(ord("a"), ord("z") + 1)))
    kinds = (CONTROL, CONTROL, CONTROL, UNKNOWN, *[NORMAL] * (len(pieces) - len(special)))
    return Unigram(SentencePieces(pieces, tuple([0.0] * 4 + [-5.0] * 26), kinds, Replacements()))


# -- DeBERTa ---------------------------------------------------------------------------------------------------------


class Encoding:
    """`DebertaV2Model` of the sizes of DeBERTa-v3-base, VLE-base's text tower, and tuwen's of the same weights."""

    def __init__(self) -> None:
        sizes = VLE_VARIANTS["base"].text
        with no_init_weights():
            self.peer: Any = transformers.DebertaV2Model(deberta_settings(sizes)).eval()
        fill(self.peer.named_parameters(), seed=2, spread=0.02)
        prefix = "text_model."
        keys = [key for key in VLE_KEYS["transformers-bare"] if isinstance(key.ours, str)]
        theirs = {f"{prefix}{name}": tensor for name, tensor in self.peer.state_dict().items()}
        ours, _ = keymap.load(theirs, [key for key in keys if str(key.ours).startswith("text.")])
        self.ours = Deberta(sizes).eval()
        self.ours.load_state_dict({name.removeprefix("text."): tensor for name, tensor in ours.items()})
        self.processor = Processor(letters_unigram(), ImagePipeline(None), None)  # of which texts alone are used

    def padded(self, texts: Sequence[str], length: int | None) -> dict[str, Tensor]:
        """The peer's inputs, padded to `length` ids, or to the longest."""
        rows = self.processor.ids(texts)
        width = length or max(map(len, rows))
        ids = torch.tensor([row + [self.processor.tokenizer.pad_id] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": mask}

    def peer_states(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """-> states of the real tokens alone, (N, D), text after text: what padding becomes, nobody reads."""
        with torch.no_grad():
            states: Tensor = self.peer(**inputs).last_hidden_state
        return states[inputs["attention_mask"].bool()]

    def states(self, texts: Sequence[str], kept: bool = True) -> Tensor:
        """The same from texts, packed. kept: whether the projections of the table of distances may come from before."""
        if not kept:
            for part in self.ours.modules():
                if isinstance(part, RelativeAttention):
                    part._places = None
        rows = self.processor.ids(texts)
        packed, order = self.processor.packed(rows)
        with torch.no_grad():
            pieces = self.ours(packed).split([len(rows[place]) for place in order])
        back = sorted(range(len(order)), key=order.__getitem__)
        return torch.cat([pieces[place] for place in back])


def deberta_settings(sizes: DebertaConfig) -> Any:
    """transformers' configuration of a DeBERTa-v3 of these sizes."""
    settings: dict[str, Any] = {
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.hidden,
        "position_buckets": sizes.buckets,
        "relative_attention": True,
        "max_relative_positions": -1,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
        "layer_norm_eps": sizes.eps,
    }
    return transformers.DebertaV2Config(**settings)
