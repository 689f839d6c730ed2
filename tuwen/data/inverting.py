"""Texts of pictures turned into pictures of texts, as transform_ir_annotation_to_tr.py of Chinese-CLIP does."""

from __future__ import annotations

import json
from pathlib import Path

from tuwen.data.chinese_clip import text_row
from tuwen.data.chinese_clip_table import lines
from tuwen.data.options import Writing
from tuwen.errors import InputError


def target_of(path: Path) -> Path:
    """Where the original writes: every ".jsonl" goes from the path, ".tr.jsonl" comes to its end."""
    return Path(str(path).replace(".jsonl", "") + ".tr.jsonl")


def invert(path: Path, target: Path | None = None, writing: Writing | None = None) -> tuple[Path, int]:
    """Write {"image_id", "text_ids"} for every picture that a text names, in the order in which they are named.

    Gives the file and the number of its lines. InputError names a line that is not of the form.
    """
    target = target or target_of(path)
    texts_of: dict[int | str, list[int | str]] = {}
    for number, _, line in lines(path):
        try:
            row = text_row(number, line)
        except InputError as error:
            raise InputError(f"{path.name}:{number}: {error}") from None
        for id in row.image_ids:
            texts_of.setdefault(id, []).append(row.text_id)
    writing = writing or Writing(overwrite=True)
    with writing.growing(target.parent, [target.name], {"source": str(path.resolve()), "to": "tr"}) as files:
        for id, texts in list(texts_of.items())[files.done :]:
            files.write(target.name, json.dumps({"image_id": id, "text_ids": texts}).encode() + b"\n")
            files.step(files.done + 1)
    return target, len(texts_of)
