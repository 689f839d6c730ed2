"""Which of BriVL's parameters its pretraining changes."""

from __future__ import annotations

from tuwen import keymap
from tuwen.models.brivl.names import KEYS
from tuwen.models.brivl.towers import BriVL

STAGES = ("blocks.3", "blocks.4", "blocks.5", "blocks.6")  # of the picture network; its stem and last map are frozen


def freeze(module: BriVL) -> None:
    """Gradients for the small transformers and heads, the upper stages of the picture network and the upper layers of
    the BERT; none for the rest, as in the original. Frozen norms still take the statistics of their batch in training.
    """
    layers = range(8, 12) if module.config.text.layers <= 12 else range(20, 24)  # of the base and of the large BERT
    trained = (*STAGES, *(f"layer.{number}." for number in layers))
    for ours, parameter in module.named_parameters():
        theirs = next(iter(keymap.store({ours: parameter.detach()}, KEYS["original"])))
        parameter.requires_grad_(".backbone." not in theirs or any(part in theirs for part in trained))
