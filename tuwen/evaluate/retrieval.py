"""Retrieval both ways: texts find their pictures, pictures find their texts, however many belong to each."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tuwen.data.dataset import PAIRS, Dataset
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.features import Advance, Features, image_features, text_features
from tuwen.evaluate.original.feature_files import lmdb_order
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.metrics import CUTS, average_precisions, first_ranks, hits, ndcgs
from tuwen.processing.image import ImagePipeline
from tuwen.search.exact import find

if TYPE_CHECKING:
    from tuwen.model import Model

Array = np.ndarray[Any, Any]

SHOWN = 10  # of the best of each query
TEXT_TO_IMAGE, IMAGE_TO_TEXT = "text_to_image", "image_to_text"
DIRECTIONS = (TEXT_TO_IMAGE, IMAGE_TO_TEXT)

OWN, ORIGINAL = "own", "original"
# How the originals' scripts count; "original" is that of the model's family.
CHINESE_CLIP, PADDLENLP, ERNIE, BRIVL, BRIDGETOWER = "chinese-clip", "paddlenlp", "ernie-vil2", "brivl", "bridgetower"
PROTOCOLS = (OWN, CHINESE_CLIP, PADDLENLP, ERNIE, BRIVL, BRIDGETOWER)
BY_FAMILY = (CHINESE_CLIP, ERNIE, BRIVL, BRIDGETOWER)
BY_TEN = (CHINESE_CLIP, PADDLENLP)  # recall from a file of ten predictions for each query


def retrieval(
    model: Model,
    dataset: Dataset,
    protocol: str = OWN,
    cache: Path | None = None,
    batch_size: int = 32,
    on_error: str = "skip",
    advance: Advance | None = None,
) -> Scored:
    """Features of both sides, and what `score` says of them; cache and on_error as of `image_features`."""
    protocol = protocol_of(protocol, model.family)
    image, text = encode(model, dataset, protocol, cache, batch_size, on_error, advance)
    return score(image, text, dataset, protocol)


def protocol_of(protocol: str, family: str) -> str:
    """What "original" means for a family; UsageError for an unknown protocol, or a family that published none."""
    if protocol == ORIGINAL:
        if family not in BY_FAMILY:
            raise UsageError(f"{family} published no retrieval of its own: leave out --protocol, or name one")
        return family
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol is {protocol!r}: it must be one of {', '.join((*PROTOCOLS, ORIGINAL))}")
    return protocol


def encode(
    model: Model,
    dataset: Dataset,
    protocol: str = OWN,
    cache: Path | None = None,
    batch_size: int = 32,
    on_error: str = "skip",
    advance: Advance | None = None,
) -> tuple[Features, Features]:
    """(pictures, texts) of a dataset; advance is told of both. UsageError for one that holds no captions.

    Chinese-CLIP's scripts and PaddleNLP's, on their own models, tokenize texts in lower case with straight quotes, and
    PaddleNLP's take the whole picture, resized to a square: so do their protocols.
    """
    model.need("embed")
    if dataset.kind != PAIRS:
        raise UsageError(f"retrieval needs captions, {dataset.path} holds {dataset.kind}")
    if not len(dataset.pictures) or not len(dataset.texts):
        raise InputError(f"{dataset.path} has {len(dataset.pictures)} pictures and {len(dataset.texts)} texts")
    quotes = "straight" if (protocol, model.family) in ((CHINESE_CLIP, CHINESE_CLIP), (PADDLENLP, ERNIE)) else None
    if (protocol, model.family) == (PADDLENLP, ERNIE):
        model = of_paddlenlp(model)
    image = image_features(model, dataset, cache, batch_size, on_error, advance)
    return image, text_features(model, dataset, cache, quotes, advance)


def of_paddlenlp(model: Model) -> Model:
    """The same model with the picture pipeline of PaddleNLP's example; its texts are never cut."""
    other = copy.copy(model)
    other.__dict__.pop("fingerprint", None)  # kept by the property; preprocessing is part of it
    config: Any = model.towers.config
    pipeline = ImagePipeline.ernie(config.image.image_size, "finetuned")
    other.processor = replace(model.processor, image=pipeline, context_length=config.text.longest)
    return other


def score(image: Features, text: Features, dataset: Dataset, protocol: str = OWN) -> Scored:
    """How well texts find their pictures and pictures their texts among all of the dataset.

    Figures, for each direction: r1, r5, r10 (any right one is among the first k), their mean, the median rank of the
    first right one, the mean of average precisions, NDCG at 10. Equal scores stand in the order of the dataset. Texts
    that name no picture, pictures that no text names, and what could not be read are no queries; they are counted in
    the notes. Without any query left there are no figures, only what was found.

    protocol: how an original's script counts instead. "chinese-clip", "paddlenlp": ten predictions for each query;
    texts that name no picture count as misses; the first also has pictures in the order of its LMDB, which only
    decides between equal scores. "ernie-vil2": every pair is a row, only its own partner is right for it, also where a
    picture or text comes in several, and equal scores favour it. "brivl": such rows, recall at 1 alone.
    "bridgetower": equal captions of one picture count once.
    """
    if protocol in (ERNIE, BRIVL):
        return _pairs(image, text, dataset, protocol)
    sides = _Sides.of(image, text, dataset, protocol)
    queries = {name: sides.table(name) for name in DIRECTIONS}
    made: dict[str, Made] = {}
    for name in DIRECTIONS:
        if len(queries[name]["id"]) and "rank" in queries[name]:
            made |= _made(name, protocol not in BY_TEN)
    if all(f"{name}_r1" in made for name in DIRECTIONS):
        made["mean_recall"] = Made(of=tuple(f"{name}_mean_recall" for name in DIRECTIONS))
    return Scored("retrieval", figures_of(queries, made), queries, made, sides.notes(protocol))


def _made(name: str, all_ranks: bool) -> dict[str, Made]:
    made = {f"{name}_r{k}": Made(name, f"r{k}") for k in CUTS}
    made[f"{name}_mean_recall"] = Made(of=tuple(made))
    if all_ranks:
        made[f"{name}_median_rank"] = Made(name, "rank", "median")
        made[f"{name}_map"] = Made(name, "ap")
        made[f"{name}_ndcg10"] = Made(name, "ndcg10")
    return made


# -- many to many -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sides:
    """Rows of pictures and of texts, and the pairs of rows that belong together.

    misses: rows of texts that count although no row is right for them.
    """

    image: Features
    text: Features
    words: list[str]
    pairs: Array  # (P, 2): text, picture
    misses: Array
    pictures: int
    texts: int

    @classmethod
    def of(cls, image: Features, text: Features, dataset: Dataset, protocol: str) -> _Sides:
        if protocol == CHINESE_CLIP:
            image = _chosen(image, _lmdb_rows(image.ids))
        rows = {image_id: row for row, image_id in enumerate(image.ids)}
        kept: list[int] = []
        words: list[str] = []
        pairs: list[tuple[int, int]] = []
        said: set[tuple[str, tuple[str, ...]]] = set()
        for row, one in _texts(text, dataset):
            if protocol == BRIDGETOWER:
                if (one.text, one.image_ids) in said:
                    continue
                said.add((one.text, one.image_ids))
            pairs += [(len(kept), rows[image_id]) for image_id in dict.fromkeys(one.image_ids) if image_id in rows]
            kept.append(row)
            words.append(one.text)
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        text = _chosen(text, np.array(kept, dtype=np.int64)) if len(kept) < len(text.ids) else text
        nothing = np.setdiff1d(np.arange(len(kept)), table[:, 0])
        # Where nothing at all is labelled there is nothing to miss either.
        misses = nothing if protocol in BY_TEN and len(table) else nothing[:0]
        return cls(image, text, words, table, misses, len(dataset.pictures), len(dataset.texts))

    def table(self, direction: str) -> Table:
        """A row for each query: its id, the text or picture, ids of the best and of the right ones, and its values."""
        by_text = direction == TEXT_TO_IMAGE
        own, other = (self.text, self.image) if by_text else (self.image, self.text)
        owners, rows = (self.pairs[:, 0], self.pairs[:, 1]) if by_text else (self.pairs[:, 1], self.pairs[:, 0])
        asked = np.union1d(owners, self.misses) if by_text else np.unique(owners)
        labelled = len(asked) > 0
        if not labelled:
            asked = np.arange(len(own.ids))
        numbers = np.searchsorted(asked, owners)  # of the query of each pair
        found = find(_tensor(own.vectors[asked]), other.vectors, SHOWN, torch.from_numpy(numbers), torch.tensor(rows))
        table: Table = {"id": [own.ids[row] for row in asked.tolist()]}
        if by_text:
            table["query"] = [self.words[row] for row in asked.tolist()]
        table["found"] = [[other.ids[row] for row in line] for line in found.rows.tolist()]
        table["scores"] = found.scores.tolist()
        if labelled:
            table["right"] = _grouped([other.ids[row] for row in rows.tolist()], numbers, len(asked))
            if by_text:  # of several the first; a text without one is alone
                table["image"] = [
                    right[0] if right else f"text {id_}" for id_, right in zip(table["id"], table["right"], strict=True)
                ]
            table |= _values(found.ranks.numpy(), numbers, len(asked), len(other.ids))
        return table

    def notes(self, protocol: str) -> list[str]:
        """What was left out, and what the original would have said."""
        notes = []
        labelled = len(np.unique(self.pairs[:, 0])), len(np.unique(self.pairs[:, 1]))
        without = len(self.text.ids) - labelled[0]
        if without:
            fate = "misses" if len(self.misses) else "no queries"
            notes.append(f"{without} texts name no picture that could be read: they count as {fate}")
        if len(self.image.ids) > labelled[1]:
            left = len(self.image.ids) - labelled[1]
            notes.append(f"{left} pictures are named by no text: they can be found, but are no queries")
        if self.pictures > len(self.image.ids):
            notes.append(f"{self.pictures - len(self.image.ids)} pictures could not be read: they cannot be found")
        if protocol == BRIDGETOWER and self.texts > len(self.text.ids):
            notes.append(f"{self.texts - len(self.text.ids)} captions are said of the same picture before: left out")
        if protocol in BY_TEN and min(len(self.image.ids), len(self.text.ids)) < SHOWN:
            notes.append(f"the original's script refuses a gallery of fewer than {SHOWN}")
        return notes


def _texts(text: Features, dataset: Dataset) -> Iterator[tuple[int, Any]]:
    """(row, text) of every row of features, in order."""
    rows = {place: row for row, place in enumerate(text.places.tolist())}
    for place, one in enumerate(dataset.texts):
        if place in rows:
            yield rows[place], one


def _values(ranks: Array, owners: Array, queries: int, gallery: int) -> Table:
    """Columns of numbers; a query without a right answer has a rank behind everything."""
    answered = np.unique(owners)
    numbers = np.searchsorted(answered, owners)
    first = first_ranks(ranks, numbers, len(answered))
    rank = np.full(queries, gallery + 1, dtype=np.int64)
    rank[answered] = first
    values: Table = {"rank": rank}
    for name, found in (
        *((f"r{k}", hits(first, k)) for k in CUTS),
        ("ap", average_precisions(ranks, numbers, len(answered))),
        ("ndcg10", ndcgs(ranks, numbers, len(answered), 10)),
    ):
        column = np.zeros(queries)
        column[answered] = found
        values[name] = column
    return values


def _grouped(values: Sequence[str], owners: Array, count: int) -> list[list[str]]:
    groups: list[list[str]] = [[] for _ in range(count)]
    for value, owner in zip(values, owners.tolist(), strict=True):
        groups[owner].append(value)
    return groups


def _lmdb_rows(ids: Sequence[str]) -> Array:
    place = {image_id: row for row, image_id in enumerate(ids)}
    return np.array([place[str(image_id)] for image_id in lmdb_order(ids)], dtype=np.int64)


def _chosen(features: Features, rows: Array) -> Features:
    ids = [features.ids[row] for row in rows.tolist()]
    return Features(ids, features.vectors[rows], features.places[rows], features.failures, features.kept)


def _tensor(vectors: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))


# -- row by row -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Pairs as the rows of both sides: vectors (N, E) of each, and which picture and which text a row is of."""

    image: Array
    text: Array
    image_ids: list[str]
    text_ids: list[str]
    words: list[str]


def rows_of(image: Features, text: Features, dataset: Dataset) -> Rows:
    """Every pair of a text and one of its pictures that could be read, in the order of the texts."""
    place = {image_id: row for row, image_id in enumerate(image.ids)}
    pairs = [
        (place[image_id], row, one)
        for row, one in _texts(text, dataset)
        for image_id in one.image_ids
        if image_id in place
    ]
    if not pairs:
        raise InputError(f"no text of {dataset.path} names a picture that can be read: there are no pairs")
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Rows(
        image.vectors[left],
        text.vectors[right],
        [image.ids[row] for row in left],
        [text.ids[row] for row in right],
        [one.text for _, _, one in pairs],
    )


def _pairs(image: Features, text: Features, dataset: Dataset, protocol: str) -> Scored:
    rows = rows_of(image, text, dataset)
    own = torch.arange(len(rows.image_ids))
    sides = {TEXT_TO_IMAGE: (rows.text, rows.image, rows.text_ids, rows.image_ids)}
    sides[IMAGE_TO_TEXT] = (rows.image, rows.text, rows.image_ids, rows.text_ids)
    queries: dict[str, Table] = {}
    made: dict[str, Made] = {}
    cuts = CUTS if protocol == ERNIE else (1,)
    for name, (asked, gallery, ids, others) in sides.items():
        ties = "for" if protocol == ERNIE else "order"
        found = find(_tensor(asked), gallery, SHOWN, own, own, ties=ties)
        rank = found.ranks.numpy()
        table: Table = {"id": ids, "image": rows.image_ids}
        if name == TEXT_TO_IMAGE:
            table["query"] = rows.words
        table |= {"found": [[others[row] for row in line] for line in found.rows.tolist()]}
        table |= {"scores": found.scores.tolist(), "right": [[other] for other in others], "rank": rank}
        queries[name] = table | {f"r{k}": (rank <= k).astype(np.float64) for k in cuts} | {"mrr": 1 / rank}
        made |= {f"{name}_r{k}": Made(name, f"r{k}") for k in cuts}
        if protocol == ERNIE:
            made[f"{name}_mean_recall"] = Made(of=tuple(f"{name}_r{k}" for k in cuts))
            made[f"{name}_mrr"] = Made(name, "mrr")
    if protocol == ERNIE:
        made["mean_recall"] = Made(of=tuple(f"{name}_mean_recall" for name in DIRECTIONS))
    return Scored("retrieval", figures_of(queries, made), queries, made, _row_notes(rows, protocol))


def _row_notes(rows: Rows, protocol: str) -> list[str]:
    notes = []
    repeated = len(rows.image_ids) - len(set(rows.image_ids))
    if repeated:
        notes.append(
            f"{repeated} of {len(rows.image_ids)} rows repeat a picture: this protocol calls the picture's other texts "
            "wrong; without it pictures are grouped by their ids"
        )
    if protocol == ERNIE and len(rows.image_ids) % 10:
        notes.append(f"the original's script stops at {len(rows.image_ids)} rows: it wants a multiple of 10")
    return notes
