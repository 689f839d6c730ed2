"""BriVL's cal_xyb_retrieval.py: recall at 1 of the pairs in np_img.npy and np_text.npy, as it prints it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuwen.errors import InputError
from tuwen.models.brivl.outputs import FILES
from tuwen.search.exact import ranks_of

Array = np.ndarray[Any, Any]

OPTIONS = ("img2text", "text2img")


def cal_xyb_retrieval(folder: Path) -> str:
    """A folder with both files -> what is printed; InputError where one is missing or they are not of equal size."""
    images, texts = (_read(folder / name) for name in FILES)
    if images.shape != texts.shape or images.ndim != 2:
        raise InputError(f"{FILES[0]} has the shape {images.shape}, {FILES[1]} {texts.shape}: expected (N, E) of both")
    return printed(images, texts)


def _read(path: Path) -> Array:
    try:
        vectors: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table of vectors: {error}") from None
    return vectors


def ranks(images: Array, texts: Array) -> dict[str, Array]:
    """Vectors (N, E) of N pairs, as they are -> the rank, from 1, of each one's own partner, by the script's options.

    Scores are float32; the script sorts equal ones in any order, here they stand in the order of the rows.
    """
    image, text = (torch.from_numpy(side.astype(np.float32)) for side in (images, texts))
    own = torch.arange(len(image))
    pairs = zip(OPTIONS, ((image, text), (text, image)), strict=True)
    return {option: ranks_of(queries, gallery, own, own).numpy() for option, (queries, gallery) in pairs}


def printed(images: Array, texts: Array) -> str:
    """What the script prints of vectors (N, E) of N pairs."""
    sizes = " ".join(f"torch.Size({list(side.shape)})" for side in (images, texts))
    lines = [f"{sizes} {len(images)}", "Pair-to-pair: calculating scores"]
    for option, places in ranks(images, texts).items():
        lines += [f"Option is {option}", f"Recall@1:  {float((places == 1).mean()):.2%}"]
    return "\n".join(lines) + "\n"
