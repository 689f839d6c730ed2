"""The folder that `tuwen embed` writes: vectors to map into memory, a table of what they are of, and a manifest."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from tuwen.checkpoint import replacing
from tuwen.data.folder import Failure, PictureFile, TextLine
from tuwen.errors import InputError, MissingExtra

FORMAT = 1
MANIFEST = "manifest.json"
PARTIAL = ".partial"  # what an unfinished run has done so far
ROWS = {"image": PictureFile, "text": TextLine}

Row = TypeVar("Row", PictureFile, TextLine)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Part(Generic[Row]):
    """Row i of the features (N, E), float32 or float16, unit length, is of `rows[i]`."""

    rows: list[Row]
    features: Array


@dataclass(frozen=True)
class Embedded:
    """A finished folder; images and texts are None where it holds none of them."""

    folder: Path
    manifest: dict[str, Any]
    images: Part[PictureFile] | None
    texts: Part[TextLine] | None
    failures: list[Failure] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """Of the model that made the vectors."""
        return str(self.manifest["model"]["fingerprint"])


def open_embedded(folder: Path) -> Embedded:
    """Map a finished folder into memory.

    InputError if it is missing, unfinished, damaged or of a later format; MissingExtra if its tables need pyarrow.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        if (folder / PARTIAL).is_dir():
            raise InputError(f"{folder} is unfinished: run the same `tuwen embed` command again, it goes on there")
        what = "has no manifest.json" if folder.is_dir() else "does not exist"
        raise InputError(f"{folder} {what}: make it with `tuwen embed PICTURES -m MODEL -o {folder}`")
    failures = [Failure(**failure) for failure in manifest["failures"]]
    return Embedded(folder, manifest, _part(folder, manifest, "image"), _part(folder, manifest, "text"), failures)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """manifest.json, None if there is none; InputError if it is not one of ours."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["format"] <= FORMAT and manifest["model"]["fingerprint"] and manifest["failures"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} was not written by tuwen, or is damaged: embed into another folder") from None
    if not known:
        raise InputError(f"{path} is of format {manifest['format']}, this version reads up to {FORMAT}: update tuwen")
    return manifest


def _part(folder: Path, manifest: dict[str, Any], kind: str) -> Any:
    entry = manifest.get(kind)
    if entry is None:
        return None
    try:
        features = np.load(folder / entry["features"], mmap_mode="r", allow_pickle=False)
        rows = [ROWS[kind](**row) for row in _read_table(folder / entry["rows"])]
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise InputError(f"{folder} is damaged ({error}): embed it again with --overwrite") from None
    if len(features) != len(rows):
        raise InputError(f"{folder} is damaged ({len(features)} vectors, {len(rows)} rows): embed with --overwrite")
    return Part(rows, features)


def _read_table(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        try:
            from tuwen.data import parquet
        except ModuleNotFoundError:
            raise MissingExtra(f"reading {path.name} needs pyarrow: pip install 'tuwen[data]'") from None
        return parquet.read(path)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table_ending() -> str:
    """How tables are written on this machine: ".parquet", or ".jsonl" where pyarrow is missing."""
    try:
        from tuwen.data import parquet  # noqa: F401
    except ModuleNotFoundError:
        return ".jsonl"
    return ".parquet"


class Writer:
    """A new state of the folder: everything is written under temporary names, then takes its place at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready: list[tuple[Path, Path]] = []  # temporary, final
        self.parts: dict[str, Any] = {}

    def features(self, kind: str, rows: int, width: int, dtype: str) -> Array:
        """An array (rows, width) in a new file, to be filled."""
        name = f"{kind}_features.npy"
        self.parts[kind] = {"count": rows, "features": name}
        return np.lib.format.open_memmap(self._temporary(name), "w+", np.dtype(dtype), (rows, width))

    def table(self, kind: str, rows: Sequence[PictureFile | TextLine]) -> None:
        """The table beside the features, one line for each of them."""
        name = f"{kind}s{table_ending()}"
        self.parts[kind]["rows"] = name
        plain = _plain(rows)
        if name.endswith(".parquet"):
            from tuwen.data import parquet

            parquet.write(self._temporary(name), plain)
        else:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in plain)
            self._temporary(name).write_text(lines, encoding="utf-8")

    def finish(self, manifest: dict[str, Any]) -> None:
        """Put everything in its place, the manifest last: a folder without one is not taken for a finished one."""
        (self.folder / MANIFEST).unlink(missing_ok=True)
        for temporary, final in self.ready:
            temporary.replace(final)
        written = {final.name for _, final in self.ready}
        for kind in ROWS:  # what an earlier run left in another form, or of a kind that is no longer there
            for name in (f"{kind}_features.npy", f"{kind}s.parquet", f"{kind}s.jsonl"):
                if name not in written:
                    (self.folder / name).unlink(missing_ok=True)
        with replacing(self.folder / MANIFEST) as temporary:
            content = {"format": FORMAT, **manifest, **self.parts}
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _temporary(self, name: str) -> Path:
        path = self.folder / f".{name}.part"
        self.ready.append((path, self.folder / name))
        return path


def _plain(rows: Sequence[PictureFile | TextLine]) -> list[dict[str, Any]]:
    """Columns and values; that of boxes only where a picture has some."""
    plain = [asdict(row) for row in rows]
    if all(row.get("boxes") is None for row in plain):
        for row in plain:
            row.pop("boxes", None)
    return plain


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """A Writer whose temporary files vanish if it is left without `finish`."""
    writer = Writer(folder)
    try:
        yield writer
    finally:
        for temporary, _ in writer.ready:
            temporary.unlink(missing_ok=True)
