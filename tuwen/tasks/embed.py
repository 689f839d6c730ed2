"""Embed pictures and texts: every one into a row of features, in a run that can stop and go on."""

from __future__ import annotations

import json
import platform
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from tuwen.checkpoint import replacing
from tuwen.data.embedded import PARTIAL, Array, Embedded, open_embedded, read_manifest, writing
from tuwen.data.folder import Failure, Found, PictureFile, TextLine
from tuwen.data.inputs import Contents, boxes_of
from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.types import Picture

SHARD = 1000  # rows: what a run that is killed loses at most
TEXTS_AT_ONCE = 250  # between two reports of progress
KINDS = ("image", "text")

Report = Callable[[int, int], None]  # rows done since the last report, failures so far


class Encoder(Protocol):
    """What embedding needs of a two-tower model.

    One whose `takes_boxes` is true takes `boxes` of the pictures in `embed_images`, too: for each a list, or None.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def embedding(self) -> int: ...

    def embed_images(
        self,
        images: Sequence[Picture],
        batch_size: int,
        *,
        on_error: Callable[[int, InputError], None] | None,
    ) -> Iterator[tuple[list[int], Tensor]]: ...

    def encode_text(self, texts: Sequence[str]) -> Tensor: ...


@dataclass
class Plan:
    """What an input needs: the rows of each kind, which of them have vectors already, and where those lie.

    origins: as of `Found`.
    """

    output: Path
    rows: dict[str, list[Any]]
    failures: list[Failure]
    fingerprint: str
    dtype: str
    shards: Shards
    previous: Embedded | None = None
    origins: dict[str, str] = field(default_factory=dict)
    todo: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Rows still to be embedded."""
        return sum(map(len, self.todo.values()))

    @property
    def up_to_date(self) -> bool:
        """Whether the output already is what this run would write."""
        if self.previous is None or self.missing or self.previous.manifest["dtype"] != self.dtype:
            return False
        parts = {"image": self.previous.images, "text": self.previous.texts}
        same_rows = all((part.rows if part else []) == self.rows[kind] for kind, part in parts.items())
        return same_rows and {f.id for f in self.previous.failures} == {f.id for f in self.failures}


def plan(
    model: Encoder,
    found: Found,
    output: Path,
    what: str = "both",
    half: bool = False,
    overwrite: bool = False,
) -> Plan:
    """Compare what is there with what was done before, in `output` and in the shards of an unfinished run.

    InputError if the output is of another model (its fingerprint differs) and overwrite is not set, or if the input has
    nothing of the kind that is asked for.
    """
    if what not in (*KINDS, "both"):
        raise UsageError(f"what is {what!r}: it must be image, text or both")
    rows: dict[str, list[Any]] = {
        "image": found.pictures if what != "text" else [],
        "text": found.texts if what != "image" else [],
    }
    if not any(rows.values()) and not found.failures:
        kind = {"image": "pictures", "text": "texts"}[what]
        raise InputError(f"{found.root} holds no {kind}: choose another folder, or --what both")
    previous = _previous(output, model.fingerprint, overwrite)
    shards = Shards(output / PARTIAL, model.fingerprint, overwrite)
    dtype = "float16" if half else "float32"
    planned = Plan(output, rows, list(found.failures), model.fingerprint, dtype, shards, previous, found.origins)
    known_failures = {failure.key: failure for failure in previous.failures if failure.key} if previous else {}
    for kind in KINDS:
        known = shards.known[kind].keys() | _kept(planned, kind).keys()
        fresh = [row for row in rows[kind] if row.key not in known]
        planned.failures += [known_failures[row.key] for row in fresh if row.key in known_failures]
        failed = {row.key for row in fresh if row.key in known_failures}
        rows[kind] = [row for row in rows[kind] if row.key not in failed]
        # Equal texts have one vector.
        planned.todo[kind] = list({row.key: row for row in fresh if row.key not in failed}.values())
    return planned


def _previous(output: Path, fingerprint: str, overwrite: bool) -> Embedded | None:
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file: name a folder, new or written by `tuwen embed` before")
    if overwrite or not output.exists():
        return None
    manifest = read_manifest(output)
    if manifest is None:
        return None
    made_by = manifest["model"]
    if made_by["fingerprint"] != fingerprint:
        raise InputError(
            f"{output} has vectors of {made_by['name']} (fingerprint {made_by['fingerprint']}), this model has "
            f"{fingerprint}: vectors of two models never mix, choose another folder or pass --overwrite"
        )
    return open_embedded(output)


def _kept(planned: Plan, kind: str) -> dict[str, int]:
    """key -> row of the vectors in the finished output that may be used again."""
    previous = planned.previous
    # Half precision cannot be made whole again.
    if previous is None or (previous.manifest["dtype"] == "float16" and planned.dtype == "float32"):
        return {}
    part: Any = previous.images if kind == "image" else previous.texts
    return {row.key: number for number, row in enumerate(part.rows)} if part else {}


class Shards:
    """Vectors of an unfinished run, in files of up to 1,000 rows; `known` maps kind -> key -> (file, row)."""

    def __init__(self, folder: Path, fingerprint: str, overwrite: bool) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.known: dict[str, dict[str, tuple[Path, int]]] = {kind: {} for kind in KINDS}
        if overwrite:
            shutil.rmtree(folder, ignore_errors=True)
        for path in sorted(folder.glob("*.npy")):
            self._read(path)

    def _read(self, path: Path) -> None:
        index = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if index["fingerprint"] != self.fingerprint:
            raise InputError(
                f"{self.folder.parent} has an unfinished run of another model (fingerprint {index['fingerprint']}, "
                f"this one has {self.fingerprint}): choose another folder or pass --overwrite"
            )
        self.known[index["kind"]] |= {key: (path, row) for row, key in enumerate(index["keys"])}

    def write(self, kind: str, keys: list[str], features: Array) -> None:
        """One more file; it counts only once its vectors have their final name."""
        if not keys:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{len(list(self.folder.glob('*.npy'))):06d}.npy"
        index = {"fingerprint": self.fingerprint, "kind": kind, "keys": keys}
        path.with_suffix(".json").write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
        with replacing(path) as temporary, temporary.open("xb") as file:
            np.save(file, features)
        self.known[kind] |= {key: (path, row) for row, key in enumerate(keys)}


# -- doing it --------------------------------------------------------------------------------------------------------


def run(
    model: Encoder,
    planned: Plan,
    describe: dict[str, Any],
    batch_size: int = 32,
    on_error: str = "skip",
    report: Report = lambda done, failed: None,
) -> None:
    """Embed what is missing and write the output; nothing in it changes before the end.

    describe: what the manifest says beside counts, failures and versions; describe["model"] has at least the name.
    on_error and report: as of `compute`.
    """
    compute(model, planned, batch_size, on_error, report)
    finish(planned, model.embedding, describe)


def compute(
    model: Encoder,
    planned: Plan,
    batch_size: int = 32,
    on_error: str = "skip",
    report: Report = lambda done, failed: None,
) -> None:
    """Embed what is missing into the plan's shards.

    on_error: "skip" lists a picture that cannot be read among `planned.failures`, "fail" stops with its InputError.
    Stopped for whatever reason, a run of the same model into the same output goes on where this one was.
    """
    if on_error not in ("skip", "fail"):
        raise UsageError(f"on_error is {on_error!r}: it must be skip or fail")
    if on_error == "fail" and planned.failures:
        first = planned.failures[0]
        raise InputError(f"{first.id}: {first.reason}")
    _images(model, planned, batch_size, on_error, report)
    _texts(model, planned, report)
    if not any(planned.rows.values()):
        reasons = "; ".join(f"{failure.id}: {failure.reason}" for failure in planned.failures[:3])
        raise InputError(f"nothing could be embedded, all {len(planned.failures)} failed: {reasons}")


def _images(model: Encoder, planned: Plan, batch_size: int, on_error: str, report: Report) -> None:
    todo: list[PictureFile] = planned.todo["image"]
    failed: set[str] = set()

    def skip(number: int, error: InputError) -> None:
        failed.add(todo[number].key)
        row = todo[number]
        planned.failures.append(Failure(planned.origins.get(row.id, row.id), str(error), row.key))
        report(1, len(planned.failures))

    keys: list[str] = []
    rows: list[Array] = []

    def keep() -> None:
        if keys:
            planned.shards.write("image", keys, np.concatenate(rows))
        keys.clear()
        rows.clear()

    boxes = boxes_of(todo) if getattr(model, "takes_boxes", False) else None
    regions: dict[str, Any] = {} if boxes is None else {"boxes": boxes}
    pictures = Contents([row.source for row in todo])
    stream = model.embed_images(pictures, batch_size, on_error=skip if on_error == "skip" else None, **regions)
    try:
        for numbers, features in stream:
            keys += [todo[number].key for number in numbers]
            rows.append(features.numpy())
            report(len(numbers), len(planned.failures))
            if len(keys) >= SHARD:
                keep()
    finally:
        keep()  # also when interrupted: what was computed is not lost
    planned.rows["image"] = [row for row in planned.rows["image"] if row.key not in failed]


def _texts(model: Encoder, planned: Plan, report: Report) -> None:
    todo: list[TextLine] = planned.todo["text"]
    for start in range(0, len(todo), SHARD):
        shard = todo[start : start + SHARD]
        rows = []
        for first in range(0, len(shard), TEXTS_AT_ONCE):
            texts = [row.text for row in shard[first : first + TEXTS_AT_ONCE]]
            rows.append(model.encode_text(texts).numpy())
            report(len(texts), len(planned.failures))
        planned.shards.write("text", [row.key for row in shard], np.concatenate(rows))


def finish(planned: Plan, width: int, describe: dict[str, Any]) -> None:
    """Gather all vectors in the order of the input, write them, and forget the shards."""
    planned.output.mkdir(parents=True, exist_ok=True)
    planned.failures.sort(key=lambda failure: failure.id)
    with writing(planned.output) as writer:
        for kind, rows in planned.rows.items():
            if rows:
                features = writer.features(kind, len(rows), width, planned.dtype)
                gather(planned, kind, rows, features)
                features.flush()  # type: ignore[attr-defined]  # a memory map
                del features
                writer.table(kind, rows)
        planned.previous = None  # its map of the old file would keep the new one from taking its place on Windows
        failures = [{"id": f.id, "reason": f.reason, "key": f.key} for f in planned.failures]
        manifest = {
            **describe,
            "dtype": planned.dtype,
            "unit_length": True,
            "versions": _versions(),
            "failures": failures,
        }
        manifest["model"] = {**describe["model"], "fingerprint": planned.fingerprint, "embedding": width}
        writer.finish(manifest)
    shutil.rmtree(planned.output / PARTIAL, ignore_errors=True)


def gather(planned: Plan, kind: str, rows: list[Any], features: Array) -> None:
    """Copy each row's vector from the shard or earlier output that has it, file by file."""
    kept = _kept(planned, kind)
    places: dict[Path | None, list[tuple[int, int]]] = defaultdict(list)  # file -> (row here, row there)
    for number, row in enumerate(rows):
        path, there = planned.shards.known[kind].get(row.key) or (None, kept.get(row.key, -1))
        places[path].append((number, there))
    for path, pairs in places.items():
        here, there_rows = map(list, zip(*pairs, strict=True))
        if path is not None:
            features[here] = np.load(path, allow_pickle=False)[there_rows]
        else:
            part = getattr(planned.previous, f"{kind}s")
            features[here] = part.features[there_rows]


def _versions() -> dict[str, str]:
    """Of everything that could change a vector."""
    versions = {"python": platform.python_version()}
    for name in ("tuwen", "torch", "numpy", "pillow", "tokenizers", "simplejpeg"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # optional, or run from a clone that is not installed
    return versions
