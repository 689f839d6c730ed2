"""Pictures for the tests, drawn from a fixed seed."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL
from PIL import Image

# Until version 12 Pillow always resized horizontally first; tuwen does as version 13 with every version.
PILLOW_RESIZES_ALIKE = int(PIL.__version__.split(".")[0]) >= 13


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """Soft shapes with a little noise: what JPEG is made for."""
    blurred = Image.fromarray(noise(width // 8 + 2, height // 8 + 2, seed=seed)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    grain = np.random.default_rng(seed).integers(-12, 13, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(blurred) + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def in_every_mode(width: int, height: int) -> dict[str, bytes]:
    """Files that Pillow opens in these modes; those without transparency also with a transparent colour."""
    colour = Image.fromarray(noise(width, height))
    clear = Image.fromarray(noise(width, height, 4))
    ink = Image.frombytes("CMYK", (width, height), noise(width, height, 4).tobytes())
    grey = Image.fromarray(noise(width, height, 1))
    deep = Image.fromarray(np.random.default_rng(1).integers(0, 65536, (height, width)).astype(np.uint16))
    wide = Image.fromarray(np.random.default_rng(2).uniform(-20, 300, (height, width)).astype(np.float32))
    palette = colour.quantize(37)
    return {
        "RGB": encoded(colour, "PNG"),
        "RGB with a key": encoded(colour, "PNG", transparency=tuple(np.asarray(colour)[0, 0].tolist())),
        "RGBA": encoded(clear, "PNG"),
        "L": encoded(grey, "PNG"),
        "L with a key": encoded(grey, "PNG", transparency=int(np.asarray(grey)[0, 0])),
        "LA": encoded(clear.convert("LA"), "PNG"),
        "P": encoded(palette, "PNG"),
        "P with a key": encoded(palette, "PNG", transparency=3),
        "P with many": encoded(palette, "PNG", transparency=bytes(range(0, 222, 6))),
        "1": encoded(grey.convert("1"), "PNG"),
        "CMYK": encoded(ink, "TIFF"),
        "CMYK JPEG": encoded(ink, "JPEG"),
        "I;16": encoded(deep, "PNG"),
        "F": encoded(wide, "TIFF"),
    }


def empty_png(width: int, height: int) -> bytes:
    """A header that promises a picture, and no pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
