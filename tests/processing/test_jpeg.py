"""Pictures of any kind as JPEG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tuwen.errors import InputError
from tuwen.processing.jpeg import as_jpeg


def saved(image: Image.Image, form: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA"])
def test_every_mode_becomes_a_jpeg_in_colour(mode: str) -> None:
    image = Image.open(io.BytesIO(as_jpeg(saved(Image.new("RGB", (20, 10), (200, 30, 40)).convert(mode), "PNG"))))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (20, 10))


def test_a_picture_on_its_side_is_put_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    content = as_jpeg(saved(Image.new("RGB", (20, 10)), "JPEG", exif=exif))
    assert Image.open(io.BytesIO(content)).size == (10, 20)
    assert 0x0112 not in Image.open(io.BytesIO(content)).getexif()


def test_more_quality_takes_more_bytes() -> None:
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 256, (32, 32, 3), dtype=np.uint8))
    content = saved(noise, "PNG")
    assert len(as_jpeg(content, 50)) < len(as_jpeg(content)) < len(as_jpeg(content, 100))


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InputError):
        as_jpeg(b"no picture")
