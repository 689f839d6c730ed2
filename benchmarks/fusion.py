"""What is measured of models whose pictures and texts attend to each other; scores must be equal to 1e-5."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.cases import Claim, Row, row
from benchmarks.fusion_peer import BASE_EDGE, LARGE_EDGE, TOP, Answering, Encoding, Matching, as_rows
from benchmarks.material import letters, squares
from benchmarks.timing import Parts, race, threads
from tuwen.states import State

SAME = 1e-5  # largest difference between the scores of both sides
TURNS = 2  # in each the peers of pairs, which take long, do half of their work, and tuwen does all of its own
VQA_EDGE = 224  # in pixels; at the published 576 a run would take ten times as long
PADDED = 50  # tokens, what VLE's and METER's data readers pad questions to


def measure(rivals: Mapping[str, Parts], claims: list[Claim], items: int, single: int, double: int) -> list[Row]:
    """Let all rivals, which are warm, take `single` turns on one thread, then `double` on two; AssertionError if scores
    differ."""
    with threads(1):
        one = race(rivals, single)
    with threads(2):
        two = race(rivals, double) if double else {}
    scores = {name: joined(times.results) for name, times in one.items()}
    rows = []
    for claim in claims:
        difference = float((scores[claim.ours] - scores[claim.peer]).abs().max())
        assert difference <= SAME, f"{claim.what}: scores differ by {difference}"
        rows.append(row(claim, one, two, items, f"{difference:.0e} (at most {SAME:.0e})"))
    return rows


def joined(results: list[Tensor | None]) -> Tensor:
    """What all parts gave, one after the other."""
    parts = [result for result in results if result is not None]
    assert len(parts) == len(results), "a part had no turn"
    return torch.cat(parts)


def match(rounds: int) -> list[Row]:
    """4 pictures x 16 texts of 8 to 16 tokens, BridgeTower base."""
    return _match(
        "match 4 x 16, BridgeTower base", BASE_EDGE, pictures=4, texts=16, bar=4, single=turns_of(rounds), double=1
    )


def match_large(rounds: int) -> list[Row]:
    """2 pictures x 16 texts of 8 to 16 tokens, BridgeTower large: 4 pictures would take too long."""
    return _match(
        "match 2 x 16, BridgeTower large", LARGE_EDGE, pictures=2, texts=16, bar=6, single=turns_of(rounds), double=0
    )


def _match(what: str, edge: int, pictures: int, texts: int, bar: float, single: int, double: int) -> list[Row]:
    both = Matching(edge)
    arrays, words = squares(pictures, edge, seed=3), letters(texts, 8, 16, seed=4)
    prepared, ids = both.prepared(arrays, words)
    halves = prepared.pixels.split(math.ceil(pictures / TURNS))

    def half(pixels: Tensor) -> Callable[[], Tensor]:
        return lambda: torch.cat([both.peer_scores(picture, ids) for picture in pixels])

    rivals: dict[str, Parts] = {
        "transformers, pair by pair": [half(pixels) for pixels in halves],
        "tuwen": [lambda: both.model.match(arrays, words)],
    }
    with threads(1):  # warm both up
        both.peer_scores(prepared.pixels[0], ids[:1])
        both.model.match(arrays[:1], words[:1])
    claims = [Claim(what, "tuwen", "transformers, pair by pair", bar)]
    return measure(rivals, claims, pictures * texts, single, double)


def turns_of(rounds: int) -> int:
    """As many as the default of 3 rounds makes 2, and always enough for every part."""
    return TURNS * math.ceil(rounds / 3)


def vqa(rounds: int) -> list[Row]:
    """64 questions of 6 to 20 tokens on 4 pictures, VLE-base, against our own forward that keeps nothing."""
    both = Answering(VQA_EDGE)
    arrays, questions = squares(4, VQA_EDGE, seed=5), letters(64, 6, 20, seed=6)
    each = len(questions) // len(arrays)
    prepared = both.model.processor.images(arrays).pixels

    def uncached(turn: int, at_once: int) -> Callable[[], Tensor]:
        """The questions of a turn's pictures, `at_once` of one picture in a batch."""
        count = len(questions) // TURNS
        starts = range(turn * count, (turn + 1) * count, at_once)

        def run() -> Tensor:
            batches = (
                both.uncached(prepared[start // each].expand(at_once, -1, -1, -1), questions[start : start + at_once])
                for start in starts
            )
            return torch.cat([as_rows(answers) for answers in batches])

        return run

    repeated = [arrays[number // each] for number in range(len(questions))]
    rivals: dict[str, Parts] = {
        "uncached, pair by pair": [uncached(turn, 1) for turn in range(TURNS)],
        f"uncached, {each} pairs in a batch": [uncached(turn, each) for turn in range(TURNS)],
        "tuwen": [lambda: as_rows(both.model.answer(repeated, questions, TOP))],
    }
    with threads(1):  # warm all up: they share one module
        both.uncached(prepared[:1], questions[:1])
        both.model.answer(arrays[:1], questions[:1])
    what = f"64 questions on 4 pictures, VLE-base, {VQA_EDGE} pixels"
    claims = [Claim(what, "tuwen", peer) for peer in rivals if peer != "tuwen"]
    return measure(rivals, claims, len(questions), turns_of(rounds), 0)


def deberta(rounds: int) -> list[Row]:
    """32 questions of 6 to 20 tokens, DeBERTa-v3-base."""
    both = Encoding()
    questions = letters(32, 6, 20, seed=7)
    fixed, longest = both.padded(questions, PADDED), both.padded(questions, None)
    rivals: dict[str, Parts] = {
        f"transformers, padded to {PADDED}": [lambda: both.peer_states(fixed)],
        "transformers, padded to the longest": [lambda: both.peer_states(longest)],
        "tuwen": [lambda: both.states(questions)],
    }
    what = "32 questions of 6 to 20 tokens, DeBERTa-v3-base"
    claims = [
        Claim(what, "tuwen", f"transformers, padded to {PADDED}", 2),
        Claim(what, "tuwen", "transformers, padded to the longest"),
    ]
    return warm_and_measure(rivals, claims, len(questions), rounds)


def deberta_one(rounds: int) -> list[Row]:
    """One question of 10 tokens, DeBERTa-v3-base: what a person waits for."""
    both = Encoding()
    question = letters(1, 10, 10, seed=8)
    inputs = both.padded(question, None)
    rivals: dict[str, Parts] = {
        "transformers": [lambda: both.peer_states(inputs)],
        "tuwen, table projected each time": [lambda: both.states(question, kept=False)],
        "tuwen": [lambda: both.states(question)],
    }
    assert torch.equal(both.states(question, kept=False), both.states(question)), "what is kept changes numbers"
    what = "one question of 10 tokens, DeBERTa-v3-base"
    claims = [
        Claim(what, "tuwen", "transformers", 2),
        Claim(what, "tuwen", "tuwen, table projected each time"),
    ]
    return warm_and_measure(rivals, claims, 1, 4 * rounds)


def warm_and_measure(rivals: Mapping[str, Parts], claims: list[Claim], items: int, rounds: int) -> list[Row]:
    """`measure` of rivals whose whole work fits into a turn, after each has run once."""
    with threads(1):
        race(rivals, 1)
    return measure(rivals, claims, items, rounds, rounds)


# -- states in half precision ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """What states take and cost in one type: megabytes of a picture and of a token of text, and how far the
    probabilities of a match move from those with float32 states."""

    dtype: str
    image_mb: float
    token_mb: float
    largest: float
    mean: float


def stored() -> list[Stored]:
    """The pictures and texts of `match`, towers run once, their states kept in each type."""
    model = Matching(BASE_EDGE).model
    images = model.image_state(squares(4, BASE_EDGE, seed=3))
    texts = model.text_state(letters(16, 8, 16, seed=4))
    exact = model.match(images, texts)
    rows = []
    for dtype in ("float32", "float16", "bfloat16"):
        image, text = images.to(dtype=dtype), texts.to(dtype=dtype)
        scores = exact if dtype == "float32" else model.match(image, text)
        moved = (scores - exact).abs()
        sizes = megabytes(image) / len(image), megabytes(text) / sum(text.lengths)
        rows.append(Stored(dtype, *sizes, float(moved.max()), float(moved.mean())))
    return rows


def megabytes(state: State) -> float:
    """Of its rows."""
    return state.rows.numel() * state.rows.element_size() / 1e6


CASES: dict[str, Callable[[int], list[Row]]] = {
    "match": match,
    "match-large": match_large,
    "vqa": vqa,
    "deberta": deberta,
    "deberta-one": deberta_one,
}
