"""Search an embedded folder: features in, pictures or texts with ranks and scores out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tuwen.data.embedded import Embedded, Part
from tuwen.data.folder import PictureFile, TextLine
from tuwen.errors import InputError, UsageError
from tuwen.search.exact import top_k


@dataclass(frozen=True)
class Hit:
    """One result. rank from 1; score: cosine; path: the picture, or the file a text comes from, of a picture inside a
    table "TABLE#PLACE"; text: if it is one; right: whether it is what was asked for, None where nobody knows.

    Of a reranked result, match: probability that the query describes the picture, None where it could not be read;
    recall_rank: where it stood before.
    """

    rank: int
    score: float
    id: str
    path: str
    text: str = ""
    right: bool | None = None
    match: float | None = None
    recall_rank: int | None = None

    @property
    def moved(self) -> str:
        """How reranking moved it: "↑5", "↓2", "=" for not at all, empty where nothing was reranked."""
        if self.recall_rank is None:
            return ""
        up = self.recall_rank - self.rank
        return f"↑{up}" if up > 0 else f"↓{-up}" if up else "="


@dataclass(frozen=True)
class Answer:
    """The hits of one query, best first.

    image: path of the picture that was searched with, if one was; right: the ranks of all right pictures, also of those
    beyond the hits, None where nobody knows.
    """

    query: str
    hits: list[Hit]
    image: str = ""
    right: tuple[int, ...] | None = None

    @property
    def reranked(self) -> bool:
        """Whether a second model has ordered the hits."""
        return any(hit.recall_rank is not None for hit in self.hits)


def nearest(embedded: Embedded, features: Tensor, k: int, what: str = "image") -> list[list[Hit]]:
    """For each line of features (Q, E), unit length, the k nearest pictures (what="image") or texts (what="text").

    InputError if the folder holds none of them.
    """
    part = part_of(embedded, what)
    scores, rows = top_k(features, part.features, k)
    return [
        [_hit(rank, score, part.rows[row]) for rank, (score, row) in enumerate(zip(*line, strict=True), 1)]
        for line in zip(scores.tolist(), rows.tolist(), strict=True)
    ]


def part_of(embedded: Embedded, what: str) -> Part[PictureFile] | Part[TextLine]:
    """The pictures or the texts of a folder; InputError if it has none."""
    if what not in ("image", "text"):
        raise UsageError(f"what is {what!r}: it must be image or text")
    part = embedded.images if what == "image" else embedded.texts
    if part is None:
        here, other = ("pictures", "text") if what == "image" else ("texts", "image")
        raise InputError(f"{embedded.folder} holds no {here}: search with --what {other}, or embed it again")
    return part


def _hit(rank: int, score: float, row: PictureFile | TextLine) -> Hit:
    text = row.text if isinstance(row, TextLine) else ""
    return Hit(rank, round(score, 6), row.id, row.source, text)


def check_fingerprint(embedded: Embedded, fingerprint: str) -> None:
    """InputError unless this is the fingerprint of the model that made the vectors."""
    if embedded.fingerprint != fingerprint:
        made_by = embedded.manifest["model"]["name"]
        raise InputError(
            f"{embedded.folder} was embedded with {made_by} (fingerprint {embedded.fingerprint}), this model has "
            f"{fingerprint}: their vectors cannot be compared, search with that model or embed the folder again"
        )
