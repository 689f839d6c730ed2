"""Decode pictures ahead in threads, so that the towers never wait for them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from tuwen.errors import InputError
from tuwen.processing.decode import label_of
from tuwen.processing.image import ImagePipeline
from tuwen.processing.resize import Floats, Pixels

if TYPE_CHECKING:
    from tuwen.types import Picture

AHEAD = 4  # pictures per thread that may wait, decoded, for the one who asks


def prepared(
    pictures: Iterable[Picture], pipeline: ImagePipeline, workers: int | None = None
) -> Iterator[tuple[int, Pixels | Floats | InputError]]:
    """(place, pixels (H, W, 3)) for each picture, in order; for one that cannot be decoded the error instead of pixels.

    workers: threads, by default one per processor this process may use; 0 decodes in the caller's thread. `pictures` is
    read only a little ahead of what has been asked for, so it may be endless; a sequence is read by the threads, and an
    InputError of its own is that picture's.
    """
    count = f" of {len(pictures)}" if isinstance(pictures, Sized) else ""
    workers = processors() if workers is None else workers

    def prepare(place: int, read: Callable[[], Picture]) -> tuple[int, Pixels | Floats | InputError]:
        try:
            picture = read()
            label = label_of(picture)
            name = f"picture {place + 1}{count} ({label.removeprefix('picture (').removesuffix(')')})"
            return place, pipeline.pixels(picture, label if isinstance(picture, str | os.PathLike) else name)
        except InputError as error:
            return place, error

    numbered = _readers(pictures)
    if workers < 1:
        for place, picture in numbered:
            yield prepare(place, picture)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="tuwen-decode")
    waiting: deque[Future[tuple[int, Pixels | Floats | InputError]]] = deque()
    try:
        waiting.extend(pool.submit(prepare, *item) for item in islice(numbered, workers * AHEAD))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(prepare, *item) for item in islice(numbered, 1))
            yield done
    finally:  # also when the caller stops early
        pool.shutdown(wait=False, cancel_futures=True)


def _readers(pictures: Iterable[Picture]) -> Iterator[tuple[int, Callable[[], Picture]]]:
    """(place, what gives the picture) for each."""
    if isinstance(pictures, Sequence):
        for place in range(len(pictures)):
            yield place, partial(pictures.__getitem__, place)
        return
    for place, picture in enumerate(pictures):
        yield place, partial(_itself, picture)


def _itself(picture: Picture) -> Picture:
    return picture


def processors() -> int:
    """How many processors this process may use, which a container may have set lower than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
