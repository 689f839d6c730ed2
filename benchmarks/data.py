"""Datasets: building and reading LMDBs against the original's plain loops, and the memory of converting many rows.

`python -m benchmarks.data` prints both; `--rows 100000` for a quicker look at the memory.
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
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from PIL import Image

from tuwen.data import formats
from tuwen.data.lmdb_building import build_original
from tuwen.data.options import Writing

LIMIT_MB = 1024  # that converting may take, whatever the number of rows
# What a benchmark writes: pictures of this many bytes, so many of them.
SIZES = {"thumbnails of 3 kB": (3_000, 20_000), "photographs of 60 kB": (60_000, 4_000)}
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


def races(folder: Path, rounds: int) -> None:
    """Seconds of both, by turns, and the medians of their ratios."""
    for name, (size, rows) in SIZES.items():
        raw, built, plain = save_raw(folder / "raw", rows, noise(size)), folder / "built", folder / "plain" / "train"
        build_plainly(raw, plain)
        shuffled = np.random.RandomState(1).permutation(rows).tolist()
        in_order = list(range(rows))
        build = partial(build_plainly, raw, built / "train")
        every: dict[str, tuple[Run, Run]] = {
            "build": (build, partial(build_original, raw, built, "train", Writing())),
            "build, rows checked": (build, partial(convert, raw, built, "chinese-clip-lmdb")),
            "read, shuffled": (partial(read_plainly, plain, shuffled), partial(read_ours, plain, shuffled)),
            "read, in order": (partial(read_plainly, plain, in_order), partial(read_ours_in_order, plain)),
        }
        for what, (theirs, ours) in every.items():
            times = [(_seconds(theirs, built), _seconds(ours, built)) for _ in range(rounds)]
            ratio = statistics.median(one / other for one, other in times)
            best = [min(seconds) for seconds in zip(*times, strict=True)]
            print(f"{name}, {what}: {best[0]:.2f} s -> {best[1]:.2f} s, {ratio:.2f}x", flush=True)
        shutil.rmtree(raw)
        shutil.rmtree(plain.parent)


def _seconds(run: Run, written: Path) -> float:
    shutil.rmtree(written, ignore_errors=True)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description="Speed and memory of datasets.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="to convert; 1,000,000 by default")
    parser.add_argument("--rounds", type=int, default=3, help="of building and reading; 3 by default, 0 for none")
    parser.add_argument("--to", default=",".join(CONVERSIONS), help="formats to convert to; all by default")
    parser.add_argument("--convert", nargs=3, metavar=("FROM", "TO", "FORMAT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.convert:
        source, target, form = asked.convert
        print(json.dumps([convert(Path(source), Path(target), form), largest_mb()]))
        return
    with tempfile.TemporaryDirectory() as name:
        if asked.rounds:
            races(Path(name), asked.rounds)
        if asked.rows:
            memory(Path(name), asked.rows, [form for form in asked.to.split(",") if form])


if __name__ == "__main__":
    main()
