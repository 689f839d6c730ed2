"""What BriVL's own extraction leaves behind: np_img.npy and np_text.npy, row i of both of line i."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FILES = ("np_img.npy", "np_text.npy")
OF_PAIRS = False  # the second line's pictures and texts are separate lists

Array = np.ndarray[Any, Any]


def write(paths: tuple[Path, ...], images: Array, texts: Array) -> None:
    """Vectors (N, E) and (M, E) of unit length: float32, rows one after the other in memory."""
    for path, vectors in zip(paths, (images, texts), strict=True):
        with path.open("wb") as file:
            np.save(file, np.ascontiguousarray(vectors, dtype=np.float32), allow_pickle=False)
