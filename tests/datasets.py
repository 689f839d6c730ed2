"""Small datasets on disk for tests, in the raw files of Chinese-CLIP."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tuwen.data.dataset import Dataset


def png(number: int, size: tuple[int, int] = (3, 2)) -> bytes:
    """A picture's file, another one for every number."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256 % 256, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def save_images(path: Path, rows: Sequence[tuple[Any, bytes]]) -> Path:
    """A tsv of ids and pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(b"%b\t%b\n" % (str(id).encode(), base64.b64encode(content)) for id, content in rows))
    return path


def save_texts(path: Path, rows: Sequence[tuple[Any, str, Sequence[Any]]]) -> Path:
    """A jsonl of text ids, texts and the ids of their pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [{"text_id": id, "text": text, "image_ids": list(images)} for id, text, images in rows]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def save_split(folder: Path, split: str = "train", count: int = 6, first: int = 0) -> Path:
    """A split with `count` pictures; every second text has two pictures, the last has none."""
    ids = [first + 7 * number for number in range(count)]
    save_images(folder / f"{split}_imgs.tsv", [(id, png(id)) for id in ids])
    texts = [
        (
            first + number,
            f"第{first + number}张图 picture",
            [ids[number], *ids[:number][-1:]] if number % 2 else [ids[number]],
        )
        for number in range(count)
    ]
    save_texts(folder / f"{split}_texts.jsonl", [*texts, (first + count, "没有图", [])])
    return folder


def content_of(dataset: Dataset) -> tuple[dict[str, Any], list[tuple[str, str, tuple[str, ...]]]]:
    """All that a dataset of pairs says, to compare."""
    pictures = {id: dataset.pictures[id] for id in dataset.pictures}
    return pictures, [(text.id, text.text, text.image_ids) for text in dataset.texts]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by name, locks left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock.mdb"
    }
