"""Retrieval from feature files to the score: 30,000 pictures x 5,000 texts against Chinese-CLIP's three scripts."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import evaluation_peer as peer
from benchmarks.timing import threads
from tuwen.evaluate import feature_files
from tuwen.evaluate.original import evaluation, topk
from tuwen.evaluate.original.feature_files import KEYS

PICTURES, TEXTS, WIDTH = 30_000, 5_000, 512
SHARE = 20  # of the texts the peer does one in so many each round; what it does once it does in full
BARS = {"npy": 60.0, "jsonl": 40.0}
NAMES = {"npy": "from our .npy", "jsonl": "from the scripts' JSON lines"}

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Compared:
    """One row: seconds of CPU time on one thread of the whole work, and of wall time on two; lines: that were equal."""

    what: str
    bar: float
    cpu_ratio: float
    wall_ratio: float
    peer_s: float
    ours_s: float
    lines: int


@dataclass(frozen=True)
class Seconds:
    cpu: float
    wall: float

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.cpu + other.cpu, self.wall + other.wall)

    def __mul__(self, times: float) -> Seconds:
        return Seconds(self.cpu * times, self.wall * times)


def run(rounds: int = 3) -> list[Compared]:
    """Measure on one thread, then on two; AssertionError where a line of predictions, or the score, differs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_material(folder)
        _ours(folder, "npy")  # the trial of matrix products, and warm files
        with threads(1):
            single = _measured(folder, rounds)
        with threads(2):
            double = _measured(folder, 1, rounds)
        lines = same_lines(folder)
    rows = []
    for form in BARS:
        cpu = [theirs.cpu / ours[form].cpu for theirs, ours in single]
        wall = [theirs.wall / ours[form].wall for theirs, ours in double]
        theirs_s = statistics.median(theirs.cpu for theirs, _ in single)
        ours_s = statistics.median(ours[form].cpu for _, ours in single)
        ratios = statistics.median(cpu), statistics.median(wall)
        rows.append(Compared(NAMES[form], BARS[form], *ratios, theirs_s, ours_s, lines))
    return rows


def _measured(folder: Path, rounds: int, start: int = 0) -> list[tuple[Seconds, dict[str, Seconds]]]:
    """For each round the peer's seconds, and ours by form; who comes first changes from round to round."""
    found = []
    for number in range(start, start + rounds):
        turns: dict[str, Callable[[], Seconds]] = {
            "peer": lambda part=number: _theirs(folder, part),  # type: ignore[misc]
            **{form: (lambda form=form: _timed(lambda: _ours(folder, form))) for form in BARS},  # type: ignore[misc]
        }
        order = list(turns) if number % 2 == 0 else list(turns)[::-1]
        times = {name: turns[name]() for name in order}
        found.append((times["peer"], {form: times[form] for form in BARS}))
    return found


def _timed(work: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


# -- both sides -------------------------------------------------------------------------------------------------------


def _ours(folder: Path, form: str) -> None:
    image, text = (feature_files.read(folder / f"{what}.{form}", what) for what in KEYS)
    topk.write(folder / f"{form}.predictions", image, text)
    rules = evaluation.RULES["chinese-clip", "text"]
    gold, output = folder / "texts.jsonl", folder / f"{form}.score"
    evaluation.evaluate(gold, folder / f"{form}.predictions", output, rules)


def _theirs(folder: Path, part: int) -> Seconds:
    """A share of the texts, counted as often as there are shares; pictures and the score in full."""
    held: list[peer.Gallery] = []
    reading = _timed(lambda: held.append(peer.read_gallery(folder / "image.jsonl")))
    count = TEXTS // SHARE
    # Spread over the rounds, so that more of the lines are compared.
    first = part * count % TEXTS
    predictions = folder / f"peer.{first}"
    texts = folder / f"text.{first}.jsonl"
    with (folder / "text.jsonl").open("rb") as file, texts.open("wb") as out:
        out.writelines(line for number, line in enumerate(file) if first <= number < first + count)
    predicting = _timed(lambda: peer.predict(held[0], texts, predictions, 0, count))
    scoring = _timed(lambda: peer.score(folder / "texts.jsonl", folder / "npy.predictions", folder / "peer.score"))
    return reading + predicting * SHARE + scoring


def same_lines(folder: Path) -> int:
    """How many lines of the peer were compared; AssertionError for the first that differs, or another score."""
    lines = {form: (folder / f"{form}.predictions").read_text(encoding="utf-8").splitlines() for form in BARS}
    assert lines["npy"] == lines["jsonl"], "predictions differ between the forms"
    compared = 0
    for path in folder.glob("peer.[0-9]*"):
        first = int(path.suffix[1:])
        for place, line in enumerate(path.read_text(encoding="utf-8").splitlines(), first):
            assert line == lines["npy"][place], f"text {place}: {lines['npy'][place]} instead of {line}"
            compared += 1
    scores = {(folder / f"{name}.score").read_text(encoding="utf-8") for name in (*BARS, "peer")}
    assert len(scores) == 1, f"scores differ: {scores}"
    return compared


# -- material ---------------------------------------------------------------------------------------------------------


def write_material(folder: Path) -> None:
    """Features of unit length, texts near their own picture, in both forms, and which picture is right."""
    noise = np.random.default_rng(0)
    pictures = _unit(noise.standard_normal((PICTURES, WIDTH), dtype=np.float32))
    right = noise.integers(0, PICTURES, TEXTS)
    # So near that a third of the texts find their picture first: an easy set would leave nothing to sort.
    texts = _unit(pictures[right] + 6 * _unit(noise.standard_normal((TEXTS, WIDTH), dtype=np.float32)))
    image_ids = noise.permutation(10 * PICTURES)[:PICTURES].tolist()
    sides = {"image": (image_ids, pictures), "text": (list(range(TEXTS)), texts)}
    for what, (ids, vectors) in sides.items():
        np.save(folder / f"{what}.npy", vectors)
        (folder / f"{what}.json").write_text(json.dumps({"ids": ids}), encoding="utf-8")
        with (folder / f"{what}.jsonl").open("w", encoding="utf-8") as file:
            for id_, vector in zip(ids, vectors.tolist(), strict=True):
                file.write(json.dumps({KEYS[what]: id_, "feature": vector}) + "\n")
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        for text_id, place in enumerate(right.tolist()):
            file.write(json.dumps({"text_id": text_id, "text": "", "image_ids": [image_ids[place]]}) + "\n")


def _unit(vectors: Array) -> Array:
    lengths: Array = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / lengths).astype(np.float32)
