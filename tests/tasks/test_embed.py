"""Embedding a folder with an encoder that counts: what is asked of it, and what survives a run that stops."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tuwen.data import parquet
from tuwen.data.embedded import open_embedded
from tuwen.data.folder import find
from tuwen.errors import InputError, UsageError
from tuwen.tasks import embed

DESCRIBE = {"model": {"name": "counter"}}


class Counter:
    """Features made of a checksum; it stops as told after so many pictures."""

    fingerprint = "f" * 16
    embedding = 2

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.pictures: list[str] = []
        self.texts: list[str] = []

    def embed_images(
        self, images: Sequence[Any], batch_size: int, *, on_error: Callable[[int, InputError], None] | None
    ) -> Iterator[tuple[list[int], Tensor]]:
        for number, path in enumerate(images):
            if len(self.pictures) == self.stop_after:
                raise KeyboardInterrupt
            self.pictures.append(Path(path).name)
            yield [number], self.features([Path(path).read_bytes()])

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        self.texts += texts
        return self.features([text.encode() for text in texts])

    @staticmethod
    def features(contents: Sequence[bytes]) -> Tensor:
        return torch.tensor([[float(zlib.crc32(content) % 1000), 1.0] for content in contents])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.png").write_bytes(bytes([number]))
    (folder / "0.txt").write_text("猫\n狗\n猫\n", encoding="utf-8")
    return folder


def run(encoder: Counter, folder: Path, output: Path, **options: Any) -> embed.Plan:
    planned = embed.plan(encoder, find(folder), output, **options)
    embed.run(encoder, planned, DESCRIBE)
    return planned


def test_equal_texts_are_encoded_once_and_keep_their_rows(folder: Path, tmp_path: Path) -> None:
    encoder = Counter()
    run(encoder, folder, tmp_path / "out")
    assert encoder.texts == ["猫", "狗"]
    texts = open_embedded(tmp_path / "out").texts
    assert texts is not None
    assert [row.text for row in texts.rows] == ["猫", "狗", "猫"]
    np.testing.assert_array_equal(texts.features[0], texts.features[2])


@pytest.mark.parametrize("shard", [1, 2, 3, 100])
def test_an_interrupted_run_does_nothing_twice(
    shard: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "SHARD", shard)
    first, second, whole = Counter(stop_after=5), Counter(), Counter()
    with pytest.raises(KeyboardInterrupt):
        run(first, folder, tmp_path / "out")
    run(second, folder, tmp_path / "out")
    run(whole, folder, tmp_path / "fresh")
    assert first.pictures + second.pictures == whole.pictures
    resumed, fresh = open_embedded(tmp_path / "out").images, open_embedded(tmp_path / "fresh").images
    assert resumed and fresh
    assert resumed.rows == fresh.rows
    np.testing.assert_array_equal(resumed.features, fresh.features)


def test_another_model_does_not_go_on_with_what_is_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Counter(stop_after=2), folder, tmp_path / "out")
    other = Counter()
    other.fingerprint = "0" * 16
    with pytest.raises(InputError, match="unfinished run of another model"):
        run(other, folder, tmp_path / "out")
    run(other, folder, tmp_path / "out", overwrite=True)
    assert len(other.pictures) == 7


def test_a_failure_to_write_leaves_the_finished_folder_as_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Counter(), folder, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (folder / "9.png").write_bytes(b"9")

    def full(path: Path, rows: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("tuwen.data.parquet.write", full)
        with pytest.raises(OSError, match="No space"):
            run(Counter(), folder, tmp_path / "out")
    now = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert now == before
    again = Counter()
    run(again, folder, tmp_path / "out")
    assert again.pictures == []  # its vector was kept beside the finished ones


def test_half_precision_is_not_taken_for_whole(folder: Path, tmp_path: Path) -> None:
    run(Counter(), folder, tmp_path / "out", half=True)
    again = Counter()
    run(again, folder, tmp_path / "out")
    assert len(again.pictures) == 7
    to_half = Counter()
    run(to_half, folder, tmp_path / "out", half=True)
    assert to_half.pictures == []


def test_unknown_choices_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="image, text or both"):
        embed.plan(Counter(), find(folder), tmp_path / "out", what="sound")
    planned = embed.plan(Counter(), find(folder), tmp_path / "out")
    with pytest.raises(UsageError, match="skip or fail"):
        embed.run(Counter(), planned, DESCRIBE, on_error="ignore")


# -- boxes ------------------------------------------------------------------------------------------------------------


class Regions(Counter):
    """The same, and it remembers the boxes that came with the pictures."""

    takes_boxes = True
    boxes: Sequence[Any] | None = None

    def embed_images(
        self,
        images: Sequence[Any],
        batch_size: int,
        *,
        on_error: Callable[[int, InputError], None] | None,
        boxes: Sequence[Any] | None = None,
    ) -> Iterator[tuple[list[int], Tensor]]:
        self.boxes = boxes
        yield from super().embed_images(images, batch_size, on_error=on_error)


def test_boxes_of_a_table_reach_a_model_that_takes_some(folder: Path, tmp_path: Path) -> None:
    found = find(folder)
    given = [[[1.0, 2.0, 3.0, 4.0]], [], None]
    found.pictures = [
        replace(picture, boxes=None if boxes is None else json.dumps(boxes))
        for picture, boxes in zip(found.pictures, given, strict=False)
    ]
    for encoder, reached in ((Regions(), given), (Counter(), None)):
        planned = embed.plan(encoder, found, tmp_path / type(encoder).__name__)
        embed.run(encoder, planned, DESCRIBE)
        assert getattr(encoder, "boxes", None) == reached
    images = open_embedded(tmp_path / "Regions").images
    assert images is not None
    assert images.rows == found.pictures


def test_without_boxes_none_are_passed_and_no_column_is_written(folder: Path, tmp_path: Path) -> None:
    encoder = Regions()
    run(encoder, folder, tmp_path / "out")
    assert encoder.boxes is None
    assert parquet.read(tmp_path / "out/images.parquet")[0].keys() == {"id", "source", "size_bytes", "modified_ns"}


def test_a_picture_with_other_boxes_is_embedded_again(folder: Path, tmp_path: Path) -> None:
    found = find(folder)
    found.pictures = [replace(found.pictures[0], boxes="[]")]
    embed.run(Regions(), embed.plan(Regions(), found, tmp_path / "out"), DESCRIBE)
    found.pictures = [replace(found.pictures[0], boxes="[[1, 2, 3, 4]]")]
    assert embed.plan(Regions(), found, tmp_path / "out").todo["image"] == found.pictures
