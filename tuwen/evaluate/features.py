"""Features of a dataset's pictures and texts: computed once, kept, and there at once for the next metric."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuwen.checkpoint import replacing
from tuwen.data.folder import Failure
from tuwen.errors import InputError, UsageError
from tuwen.evaluate import contents
from tuwen.evaluate.pictures import Pictures
from tuwen.tasks.embed import SHARD, Shards

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset
    from tuwen.model import Model

Array = np.ndarray[Any, Any]
Advance = Callable[[int], object]  # told how many more pictures or texts are done

Fail = Callable[[int, str], None]  # told the place of what has no features, and why
Compute = Callable[[Sequence[int], Fail], Iterator[tuple[list[int], Array]]]  # places in the dataset -> their vectors

TEXTS_AT_ONCE = 250  # between two reports of progress


@dataclass(frozen=True)
class Features:
    """ids (N) of the pictures or texts that have features, in the order of the dataset; vectors (N, E), float32.

    places: of each in the dataset; failures: what has none, and why; kept: whether they were there from before.
    """

    ids: list[str]
    vectors: Array
    places: Array
    failures: list[Failure] = field(default_factory=list)
    kept: bool = False


def image_features(
    model: Model,
    dataset: Dataset,
    cache: Path | None = None,
    batch_size: int = 32,
    on_error: str = "skip",
    advance: Advance | None = None,
) -> Features:
    """Features of every picture, of unit length; boxes that the dataset names go with them into models that take any.

    cache: the folder that keeps them by the fingerprint of the model and of the pictures; a run that stops leaves what
    it has there, too. on_error: "skip" counts a picture that cannot be read as a failure, "fail" raises its InputError.
    """
    model.need("embed")
    ids = list(dataset.pictures)
    store = _Store(cache, "image", model, contents.of_pictures(dataset, cache) if cache else "", ids)

    def compute(todo: Sequence[int], fail: Fail) -> Iterator[tuple[list[int], Array]]:
        def skip(number: int, error: InputError) -> None:
            fail(todo[number], str(error))
            _told(advance, 1)

        pictures = Pictures(dataset.pictures, [ids[place] for place in todo])
        boxes = _boxes(model, dataset, pictures.ids)
        stream = model.embed_images(pictures, batch_size, on_error=skip if on_error == "skip" else None, **boxes)
        for numbers, batch in stream:
            yield [todo[number] for number in numbers], batch.numpy()
            _told(advance, len(numbers))

    return _collected(store, ids, ids, compute, on_error, advance)


def text_features(
    model: Model,
    dataset: Dataset,
    cache: Path | None = None,
    quotes: str | None = None,
    advance: Advance | None = None,
) -> Features:
    """Features of every text, of unit length; cache as of `image_features`, quotes as of `Model.encode_text`."""
    model.need("embed")
    texts = [text.text for text in dataset.texts]
    named = [text.id for text in dataset.texts]
    content = contents.of_texts(dataset) + (f"-{quotes}" if quotes else "")
    store = _Store(cache, "text", model, content, named)

    def compute(todo: Sequence[int], fail: Fail) -> Iterator[tuple[list[int], Array]]:
        for start in range(0, len(todo), TEXTS_AT_ONCE):
            part = list(todo[start : start + TEXTS_AT_ONCE])
            yield part, model.encode_text([texts[place] for place in part], quotes=quotes).numpy()
            _told(advance, len(part))

    return _collected(store, named, [text.place or text.id for text in dataset.texts], compute, "fail", advance)


def _boxes(model: Model, dataset: Dataset, ids: Sequence[str]) -> dict[str, Any]:
    if not model.takes_boxes or not dataset.picture_columns:
        return {}
    return {"boxes": [dataset.picture_columns.get(image_id, {}).get("boxes") for image_id in ids]}


def _told(advance: Advance | None, count: int) -> None:
    if advance is not None:
        advance(count)


# -- what is kept -----------------------------------------------------------------------------------------------------


def _collected(
    store: _Store, ids: Sequence[str], names: Sequence[str], compute: Compute, on_error: str, advance: Advance | None
) -> Features:
    """From the store, or computed and stored. names: what a failure is called."""
    if on_error not in ("skip", "fail"):
        raise UsageError(f"on_error is {on_error!r}: it must be skip or fail")
    found = store.finished()
    if found is None:
        vectors, places, failed = store.complete(compute, advance)
    else:
        vectors, places, failed = found
        _told(advance, len(ids))
    failures = [Failure(names[place], reason) for place, reason in sorted(failed.items())]
    if failures and on_error == "fail":
        raise InputError(f"{failures[0].id}: {failures[0].reason}")
    if failures and not len(places):
        raise InputError(f"none of {len(ids)} could be embedded; the first: {failures[0].id}: {failures[0].reason}")
    return Features([ids[place] for place in places.tolist()], vectors, places, failures, found is not None)


class _Store:
    """One kind of features of one model and content: NAME.npy with NAME.json beside, or nowhere without a folder."""

    def __init__(self, folder: Path | None, kind: str, model: Model, content: str, ids: Sequence[str]) -> None:
        self.folder, self.kind, self.ids, self.count = folder, kind, ids, len(ids)
        self.width = model.embedding
        self.name = ""
        self.shards: Shards | None = None
        if folder is not None:
            self.fingerprint, self.name = model.fingerprint, f"{kind}-{model.fingerprint}-{content}"

    def finished(self) -> tuple[Array, Array, dict[int, str]] | None:
        """(vectors, places, failures) of a run that came to its end; mapped from the file."""
        if self.folder is None:
            return None
        try:
            about = json.loads((self.folder / f"{self.name}.json").read_text(encoding="utf-8"))
            vectors = np.load(self.folder / f"{self.name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            return None
        failed = {int(place): reason for place, reason in about["failures"].items()}
        places = np.array([place for place in range(self.count) if place not in failed], dtype=np.int64)
        return (vectors, places, failed) if vectors.shape == (len(places), self.width) else None

    def complete(self, compute: Compute, advance: Advance | None) -> tuple[Array, Array, dict[int, str]]:
        """Compute what an earlier run has not, keep it as it comes, and put everything together."""
        shards = _Memory() if self.folder is None else Shards(self._partial, self.fingerprint, overwrite=False)
        known = shards.known[self.kind]
        _told(advance, len(known))
        todo = [place for place in range(self.count) if str(place) not in known]
        keys: list[str] = []
        rows: list[Array] = []
        failed: dict[int, str] = {}

        def keep() -> None:
            if keys:
                shards.write(self.kind, keys, np.concatenate(rows))
            keys.clear()
            rows.clear()

        try:
            for places, vectors in compute(todo, failed.__setitem__) if todo else ():
                keys += map(str, places)
                rows.append(vectors)
                if len(keys) >= SHARD:
                    keep()
        finally:
            keep()  # also when interrupted: what was computed is not lost
        return self._together(shards, failed)

    @property
    def _partial(self) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.name}.partial"

    def _together(self, shards: Shards | _Memory, failed: dict[int, str]) -> tuple[Array, Array, dict[int, str]]:
        places = np.array([place for place in range(self.count) if place not in failed], dtype=np.int64)
        if self.folder is None or not len(places):
            vectors = np.empty((len(places), self.width), dtype=np.float32)
            _gather(vectors, places, shards.known[self.kind])
            return vectors, places, failed
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / f"{self.name}.npy") as temporary:
            vectors = np.lib.format.open_memmap(temporary, "w+", np.dtype("float32"), (len(places), self.width))
            _gather(vectors, places, shards.known[self.kind])
            vectors.flush()
            del vectors
        with replacing(self.folder / f"{self.name}.json") as temporary:
            ids = [self.ids[place] for place in places.tolist()]
            temporary.write_text(json.dumps({"ids": ids, "failures": failed}, ensure_ascii=False), encoding="utf-8")
        shutil.rmtree(self._partial, ignore_errors=True)
        found = self.finished()
        assert found is not None
        return found


class _Memory:
    """What `Shards` is, for results that are not kept."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, tuple[Any, int]]] = {"image": {}, "text": {}}

    def write(self, kind: str, keys: list[str], features: Array) -> None:
        self.known[kind] |= {key: (features, row) for row, key in enumerate(keys)}


def _gather(vectors: Array, places: Array, known: dict[str, tuple[Any, int]]) -> None:
    """Each place's row, file by file."""
    by_source: dict[Any, tuple[Any, list[int], list[int]]] = {}
    for row, place in enumerate(places.tolist()):
        source, there = known[str(place)]
        name = source if isinstance(source, Path) else id(source)
        _, here, rows = by_source.setdefault(name, (source, [], []))
        here.append(row)
        rows.append(there)
    for source, here, rows in by_source.values():
        features = np.load(source, allow_pickle=False) if isinstance(source, Path) else source
        vectors[here] = features[rows]
