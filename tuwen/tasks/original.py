"""Vectors in the files that a family's own tools write, from the same input and byte for byte in their format."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tuwen import models
from tuwen.checkpoint import replacing
from tuwen.data.embedded import PARTIAL
from tuwen.data.folder import Found, PictureFile, TextLine
from tuwen.errors import InputError, UsageError
from tuwen.tasks.embed import Plan, gather

Pairs = list[tuple[PictureFile, TextLine]]


def files_of(family: str) -> ModuleType:
    """How a family's own tools write vectors: FILES, OF_PAIRS, write. UsageError for one whose files tuwen lacks."""
    outputs: ModuleType | None = getattr(models.family(family), "outputs", None)
    if outputs is None:
        able = [name for name in models.FAMILIES if hasattr(models.family(name), "outputs")]
        raise UsageError(
            f"{family} has no vector files of its own here, only {', '.join(able)}: leave out --format original"
        )
    return outputs


def check(found: Found, outputs: ModuleType, output: Path, overwrite: bool = False) -> None:
    """InputError, before anything is computed, for an input without pairs where they are needed, or for files that are
    there already."""
    pairs_of(found, outputs)
    there = [name for name in outputs.FILES if (output / name).exists()]
    if there and not overwrite:
        raise InputError(f"{output} already has {' and '.join(there)}: pass --overwrite, or choose another folder")


def pairs_of(found: Found, outputs: ModuleType) -> Pairs | None:
    """The pairs of an input, in the order of its rows; None for separate lists of pictures and texts."""
    named = {picture.id: picture for picture in found.pictures}
    pairs = [(named[text.image], text) for text in found.texts if text.image in named]
    if not pairs and not outputs.OF_PAIRS and found.pictures and found.texts:
        return None
    alone = [text.id for text in found.texts if text.image not in named]
    alone += sorted(named.keys() - {picture.id for picture, _ in pairs})
    if not (pairs or alone) and found.failures:
        first = found.failures[0]
        raise InputError(f"no row can be used, all {len(found.failures)} are bad: {first.id}: {first.reason}")
    if alone or not pairs:
        what = f"{alone[0]} has no partner" if alone else f"{found.root} holds no pairs"
        raise InputError(
            f"{' and '.join(outputs.FILES)} {'is' if len(outputs.FILES) == 1 else 'are'} of pictures with their texts, "
            f"and {what}: give every picture a text, or leave out --format original"
        )
    return pairs


def write(planned: Plan, found: Found, outputs: ModuleType, width: int) -> list[Path]:
    """Write what was computed, whole or not at all; pairs of a picture that could not be read are left out."""
    pairs = pairs_of(found, outputs)
    good = {picture.key for picture in planned.rows["image"]}
    rows: dict[str, list[Any]] = dict(planned.rows)
    if pairs is not None:
        kept = [(picture, text) for picture, text in pairs if picture.key in good]
        rows = {"image": [picture for picture, _ in kept], "text": [text for _, text in kept]}
    if not all(rows.values()):
        raise InputError(f"nothing could be embedded: {planned.failures[0].id}: {planned.failures[0].reason}")
    scratch = planned.output / PARTIAL
    scratch.mkdir(parents=True, exist_ok=True)
    vectors = [_gathered(planned, kind, rows[kind], width, scratch / f"{kind}.tmp") for kind in ("image", "text")]
    final = [planned.output / name for name in outputs.FILES]
    with contextlib.ExitStack() as stack:
        outputs.write(tuple(stack.enter_context(replacing(path)) for path in final), *vectors)
    vectors.clear()  # their maps would keep the files from vanishing on Windows
    shutil.rmtree(scratch, ignore_errors=True)
    return final


def _gathered(planned: Plan, kind: str, rows: list[Any], width: int, path: Path) -> np.ndarray[Any, Any]:
    """float32 (N, E) in the order of the rows, in a file: there may be more than fits into memory."""
    features = np.lib.format.open_memmap(path, "w+", np.dtype("float32"), (len(rows), width))
    gather(planned, kind, rows, features)
    return features
