"""Visual question answering: the likeliest of the answers that a model knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.states import State
from tuwen.tasks.fusion import MEMORY_GB, fused_pairs, paired
from tuwen.tasks.sides import Fuser, check_pictures, check_texts, distinct

if TYPE_CHECKING:
    from tuwen.types import Picture


@dataclass(frozen=True)
class Answer:
    """One candidate. probability: its softmax among all answers, though the models are trained with a sigmoid each."""

    text: str
    probability: float


def answer_rows(
    model: Fuser,
    images: State | Sequence[Picture],
    questions: State | Sequence[str],
    top_k: int = 5,
    wanted: Callable[[int], Sequence[int]] | None = None,
    workers: int = 4,
    progress: bool = False,
    memory_gb: float = MEMORY_GB,
    state_dtype: str | None = None,
) -> Iterator[tuple[int, dict[int, list[Answer]] | InputError]]:
    """Picture after picture: (its number, {number of a question: answers, best first}), or why it cannot be read.

    wanted: number of a picture -> numbers of its questions; None: all. The other settings are those of `fused_pairs`.
    """
    if top_k < 0:
        raise UsageError(f"top_k is {top_k}: it must be 0 or more")
    texts = known_answers(model)
    head = model.fusing.heads["answer"]
    stream = fused_pairs(
        model, images, questions, wanted, "first", workers, progress, memory_gb, state_dtype=state_dtype
    )
    for number, blocks in stream:
        if isinstance(blocks, InputError):
            yield number, blocks
            continue
        found: dict[int, list[Answer]] = {}
        for numbers, fused in blocks:
            with torch.no_grad():
                logits = head(fused.pooled)
            found.update(zip(numbers, best_answers(logits, texts, top_k), strict=True))
        yield number, found


def best_answers(logits: Tensor, texts: Sequence[str], top_k: int) -> list[list[Answer]]:
    """logits (B, K) -> for each row its answers, best first."""
    probabilities, places = logits.float().softmax(-1).topk(min(top_k, len(texts)), dim=-1)
    return [
        [Answer(texts[place], probability) for place, probability in zip(row, values, strict=True)]
        for row, values in zip(places.tolist(), probabilities.tolist(), strict=True)
    ]


def known_answers(model: Fuser) -> tuple[str, ...]:
    """The texts of the model's answers. UsageError where neither its files nor the user named them."""
    config = model.fusing.config
    expected = config.heads["answer"][-1]
    texts: tuple[str, ...] = config.answers
    if len(texts) != expected:
        raise UsageError(
            f"this model chooses among {expected} answers, but {len(texts) or 'none'} of them are named: load it with "
            "answers= and the list that it was trained with"
        )
    return texts


def answer(
    model: Fuser,
    images: State | Sequence[Picture],
    questions: State | Sequence[str],
    top_k: int = 5,
    progress: bool = False,
) -> list[list[Answer]]:
    """One list of answers, best first, per question.

    One picture and any number of questions, one question and any number of pictures, or as many of both, in pairs.
    UsageError for other numbers; InputError names a picture that cannot be read.
    """
    check_pictures(images)
    if not isinstance(questions, State):
        check_texts(questions)
    count = paired(len(images), len(questions), "questions")
    pictures, first = distinct(images)
    texts, second = distinct(questions)
    pairs = list(zip(first * (count // len(first)), second * (count // len(second)), strict=True))
    asked: dict[int, list[int]] = {}
    for picture, text in pairs:
        asked.setdefault(picture, []).append(text)
    found: dict[tuple[int, int], list[Answer]] = {}
    for number, answers in answer_rows(model, pictures, texts, top_k, asked.__getitem__, progress=progress):
        if isinstance(answers, InputError):
            raise answers
        found.update({(number, text): best for text, best in answers.items()})
    return [found[pair] for pair in pairs]
