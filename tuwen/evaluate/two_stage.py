"""Search in two stages: two towers find candidates, a fusion model orders the best `depth` of them anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tuwen.data.dataset import PAIRS, Dataset
from tuwen.errors import InputError, UsageError
from tuwen.evaluate.features import image_features, text_features
from tuwen.evaluate.pictures import OnError, Pictures, is_empty, told
from tuwen.evaluate.scored import Made, Scored, Table, figures_of
from tuwen.evaluate.search_cost import measure, said
from tuwen.metrics import first_ranks, places
from tuwen.search.exact import find
from tuwen.tasks.fusion import fused_pairs

if TYPE_CHECKING:
    from tuwen.model import Model

Numbers = np.ndarray[Any, Any]

DEPTHS = (0, 16, 32, 64, 128)
KS = (1, 5, 10)
TEXT_TO_IMAGE, IMAGE_TO_TEXT = "text_to_image", "image_to_text"
LEFT_OUT = -100.0  # the original's score of a pair outside both shortlists
ORIGINAL_DEPTHS = {"flickr30k": 128, "coco": 256}  # its k_test
TIMED = 8  # pictures that the cost is measured on, and
TIMED_TEXTS = 3


@dataclass(frozen=True)
class Sides:
    """Features of both sides of a dataset, unit length, and which belong together.

    image_ids: of the pictures that could be read, N; texts: numbers of the texts that have one of them, M;
    image (N, E), text (M, E); right_images: for each text the places of its pictures; right_texts: the other way.
    """

    dataset: Dataset
    image_ids: list[str]
    texts: list[int]
    image: Tensor
    text: Tensor
    right_images: list[list[int]]
    right_texts: list[list[int]]
    notes: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        """The texts themselves."""
        return [self.dataset.texts[number].text for number in self.texts]


def encode(
    model: Model,
    dataset: Dataset,
    batch_size: int = 32,
    cache: Path | None = None,
    on_error: OnError | None = None,
) -> Sides:
    """The first stage's features; cache: see `image_features`.

    on_error is told of pictures that cannot be read and of empty texts, None raises; texts without a picture are left
    out. UsageError for a dataset without captions.
    """
    model.need("embed")
    if dataset.kind != PAIRS:
        raise UsageError(f"retrieval needs captions, {dataset.path} holds {dataset.kind}")
    found = image_features(model, dataset, cache, batch_size, "fail" if on_error is None else "skip")
    for failure in found.failures:
        told(on_error, failure.id, InputError(failure.reason))
    place = {image_id: number for number, image_id in enumerate(found.ids)}
    texts: list[int] = []
    right_images: list[list[int]] = []
    right_texts: list[list[int]] = [[] for _ in place]
    for number, text in enumerate(dataset.texts):
        right = [place[image_id] for image_id in dict.fromkeys(text.image_ids) if image_id in place]
        if right and not is_empty(text, on_error):
            for one in right:
                right_texts[one].append(len(texts))
            texts.append(number)
            right_images.append(right)
    if not texts:
        raise InputError(f"no text of {dataset.path} names a picture that can be read")
    left = len(dataset.texts) - len(texts)
    notes = [f"{left} texts are empty or name no picture that can be read: they are left out"] if left else []
    image = torch.from_numpy(np.array(found.vectors))
    words = torch.from_numpy(text_features(model, dataset, cache).vectors[texts])
    return Sides(dataset, found.ids, texts, image, words, right_images, right_texts, notes)


# -- the sweep --------------------------------------------------------------------------------------------------------


def two_stage(
    recalling: Model,
    ranking: Model,
    dataset: Dataset,
    depths: Sequence[int] = DEPTHS,
    directions: Sequence[str] = (TEXT_TO_IMAGE, IMAGE_TO_TEXT),
    batch_size: int = 32,
    cache: Path | None = None,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Scored:
    """Retrieval at several depths: the first stage alone at depth 0, and the better order of its first `depth` hits.

    Every picture meets once all texts that are wanted at the greatest depth; smaller depths are parts of that. Hits
    are ordered by the match head's log-odds, equal ones by the first stage. advance: told how many more pictures are
    done. Errors and on_error as of `encode`.

    Figures, for each direction: r1, r5, r10 (a right one is among the first k), mean_recall, median_rank (of the first
    right one), at the greatest depth, and as NAME@DEPTH at each. Tables: a row for each query with its rank@DEPTH, and
    "depths", a row for each depth with milliseconds of one search (`kept`: with states of the pictures computed before)
    beside the figures, for a plot.
    """
    ranking.need("match")
    depths = sorted(set(depths))
    if not depths or depths[0] < 0:
        raise UsageError(f"depths are {list(depths)}: expected whole numbers from 0")
    unknown = [name for name in directions if name not in (TEXT_TO_IMAGE, IMAGE_TO_TEXT)]
    if unknown or not directions:
        raise UsageError(f"directions are {list(directions)}: expected {TEXT_TO_IMAGE}, {IMAGE_TO_TEXT} or both")
    sides = encode(recalling, dataset, batch_size, cache, on_error)
    searches = {name: _Search(sides, name, depths[-1]) for name in directions}
    if depths[-1]:
        _rank(ranking, sides, list(searches.values()), on_error, advance)
    shown = [dataset.pictures[image_id] for image_id in sides.image_ids[:TIMED]]
    cost = measure(recalling, ranking, shown, sides.words()[:TIMED_TEXTS], sides.image)
    queries: dict[str, Table] = {name: search.table(depths) for name, search in searches.items()}
    made: dict[str, Made] = {}
    for depth in [None, *depths]:
        at = "" if depth is None else f"@{depth}"
        of = depths[-1] if depth is None else depth
        for name in directions:
            made |= {f"{name}_r{k}{at}": Made(name, f"r{k}@{of}") for k in KS}
            made[f"{name}_mean_recall{at}"] = Made(of=tuple(f"{name}_r{k}{at}" for k in KS))
            made[f"{name}_median_rank{at}"] = Made(name, f"rank@{of}", "median")
        made[f"mean_recall{at}"] = Made(of=tuple(f"{name}_mean_recall{at}" for name in directions))
    figures = figures_of(queries, made)
    queries["depths"] = {
        "id": [str(depth) for depth in depths],
        "depth": np.array(depths),
        "milliseconds": np.array([cost.of(depth) for depth in depths]),
        "milliseconds_kept": np.array([cost.of(depth, kept=True) for depth in depths]),
        **{
            f"{name}_{what}": np.array([figures[f"{name}_{what}@{depth}"] for depth in depths])
            for name in directions
            for what in ("r1", "r5", "r10", "mean_recall")
        },
    }
    return Scored("two_stage", figures, queries, made, [*sides.notes, said(cost)])


class _Search:
    """One direction: each query's `depth` best of the first stage, and what the second stage says of them."""

    def __init__(self, sides: Sides, direction: str, depth: int) -> None:
        self.sides = sides
        by_text = direction == TEXT_TO_IMAGE
        self.queries, self.gallery = (sides.text, sides.image) if by_text else (sides.image, sides.text)
        self.right = sides.right_images if by_text else sides.right_texts
        self.by_text = by_text
        self.asked = [number for number, right in enumerate(self.right) if right]  # a picture may have no text
        owners, answers = np.array([(query, one) for query in self.asked for one in self.right[query]]).T
        found = find(self.queries, self.gallery, max(1, depth), torch.from_numpy(owners), torch.from_numpy(answers))
        self.first = np.zeros(len(self.right), dtype=np.int64)  # (Q,), 0 without a right answer
        numbers = np.searchsorted(self.asked, owners)
        self.first[self.asked] = first_ranks(found.ranks.numpy(), numbers, len(self.asked))
        self.rows: Numbers = found.rows[:, :depth].numpy()  # (Q, depth)
        self.scores = np.full(self.rows.shape, -np.inf, dtype=np.float32)

    def pairs(self) -> Numbers:
        """(queries * depth, 3): picture, text, and the place in `scores` of every pair."""
        queries = np.repeat(np.arange(len(self.rows)), self.rows.shape[1])
        found = self.rows.ravel()
        sides = (found, queries) if self.by_text else (queries, found)
        return np.stack([*sides, np.arange(found.size)], axis=1)

    def ranks(self, depth: int) -> Numbers:
        """(Q,) from 1: of each query's first right answer when `depth` hits are ordered anew."""
        ranks = self.first.copy()
        order = np.argsort(-self.scores[:, :depth], axis=1, kind="stable")
        placed = np.take_along_axis(self.rows[:, :depth], order, axis=1)
        for query in self.asked:
            places = np.flatnonzero(np.isin(placed[query], self.right[query]))
            if len(places):
                ranks[query] = places[0] + 1
        return ranks

    def table(self, depths: Sequence[int]) -> Table:
        """id, query, and for each depth rank, r1, r5 and r10."""
        table = _queries(self.sides, self.by_text, self.asked)
        for depth in depths:
            ranks = self.ranks(depth)[self.asked]
            table[f"rank@{depth}"] = ranks
            table |= {f"r{k}@{depth}": (ranks <= k).astype(np.float64) for k in KS}
        return table


def _queries(sides: Sides, by_text: bool, asked: Sequence[int]) -> Table:
    """What is asked: id, and of texts query and image, the first right one."""
    if not by_text:
        return {"id": [sides.image_ids[query] for query in asked]}
    texts = [sides.dataset.texts[sides.texts[query]] for query in asked]
    table: Table = {"id": [text.id for text in texts], "query": [text.text for text in texts]}
    return table | {"image": [sides.image_ids[sides.right_images[query][0]] for query in asked]}


def _rank(
    model: Model,
    sides: Sides,
    searches: Sequence[_Search],
    on_error: OnError | None,
    advance: Callable[[int], object] | None,
) -> None:
    """Scores of all that the searches found, each pair once; a picture that cannot be read keeps -inf."""
    pairs = [search.pairs() for search in searches]
    wanted = _by_picture(np.concatenate([found[:, :2] for found in pairs]), len(sides.image_ids))
    logits = matched(model, sides, wanted, on_error, advance)
    for search, found in zip(searches, pairs, strict=True):
        for image, text, place in found.tolist():
            if image in logits:
                search.scores.flat[place] = logits[image][text]


def _by_picture(pairs: Numbers, count: int) -> list[list[int]]:
    """(P, 2) of picture and text -> for each picture its texts, each once, upwards."""
    wanted: list[list[int]] = [[] for _ in range(count)]
    for image, text in np.unique(pairs, axis=0).tolist():
        wanted[image].append(text)
    return wanted


def matched(
    model: Model,
    sides: Sides,
    wanted: Sequence[Sequence[int]],
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
    raw: bool = False,
) -> dict[int, dict[int, float]]:
    """place of a picture -> place of a text -> log-odds that they match; raw: the score of "match" alone instead.

    Pictures without wanted texts are not opened.
    """
    places = [place for place, texts in enumerate(wanted) if texts]
    pictures = Pictures(sides.dataset.pictures, [sides.image_ids[place] for place in places])
    head = model.fusing.heads["match"]
    found: dict[int, dict[int, float]] = {}
    for number, blocks in fused_pairs(model, pictures, sides.words(), lambda one: wanted[places[one]]):
        if isinstance(blocks, InputError):
            told(on_error, pictures.ids[number], blocks)
            continue
        own = found.setdefault(places[number], {})
        with torch.no_grad():
            for texts, fused in blocks:
                scores = head(fused.pooled).float()  # (n, 2)
                chosen = scores[:, 1] if raw else scores[:, 1] - scores[:, 0]
                own.update(zip(texts, chosen.tolist(), strict=True))
        if advance is not None:
            advance(1)
    return found


# -- the original's way -----------------------------------------------------------------------------------------------


def original(
    recalling: Model,
    ranking: Model,
    dataset: Dataset,
    depth: int = 128,
    batch_size: int = 32,
    cache: Path | None = None,
    on_error: OnError | None = None,
    advance: Callable[[int], object] | None = None,
) -> Scored:
    """BridgeTower's evaluation of retrieval, its contrastive head finding candidates for its matching head.

    Each picture's `depth` best texts and each text's `depth` best pictures are scored with the logit of "match" itself;
    every other pair scores -100; of both tables the larger score counts, so that a text's shortlist serves pictures,
    too. Equal scores stand in the order of the dataset. Figures as of `two_stage`.
    """
    ranking.need("match")
    if depth < 1:
        raise UsageError(f"depth is {depth}: it must be at least 1")
    sides = encode(recalling, dataset, batch_size, cache, on_error)
    searches = [_Search(sides, name, depth) for name in (IMAGE_TO_TEXT, TEXT_TO_IMAGE)]
    wanted = _by_picture(np.concatenate([search.pairs()[:, :2] for search in searches]), len(sides.image_ids))
    logits = matched(ranking, sides, wanted, on_error, advance, raw=True)
    queries: dict[str, Table] = {}
    made: dict[str, Made] = {}
    for name in (TEXT_TO_IMAGE, IMAGE_TO_TEXT):
        ranks = _original_ranks(sides, logits, name)
        asked = [number for number, rank in enumerate(ranks) if rank]
        queries[name] = _queries(sides, name == TEXT_TO_IMAGE, asked) | {"rank": ranks[asked]}
        queries[name] |= {f"r{k}": (ranks[asked] <= k).astype(np.float64) for k in KS}
        made |= {f"{name}_r{k}": Made(name, f"r{k}") for k in KS}
        made[f"{name}_mean_recall"] = Made(of=tuple(f"{name}_r{k}" for k in KS))
        made[f"{name}_median_rank"] = Made(name, "rank", "median")
    made["mean_recall"] = Made(of=(f"{TEXT_TO_IMAGE}_mean_recall", f"{IMAGE_TO_TEXT}_mean_recall"))
    return Scored("two_stage", figures_of(queries, made), queries, made, sides.notes)


def _original_ranks(sides: Sides, logits: dict[int, dict[int, float]], direction: str) -> Numbers:
    """Places from 1 in the lines, or the columns, of the table of all pairs; 0 for what has no right answer."""
    by_text = direction == TEXT_TO_IMAGE
    right = sides.right_images if by_text else sides.right_texts
    width = len(sides.image_ids) if by_text else len(sides.texts)
    scored: list[dict[int, float]] = [{} for _ in right]
    for image, of_texts in logits.items():
        for text, value in of_texts.items():
            query, answer = (text, image) if by_text else (image, text)
            scored[query][answer] = max(value, LEFT_OUT)
    ranks = np.zeros(len(right), dtype=np.int64)
    for query, answers in enumerate(right):
        if answers:
            line, relevant = np.full((1, width), LEFT_OUT), np.zeros((1, width), dtype=bool)
            line[0, list(scored[query])] = list(scored[query].values())
            relevant[0, answers] = True
            ranks[query] = places(line, relevant)[0].min()
    return ranks
