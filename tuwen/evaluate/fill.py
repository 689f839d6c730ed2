"""Masked words: which tokens of captions does a model restore from the picture and from what is left?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from tuwen.data.dataset import PAIRS, Dataset
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.pictures import OnError, Pictures, chunks_by_picture, told
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.tasks.fusion import fuse
from tuwen.tasks.sides import image_states, state_of_ids

if TYPE_CHECKING:
    from tuwen.model import Model

AT_ONCE = 256  # captions of one round
SHARE = 0.15  # of the tokens that are masked, as in pre-training
SHOWN = 5  # accuracy_top5


@dataclass(frozen=True)
class Masked:
    """A caption as ids, some of them replaced by the mask; places: where, upwards; wanted: what stood there."""

    ids: list[int]
    places: list[int]
    wanted: list[int]


def fill(
    model: Model,
    dataset: Dataset,
    seed: int = 0,
    share: float = SHARE,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Scored:
    """How many masked tokens of captions a model restores, each caption with each of its pictures.

    share: of a caption's tokens that are masked, one at least; always by the mask itself, unlike in training. Which
    ones depends on the seed and the id of the caption alone, so that models with one tokenizer are asked the same.
    on_error is told of pictures that cannot be read, None raises; advance: how many more captions are done.
    UsageError for a dataset without captions.

    accuracy: share of the tokens that are the best guess; accuracy_top5: that are among the five best. words: a row for
    each masked token with id, image, masked (the caption), word, predicted, probability (of the word), accuracy, top5.
    """
    model.need("fill")
    if dataset.kind != PAIRS:
        raise UsageError(f"masked words need captions, {dataset.path} holds {dataset.kind}")
    if not 0 < share <= 1:
        raise UsageError(f"share is {share}: it must be above 0 and at most 1")
    rows: list[tuple[Any, ...]] = []
    for chunk in chunks_by_picture(dataset, AT_ONCE, on_error):
        rows += _chunk(model, dataset, chunk, seed, share, on_error, advance)
    notes = []
    if not rows:
        raise InputError(f"no caption of {dataset.path} could be used: each needs a picture and a word")
    names = ("id", "image", "masked", "word", "predicted", "probability", "accuracy", "top5")
    words: Table = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    for name in names[5:]:
        words[name] = np.array(words[name], dtype=np.float64)
    without = sum(not text.image_ids for text in dataset.texts)
    if without:
        notes.append(f"{without} captions name no picture and are left out")
    made = {"accuracy": Made("words", "accuracy"), "accuracy_top5": Made("words", "top5")}
    return Scored("fill", figures_of({"words": words}, made), {"words": words}, made, notes)


def masked(ids: Sequence[int], mask_id: int, keep: set[int], key: str, share: float = SHARE) -> Masked:
    """ids with a share of them, one at least, replaced; keep: ids that are never masked; key: what the choice hangs on.

    Without anything to mask `places` is empty.
    """
    open_places = [place for place, number in enumerate(ids) if number not in keep]
    count = min(len(open_places), max(1, round(share * len(open_places))))
    places = sorted(random.Random(key).sample(open_places, count))
    changed = list(ids)
    for place in places:
        changed[place] = mask_id
    return Masked(changed, places, [ids[place] for place in places])


def written(text: str, entry: str, number: int) -> str:
    """A token for people. text: what it decodes to alone; entry: of the vocabulary, number: its id.

    A space is shown as ␣; part of a letter as its entry; what has none as its number.
    """
    shown = text.strip()
    if shown and "\N{REPLACEMENT CHARACTER}" not in shown:
        return shown
    if not entry:
        return f"#{number}"
    return entry if shown else "␣"


def _chunk(
    model: Model,
    dataset: Dataset,
    chunk: dict[str, list[int]],
    seed: int,
    share: float,
    on_error: OnError | None,
    advance: Callable[[int], object] | None,
) -> Iterator[tuple[Any, ...]]:
    tokenizer = model.processor.tokenizer
    numbers = list(dict.fromkeys(number for of_one in chunk.values() for number in of_one))
    texts = [dataset.texts[number] for number in numbers]
    special = {
        tokenizer.pad_id,
        tokenizer.start_id,
        tokenizer.end_id,
        tokenizer.unknown_id,
        cast(int, tokenizer.mask_id),
    }
    captions = [
        masked(ids, cast(int, tokenizer.mask_id), special, f"{seed}/{text.id}", share)
        for ids, text in zip(model.processor.ids([text.text for text in texts]), texts, strict=True)
    ]
    place_of = {number: place for place, number in enumerate(numbers)}
    entries = tokenizer.entries()
    outside = {tokenizer.pad_id, tokenizer.start_id, tokenizer.end_id}  # which no person wrote
    state = state_of_ids(model, [caption.ids for caption in captions])
    ids = list(chunk)
    for picture, seen in image_states(model, Pictures(dataset.pictures, ids)):
        asked = [place for number in chunk[ids[picture]] if captions[place := place_of[number]].places]
        if advance is not None:
            advance(len(chunk[ids[picture]]))
        if isinstance(seen, InputError):
            told(on_error, ids[picture], seen)
            continue
        if asked:
            fused = cast(Tensor, fuse(model, seen, state[asked], last="text").text)  # (n, T, D)
            for place, states in zip(asked, fused, strict=True):
                name = texts[place].id
                shown = tokenizer.decode([number for number in captions[place].ids if number not in outside]).strip()
                for guess in _guesses(model, states, captions[place], entries):
                    yield name, ids[picture], shown, *guess


@torch.no_grad()
def _guesses(
    model: Model, states: Tensor, caption: Masked, entries: Sequence[str]
) -> Iterator[tuple[str, str, float, bool, bool]]:
    """states (T, D) -> for each masked place: word, best guess, probability of the word, whether it is among the best
    one and the best five."""
    tokenizer = model.processor.tokenizer
    logits = model.fusing.words(states[caption.places])  # (places, V); rows that no token has are never the best guess
    chances = logits.float().softmax(-1)[:, : tokenizer.vocabulary_size].cpu()
    best = chances.topk(min(SHOWN, chances.shape[1]), dim=-1).indices.tolist()
    for line, order, word in zip(chances, best, caption.wanted, strict=True):
        said = [written(tokenizer.decode([number]), entries[number], number) for number in (word, order[0])]
        yield said[0], said[1], float(line[word]), order[0] == word, word in order
