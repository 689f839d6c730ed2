"""Chinese-CLIP's LMDBs, built and read, against the original's plain loops; and the memory of converting many rows.

`python -m benchmarks data` for the first, `python -m benchmarks.data` for the second, which takes some minutes: with
`--rows 100000` it is quicker.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import pickle
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from PIL import Image

from benchmarks.evaluation import Seconds
from benchmarks.timing import threads
from tuwen.data import formats
from tuwen.data.lmdb_building import build_original
from tuwen.data.options import Writing

BAR = 1.0
LIMIT_MB = 1024  # that converting may take, whatever the number of rows
# What a benchmark writes: pictures of this many bytes, so many of them.
SIZES = {"pictures of 3 kB": (3_000, 20_000), "pictures of 60 kB": (60_000, 4_000)}
Run = Callable[[], object]
CONVERSIONS = ("chinese-clip-lmdb", "chinese-clip", "ernie-tsv", "webdataset", "parquet", "arrow")


# -- what is read -----------------------------------------------------------------------------------------------------


def save_raw(folder: Path, rows: int, picture: Callable[[int], bytes]) -> Path:
    """A split "train" in Chinese-CLIP's raw files: a text of its own for every picture."""
    folder.mkdir(parents=True)
    with (folder / "train_imgs.tsv").open("wb") as images, (folder / "train_texts.jsonl").open("wb") as texts:
        for number in range(rows):
            images.write(b"%d\t%b\n" % (number, base64.b64encode(picture(number))))
            line = {"text_id": number, "text": f"第{number}张图里有一只猫和一片草地", "image_ids": [number]}
            texts.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
    return folder


def tiny(number: int) -> bytes:
    """A PNG of one pixel with its number in a comment."""
    return _PIXEL + number.to_bytes(8, "little")


def _pixel() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


_PIXEL = _pixel()


def noise(size: int) -> Callable[[int], bytes]:
    """Bytes of a size that begin like a JPEG."""
    content = np.random.RandomState(0).bytes(size)
    return lambda number: b"\xff\xd8\xff" + number.to_bytes(8, "little") + content[11:]


# -- the original's loops ----------------------------------------------------------------------------------------------


def build_plainly(folder: Path, target: Path) -> None:
    """One process, one row after the other, a transaction per 5,000 pairs and per 1,000 pictures."""
    target.mkdir(parents=True)
    with (
        lmdb.open(str(target / "pairs"), map_size=1 << 40) as environment,
        (folder / "train_texts.jsonl").open() as file,
    ):
        writing, count = environment.begin(write=True), 0
        for line in file:
            row = json.loads(line.strip())
            for image_id in row["image_ids"]:
                value = pickle.dumps((image_id, row["text_id"], row["text"]))
                writing.put(str(count).encode(), value)
                count += 1
                if count % 5000 == 0:
                    writing.commit()
                    writing = environment.begin(write=True)
        writing.put(b"num_samples", str(count).encode())
        writing.commit()
    with lmdb.open(str(target / "imgs"), map_size=1 << 40) as environment, (folder / "train_imgs.tsv").open() as file:
        writing, count = environment.begin(write=True), 0
        for line in file:
            image_id, encoded = line.strip().split("\t")
            writing.put(image_id.encode(), encoded.encode())
            count += 1
            if count % 1000 == 0:
                writing.commit()
                writing = environment.begin(write=True)
        writing.put(b"num_images", str(count).encode())
        writing.commit()


def read_plainly(target: Path, order: Sequence[int]) -> int:
    """Pair, then picture, of each number, as the original's training set looks them up; gives the bytes of all."""
    total = 0
    settings: Any = {"readonly": True, "create": False, "lock": False, "readahead": False, "meminit": False}
    with (
        lmdb.open(str(target / "pairs"), **settings) as pairs,
        lmdb.open(str(target / "imgs"), **settings) as images,
        pairs.begin(buffers=True) as pairs_read,
        images.begin(buffers=True) as images_read,
    ):
        of_pairs: Any = pairs_read
        of_images: Any = images_read
        count = int(of_pairs.get(b"num_samples").tobytes().decode())
        for number in order:
            value = of_pairs.get(str(number % count).encode()).tobytes()
            image_id, _, text = pickle.loads(value)
            encoded = of_images.get(str(image_id).encode()).tobytes()
            total += len(base64.urlsafe_b64decode(encoded.decode())) + len(text)
    return total


def read_ours(target: Path, order: Sequence[int]) -> int:
    """The same through the dataset."""
    samples = formats.open_dataset(target).samples()
    return sum(_size(samples[number]) for number in order)


def read_ours_in_order(target: Path) -> int:
    """The same, one sample after the other."""
    return sum(_size(sample) for sample in formats.open_dataset(target).samples())


def _size(sample: Any) -> int:
    return len(sample.image) + len(sample.text)


@dataclass(frozen=True)
class Raced:
    """One row: CPU time on one processor and wall time, of all rows of the dataset."""

    what: str
    bar: float | None
    cpu_ratio: float
    wall_ratio: float
    peer_s: float
    ours_s: float
    equal: str


def run(rounds: int = 3, share: int = 1) -> list[Raced]:
    """Let both run by turns on one processor; AssertionError where one finds or leaves anything else than the other.

    share: work on one row in so many.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name, threads(1):
        for what, (size, count) in SIZES.items():
            rows += _raced(Path(name) / str(size), what, size, count // share, rounds)
    return rows


def _raced(folder: Path, what: str, size: int, count: int, rounds: int) -> list[Raced]:
    raw, plain, ours = save_raw(folder / "raw", count, noise(size)), folder / "plain", folder / "ours"
    shuffled = np.random.RandomState(1).permutation(count).tolist()
    in_order = list(range(count))
    as_original = partial(build_original, raw, ours, "train", Writing())
    checked = partial(convert, raw, ours, "chinese-clip-lmdb")
    found = [
        _race(f"build, {what}", BAR, plain, partial(build_plainly, raw, plain / "train"), ours, as_original, rounds),
        _race(
            f"check and build, {what}", None, plain, partial(build_plainly, raw, plain / "train"), ours, checked, rounds
        ),
    ]
    built = plain / "train"
    both = partial(read_plainly, built, shuffled), partial(read_ours, built, shuffled)
    found.append(_race(f"open, check and read shuffled, {what}", None, None, both[0], None, both[1], rounds))
    both = partial(read_plainly, built, in_order), partial(read_ours_in_order, built)
    found.append(_race(f"open, check and read in order, {what}", None, None, both[0], None, both[1], rounds))
    shutil.rmtree(folder)
    return found


def _race(
    what: str, bar: float | None, theirs_to: Path | None, theirs: Run, ours_to: Path | None, ours: Run, rounds: int
) -> Raced:
    """theirs_to, ours_to: folders that are written, None for what only reads."""
    times: list[tuple[Seconds, Seconds]] = []
    for number in range(rounds + 1):
        turns = [(theirs_to, theirs), (ours_to, ours)]
        took = [_timed(work, written) for written, work in (turns if number % 2 == 0 else turns[::-1])]
        times.append((took[0], took[1]) if number % 2 == 0 else (took[1], took[0]))
    del times[0]  # files that nobody had read before
    if theirs_to is not None and ours_to is not None:
        equal = f"{same_rows(theirs_to / 'train', ours_to / 'train'):,} rows"
    else:
        assert theirs() == ours(), f"{what}: not the same was read"
        equal = f"{theirs():,} bytes"
    cpu = statistics.median(one.cpu / other.cpu for one, other in times)
    wall = statistics.median(one.wall / other.wall for one, other in times)
    medians = [statistics.median(pair[side].cpu for pair in times) for side in (0, 1)]
    return Raced(what, bar, cpu, wall, medians[0], medians[1], equal)


def same_rows(one: Path, other: Path) -> int:
    """How many rows two LMDBs of a split have; AssertionError where any is not the same."""
    count = 0
    for part in ("imgs", "pairs"):
        with (
            lmdb.open(str(one / part), readonly=True, lock=False) as left,
            lmdb.open(str(other / part), readonly=True, lock=False) as right,
            left.begin() as left_read,
            right.begin() as right_read,
        ):
            for mine, its in zip(left_read.cursor(), right_read.cursor(), strict=True):
                assert mine == its, f"{part}: {mine[0]!r} or {its[0]!r}"
                count += 1
    return count


def _timed(work: Run, written: Path | None) -> Seconds:
    if written is not None:
        shutil.rmtree(written, ignore_errors=True)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


# -- memory -----------------------------------------------------------------------------------------------------------


def memory(folder: Path, rows: int, chosen: Sequence[str]) -> None:
    """The largest memory of a process that converts so many rows; AssertionError where it is above the limit."""
    raw = save_raw(folder / "many", rows, tiny)
    for form in chosen:
        _measure(raw, folder / form, form, rows)
    if (folder / "chinese-clip-lmdb").exists():
        _measure(folder / "chinese-clip-lmdb", folder / "back", "chinese-clip", rows)
        same = (folder / "back" / "train_texts.jsonl").read_bytes() == (raw / "train_texts.jsonl").read_bytes()
        assert same, "texts are not what they were"


def _measure(source: Path, target: Path, form: str, rows: int) -> None:
    command = [sys.executable, "-m", "benchmarks.data", "--convert", str(source), str(target), form]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        print(f"{source.name} -> {form}: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return
    seconds, largest = json.loads(done.stdout)
    print(
        f"{rows:,} rows, {source.name} -> {form}: {largest:.0f} MB, {seconds:.0f} s, {rows / seconds:,.0f} rows/s",
        flush=True,
    )
    assert largest < LIMIT_MB, f"{form} took {largest:.0f} MB, at most {LIMIT_MB} were allowed"


def convert(source: Path, target: Path, form: str) -> float:
    """Seconds."""
    start = time.perf_counter()
    formats.write(formats.open_dataset(source), target, form, "train")
    return time.perf_counter() - start


def largest_mb() -> float:
    """The largest memory that this process has had, pages of files that it maps included."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 1024  # type: ignore[index]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description="Memory of converting datasets.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="to convert; 1,000,000 by default")
    parser.add_argument("--to", default=",".join(CONVERSIONS), help="formats to convert to; all by default")
    parser.add_argument("--convert", nargs=3, metavar=("FROM", "TO", "FORMAT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.convert:
        source, target, form = asked.convert
        print(json.dumps([convert(Path(source), Path(target), form), largest_mb()]))
        return
    with tempfile.TemporaryDirectory() as name:
        memory(Path(name), asked.rows, [form for form in asked.to.split(",") if form])


if __name__ == "__main__":
    main()
