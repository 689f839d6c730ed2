"""What is measured of BriVL and ERNIE-ViL 2.0: their towers; features of unit length must be equal to 1e-5."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import brivl_peer, ernie_peer
from benchmarks.brivl_peer import EDGE, Captions, Pictures
from benchmarks.cases import Claim, Row
from benchmarks.ernie_peer import Towers
from benchmarks.fusion import measure, warm_and_measure
from benchmarks.material import chinese_texts, squares
from benchmarks.timing import Parts, race, threads

TEXTS = 64
TURNS = 4  # in each the peer that takes text by text does a quarter of its work
BOXES = 36  # of a picture, beside the whole of it


def brivl(rounds: int) -> list[Row]:
    """BriVL-1.0, both towers."""
    return [*_regions(rounds), *_padded_captions(rounds)]


def _regions(rounds: int) -> list[Row]:
    """4 pictures of the published size with as many boxes as fit."""
    both = Pictures()
    arrays, boxes = squares(4, EDGE, seed=9), [random_boxes(seed) for seed in range(4)]
    prepared = both.prepared(arrays, boxes)
    rivals: dict[str, Parts] = {
        "transformers": [lambda: both.peer_features(prepared)],
        "tuwen": [lambda: both.model.encode_image(arrays, boxes=boxes)],
    }
    what = f"BriVL, pictures of {EDGE} pixels with {BOXES} boxes"
    return warm_and_measure(rivals, [Claim(what, "tuwen", "transformers", 1.2)], len(arrays), rounds)


def random_boxes(seed: int) -> list[list[float]]:
    """Left, top, right, bottom in pixels."""
    corners = np.sort(np.random.default_rng(seed).uniform(0, EDGE, (BOXES, 2, 2)), axis=1)
    found: list[list[float]] = corners.reshape(BOXES, 4).tolist()
    return found


def _padded_captions(rounds: int) -> list[Row]:
    """The captions of `cases.captions`; the original's script takes them one by one, a fork of it 64 in a batch."""
    both = Captions()
    texts = chinese_texts(TEXTS, 15, seed=1)
    padded = both.padded(texts)
    each = TEXTS // TURNS

    def quarter(turn: int) -> Callable[[], torch.Tensor]:
        part = both.padded(texts[turn * each : (turn + 1) * each])
        return lambda: both.peer_features(part, at_once=1)

    peer = f"transformers, padded to {brivl_peer.PADDED}"
    one, many = f"{peer}, one by one", f"{peer}, {TEXTS} in a batch"
    rivals: dict[str, Parts] = {
        one: [quarter(turn) for turn in range(TURNS)],
        many: [lambda: both.peer_features(padded, at_once=TEXTS)],
        "tuwen": [lambda: both.model.encode_text(texts)],
    }
    with threads(1):
        race(rivals, 1)
    what = "BriVL, captions, 15 characters"
    claims = [Claim(what, "tuwen", one, 3), Claim(what, "tuwen", many)]
    return measure(rivals, claims, TEXTS, TURNS * math.ceil(rounds / TURNS), rounds)


def ernie(rounds: int) -> list[Row]:
    """ERNIE-ViL 2.0 base, both towers."""
    both = Towers()
    pixels = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    pictures: dict[str, Parts] = {
        "transformers": [lambda: both.peer_pictures(pixels)],
        "tuwen": [lambda: both.pictures(pixels)],
    }
    what = "ERNIE-ViL 2.0 base, picture tower"
    rows = warm_and_measure(pictures, [Claim(what, "tuwen", "transformers", 1.2)], len(pixels), rounds)
    texts = chinese_texts(TEXTS, 15, seed=1)
    padded = both.padded(texts)
    peer = f"transformers, padded to {ernie_peer.PADDED}, {ernie_peer.AT_ONCE} in a batch"
    captions: dict[str, Parts] = {
        peer: [lambda: both.peer_texts(padded)],
        "tuwen": [lambda: both.model.encode_text(texts)],
    }
    claim = Claim("ERNIE-ViL 2.0 base, captions, 15 characters", "tuwen", peer, 3)
    return [*rows, *warm_and_measure(captions, [claim], TEXTS, rounds)]


CASES: dict[str, Callable[[int], list[Row]]] = {"brivl": brivl, "ernie": ernie}
