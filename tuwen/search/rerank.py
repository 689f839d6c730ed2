"""The second stage of a search: a fusion model orders anew what a two-tower model has found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tuwen.data.inputs import Contents
from tuwen.errors import InputError, UsageError
from tuwen.model import Model
from tuwen.search.gallery import Answer, Hit
from tuwen.tasks.match import match_rows


def rerank(
    model: Model,
    answers: Sequence[Answer],
    depth: int = 100,
    on_error: Callable[[Hit, InputError], None] | None = None,
    report: Callable[[], object] | None = None,
    workers: int = 4,
    batch_tokens: int | None = None,
    state_dtype: str | None = None,
) -> list[Answer]:
    """The first `depth` hits of each query, ordered by the probability that the query describes the picture.

    Every query is encoded once, and every picture once, whichever queries found it; only pictures among these hits
    are opened. Hits keep their cosine in `score` and their former place in `recall_rank`; equally probable ones keep
    their order. A picture that cannot be read is told to on_error(hit, error), once, and comes last, without a
    `match`; None raises instead. report() is called after every picture.

    UnsupportedTask for a model that does not match; UsageError for a query without a text, hits that are texts, or a
    depth below 1.
    """
    model.need("match")
    if depth < 1:
        raise UsageError(f"depth is {depth}: it must be at least 1")
    recalled = [replace(answer, hits=answer.hits[:depth]) for answer in answers]
    for answer in recalled:
        _check(answer)
    places = {text: place for place, text in enumerate(dict.fromkeys(answer.query for answer in recalled))}
    found = {hit.path: hit for answer in recalled for hit in answer.hits}
    paths = list(found)
    asked: dict[str, set[int]] = {path: set() for path in paths}
    for answer in recalled:
        for hit in answer.hits:
            asked[hit.path].add(places[answer.query])

    def wanted(number: int) -> list[int]:
        return sorted(asked[paths[number]])

    scores: dict[str, Tensor] = {}  # picture -> (queries,) log-odds: probabilities near 1 tie where these do not
    rows = match_rows(
        model,
        Contents(paths),
        list(places),
        wanted,
        workers,
        logits=True,
        batch_tokens=batch_tokens,
        state_dtype=state_dtype,
    )
    for number, row in rows if paths else ():
        if not isinstance(row, InputError):
            scores[paths[number]] = row
        elif on_error is None:
            raise row
        else:
            on_error(found[paths[number]], row)
        if report is not None:
            report()
    return [_ordered(answer, scores, places[answer.query]) for answer in recalled]


def _check(answer: Answer) -> None:
    if not answer.query.strip():
        raise UsageError("reranking compares a text with pictures: this query has no text")
    for hit in answer.hits:
        if hit.text:
            raise UsageError(f"reranking compares a text with pictures: the hit {hit.id} is a text")


def _ordered(answer: Answer, scores: dict[str, Tensor], query: int) -> Answer:
    """The hits with their probabilities, likeliest first, those without one last."""
    keyed = []
    for hit in answer.hits:
        score = scores[hit.path][query] if hit.path in scores else None
        match = None if score is None else round(float(torch.sigmoid(score)), 6)
        key = float("inf") if score is None else -float(score)
        keyed.append((key, replace(hit, match=match, recall_rank=hit.rank)))
    keyed.sort(key=lambda pair: pair[0])  # stable: equal ones keep their order
    hits = [replace(hit, rank=rank) for rank, (_, hit) in enumerate(keyed, 1)]
    right = answer.right
    if right is not None:  # places beyond the depth stay as they are
        right = (*(hit.rank for hit in hits if hit.right), *(rank for rank in right if rank > len(hits)))
    return replace(answer, hits=hits, right=right)
