"""What is measured: each case lets its rivals run in turns, checks that their features agree, and returns its rows."""

from __future__ import annotations

import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.material import chinese_texts, photographs
from benchmarks.peer import LENGTH, Rivals
from benchmarks.timing import Times, race, ratio, threads
from tuwen.model import Model
from tuwen.nn.heads import unit
from tuwen.types import Images

SAME = 0.999999  # lowest cosine between the features of both sides, float32
CLOSE = 0.9998  # the same for bfloat16
PADDED = f"transformers, padded to {LENGTH}"


@dataclass(frozen=True)
class Row:
    """One comparison. Ratios say how many times faster tuwen is; milliseconds are CPU time per item, one thread."""

    what: str
    peer: str
    bar: float | None
    cpu_ratio: float  # one thread
    wall_ratio: float | None  # two threads; None: not measured, because it would take too long
    peer_ms: float
    ours_ms: float
    equal: str  # how far the results agree, and how far they must


@dataclass(frozen=True)
class Claim:
    """A row to be measured: rival `ours` against rival `peer`."""

    what: str
    ours: str
    peer: str
    bar: float | None = None
    cosine_bar: float = SAME


Rival = Callable[[], Tensor]


def measure(rivals: Mapping[str, Rival], claims: list[Claim], items: int, rounds: int) -> list[Row]:
    """Let all rivals run on one thread, then on two, and compare as claimed; AssertionError if features differ."""
    whole = {name: [run] for name, run in rivals.items()}
    with threads(1):
        features = {name: run() for name, run in rivals.items()}  # this also warms them up
        single = race(whole, rounds)
    with threads(2):
        double = race(whole, rounds)
    rows = []
    for claim in claims:
        cosine = float((unit(features[claim.ours]) * unit(features[claim.peer])).sum(dim=-1).min())
        assert cosine >= claim.cosine_bar, f"{claim.what}: features differ, cosine {cosine}"
        equal = f"{cosine:.7f} (at least {claim.cosine_bar})"
        rows.append(row(claim, single, double, items, equal))
    return rows


def row(claim: Claim, single: Mapping[str, Times], double: Mapping[str, Times], items: int, equal: str) -> Row:
    """A claim's row from the times on one thread and on two, which may be missing."""
    return Row(
        claim.what,
        claim.peer,
        claim.bar,
        ratio(single[claim.peer].cpu_s, single[claim.ours].cpu_s),
        ratio(double[claim.peer].wall_s, double[claim.ours].wall_s) if double else None,
        statistics.median(single[claim.peer].cpu_s) / items * 1000,
        statistics.median(single[claim.ours].cpu_s) / items * 1000,
        equal,
    )


def captions(rivals: Rivals, rounds: int) -> list[Row]:
    """64 captions of 15 characters on average, so 17 tokens with [CLS] and [SEP]."""
    return _texts(rivals, rounds, "captions, 15 characters", mean=15, bar=5, bfloat16_bar=9)


def queries(rivals: Rivals, rounds: int) -> list[Row]:
    """64 queries of 8 characters on average, so 10 tokens with [CLS] and [SEP]."""
    return _texts(rivals, rounds, "queries, 8 characters", mean=8, bar=8, bfloat16_bar=None)


def _texts(rivals: Rivals, rounds: int, what: str, mean: float, bar: float, bfloat16_bar: float | None) -> list[Row]:
    texts = chinese_texts(64, mean, seed=1)
    runs: dict[str, Rival] = {
        PADDED: lambda: rivals.peer.texts(texts),
        "transformers, padded to the longest": lambda: rivals.peer.texts(texts, padding="longest"),
        "tuwen": lambda: rivals.tuwen.encode_text(texts),
        "tuwen bfloat16": lambda: rivals.tuwen_bfloat16.encode_text(texts),
    }
    claims = [
        Claim(what, "tuwen", PADDED, bar),
        Claim(what, "tuwen", "transformers, padded to the longest"),
        Claim(f"{what}, bfloat16", "tuwen bfloat16", PADDED, bfloat16_bar, CLOSE),
    ]
    return measure(runs, claims, len(texts), rounds)


def query(rivals: Rivals, rounds: int) -> list[Row]:
    """One query of 8 characters: what a person waits for."""
    texts = chinese_texts(1, 8, seed=2)
    runs: dict[str, Rival] = {
        PADDED: lambda: rivals.peer.texts(texts),
        "tuwen": lambda: rivals.tuwen.encode_text(texts),
    }
    return measure(runs, [Claim("one query, 8 characters", "tuwen", PADDED)], 1, 3 * rounds)


def tower(rivals: Rivals, rounds: int) -> list[Row]:
    """The ViT-B-16 tower alone, on 4 prepared pictures."""
    pixels = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))

    def ours() -> Tensor:
        with torch.inference_mode():
            return unit(rivals.tuwen.towers.encode_image(Images(pixels)))

    runs: dict[str, Rival] = {"transformers": lambda: rivals.peer.pixels(pixels), "tuwen": ours}
    return measure(runs, [Claim("ViT-B-16 tower", "tuwen", "transformers", 1.8)], len(pixels), rounds)


def files(rivals: Rivals, rounds: int) -> list[Row]:
    """4 JPEG files of 4000 x 3000 to features: read, decode, resize, normalise, tower."""
    paths = photographs(rivals.folder, 4, 4000, 3000)
    fast = with_fast_resize(rivals.tuwen)
    runs: dict[str, Rival] = {
        "transformers": lambda: rivals.peer.files(paths),
        "tuwen": lambda: rivals.tuwen.encode_image(paths),
        "tuwen fast": lambda: fast.encode_image(paths),
    }
    claims = [
        Claim('4000 x 3000 JPEG files, resize="exact"', "tuwen", "transformers", 2),
        Claim('4000 x 3000 JPEG files, resize="fast"', "tuwen fast", "transformers", 2),
    ]
    return measure(runs, claims, len(paths), rounds)


def with_fast_resize(model: Model) -> Model:
    """The same model, which shares its weights, with torch's resize in place of Pillow's."""
    fast = copy.copy(model)
    fast.processor = replace(model.processor, image=replace(model.processor.image, resize="fast"))
    return fast


def start_up_s(rounds: int) -> float:
    """Seconds from `tuwen --help` to its end, median: a fresh process each time, its files already in memory."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tuwen", "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


CASES: dict[str, Callable[[Rivals, int], list[Row]]] = {
    "captions": captions,
    "queries": queries,
    "query": query,
    "tower": tower,
    "files": files,
}
