"""What ERNIE-ViL 2.0's own inference leaves behind: cross_modal_embeddings.out, one line per pair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuwen.errors import InputError

FILES = ("cross_modal_embeddings.out",)
OF_PAIRS = True  # a line is of a text and its picture

Array = np.ndarray[Any, Any]


def write(paths: tuple[Path, ...], images: Array, texts: Array) -> None:
    """Vectors (N, E) of unit length, float32: the text's, the picture's, and 1, with tabs between them."""
    (path,) = paths
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for image, text in zip(images, texts, strict=True):
            file.write(f"{printed(text)}\t{printed(image)}\t1\n")


def printed(vector: Array) -> str:
    """The shortest decimals that give back each float32, as numpy prints it, with blanks between them."""
    return " ".join(map(str, vector.astype(np.float32, copy=False)))


def read(path: Path) -> tuple[Array, Array]:
    """(images, texts), float32 (N, E) each, of such a file; InputError names the first line that is none of its."""
    images, texts = [], []
    for number, (text, image) in _lines(path):
        try:
            texts.append(np.array(text.split(" "), dtype=np.float32))
            images.append(np.array(image.split(" "), dtype=np.float32))
        except ValueError as error:
            raise InputError(f"{path.name}, line {number}: {error}") from None
        if {len(texts[-1]), len(images[-1])} != {len(texts[0])}:
            raise InputError(
                f"{path.name}, line {number} has {len(texts[-1])} and {len(images[-1])} numbers, the first line has "
                f"{len(texts[0])}"
            )
    if not texts:
        raise InputError(f"{path} is empty: expected a line for each pair")
    return np.stack(images), np.stack(texts)


def _lines(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            columns = line.rstrip("\n").split("\t")
            if len(columns) != 3:
                raise InputError(
                    f"{path.name}, line {number} has {len(columns)} columns, expected text vector, image vector and 1"
                )
            yield number, (columns[0], columns[1])
