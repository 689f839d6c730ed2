"""A tiny random model, a few pictures, and a way to call the command line in this process."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from tuwen.cli import app
from tuwen.loading import new
from tuwen.models.chinese_clip import Config
from tuwen.nn.bert import BertConfig
from tuwen.nn.vit import ViTConfig
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import Processor
from tuwen.processing.vocabulary import build
from tuwen.processing.wordpiece import WordPiece

Call = Callable[..., Result]


def save_model(folder: Path, seed: int) -> Path:
    """A model of two layers of width 32 with random weights, as `Model.save` leaves it."""
    torch.manual_seed(seed)
    vocabulary = build(["一只红色的猫在绿色草地上照片图片里有", "a red cat on the green grass photo"])
    text = BertConfig(vocabulary=len(vocabulary), width=32, layers=2, heads=2, hidden=64)
    sizes = Config(ViTConfig(32, patch_size=16, width=32, layers=2, heads=2), text, embedding=16)
    processor = Processor(WordPiece(vocabulary), ImagePipeline(size=(32, 32)))
    new("chinese-clip", sizes, processor, ("zh", "en"), "cpu").save(folder)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny", 0)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "other", 1)


def save_pictures(folder: Path, count: int) -> Path:
    """Pictures of noise, 00.png, 01.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.RandomState(5)
    for number in range(count):
        pixels = noise.randint(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


def save_flat_picture(path: Path) -> None:
    """A PNG of ten columns and no rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 0, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return save_pictures(tmp_path / "pictures", 5)


@pytest.fixture
def truncated(pictures: Path) -> Path:
    """A picture among the others that ends too early."""
    path = pictures / "02b.png"
    path.write_bytes((pictures / "02.png").read_bytes()[:900])
    return path


@pytest.fixture
def call() -> Call:
    """call("search", folder, "猫") -> its exit code, what it printed and what it said on stderr."""
    runner = CliRunner()

    def run(*words: object) -> Result:
        result = runner.invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
