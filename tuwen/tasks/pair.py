"""Is a sentence true of two pictures?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from tuwen.errors import InputError, UsageError
from tuwen.processing.prefetch import prepared
from tuwen.tasks.passes import pictures_at_once, tokens_at_once
from tuwen.tasks.sides import check_texts, distinct

if TYPE_CHECKING:
    from tuwen.types import Picture

AT_ONCE = 32  # statements whose pictures are kept at a time
KINDS = (1, 2)  # rows of the token type table: of the first picture, and of the second


def pair(
    model: Any,
    first: Sequence[Picture],
    second: Sequence[Picture],
    texts: Sequence[str],
    workers: int = 4,
    progress: bool = False,
    on_error: Callable[[int, InputError], None] | None = None,
) -> Tensor:
    """-> (N,) float32, probabilities that text i is true of its two pictures, the left one first.

    Of statements that stand together every picture and every text goes through its tower once. on_error(i, error) is
    told of statements with a picture that cannot be read, whose probability is NaN; None raises.
    UsageError for numbers that differ.
    """
    if not len(first) == len(second) == len(texts):
        raise UsageError(f"{len(first)} first and {len(second)} second pictures for {len(texts)} texts: each needs two")
    check_texts(texts)
    chances = torch.full((len(texts),), torch.nan)
    with tqdm(total=len(texts), unit="text", disable=not progress) as bar:
        for start in range(0, len(texts), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            for number, chance in _some(model, first[part], second[part], texts[part], workers):
                if not isinstance(chance, InputError):
                    chances[start + number] = chance
                elif on_error is None:
                    raise chance
                else:
                    on_error(start + number, chance)
            bar.update(len(texts[part]))
    return chances


@torch.no_grad()
def _some(
    model: Any, first: Sequence[Picture], second: Sequence[Picture], texts: Sequence[str], workers: int
) -> Iterator[tuple[int, float | InputError]]:
    module = model.module
    pictures, places = distinct([*first, *second])
    levels = _levels(model, cast(list[Any], pictures), places[: len(first)], places[len(first) :], workers)
    good = []
    for number in range(len(texts)):
        wrong = [side for side in levels[number] if isinstance(side, InputError)]
        if wrong:
            yield number, wrong[0]
        else:
            good.append(number)
    for numbers in _blocks(model, good, levels, texts):
        words = model.processor.texts([texts[number] for number in numbers]).to(model.device)
        text = module.fusion.text_side(module.text_levels(words), words.mask)
        pooled = []
        for side in range(len(KINDS)):
            image = module.fusion.image_side(torch.stack([levels[number][side] for number in numbers]))
            pooled.append(module.fusion(image, text, "first").pooled)
        logits = module.heads["pair"](torch.cat(pooled, dim=-1)).float()  # (n, 2)
        yield from zip(numbers, logits.softmax(-1)[:, 1].tolist(), strict=True)


def _levels(
    model: Any, pictures: Sequence[Any], first: Sequence[int], second: Sequence[int], workers: int
) -> list[tuple[Any, Any]]:
    """For each statement what the fusion takes from its two pictures (N, K, D), or why one cannot be read."""
    kinds = [{*(KINDS[:1] if n in first else ()), *(KINDS[1:] if n in second else ())} for n in range(len(pictures))]
    found: dict[tuple[int, int], Any] = {}
    waiting: list[tuple[int, Tensor]] = []

    def encode() -> None:
        if waiting:
            pixels = torch.stack([one for _, one in waiting]).to(model.device)
            states = model.module.image.states(model.processor.image.normalise(pixels).to(model.dtype))
            for kind in KINDS:
                levels = model.module.image_levels_of(states, kind)
                found.update({(n, kind): one for (n, _), one in zip(waiting, levels, strict=True) if kind in kinds[n]})
            waiting.clear()

    for number, pixels in prepared(pictures, model.processor.image, workers):
        if isinstance(pixels, InputError):
            found |= {(number, kind): pixels for kind in kinds[number]}
            continue
        if waiting and (
            waiting[0][1].shape != pixels.shape or len(waiting) >= pictures_at_once(model.device, *pixels.shape[:2])
        ):
            encode()
        waiting.append((number, torch.from_numpy(pixels)))
    encode()
    return [(found[one, KINDS[0]], found[other, KINDS[1]]) for one, other in zip(first, second, strict=True)]


def _blocks(
    model: Any, numbers: Sequence[int], levels: Sequence[tuple[Any, Any]], texts: Sequence[str]
) -> Iterator[list[int]]:
    """Statements whose pictures are equally large, as many as go through the fusion at once, short texts together."""
    by_shape: dict[Any, list[int]] = {}
    for number in numbers:
        by_shape.setdefault(tuple(side.shape for side in levels[number]), []).append(number)
    lengths = [len(row) for row in model.processor.ids(list(texts))] if numbers else []
    for shapes, alike in by_shape.items():
        longest = max(shape[0] for shape in shapes) + max(lengths[number] for number in alike)
        most = max(1, tokens_at_once(model.device) // longest)
        ordered = sorted(alike, key=lengths.__getitem__)
        yield from (ordered[start : start + most] for start in range(0, len(ordered), most))
