"""Pictures of any kind as JPEG files."""

from __future__ import annotations

import io

from PIL import ImageOps

from tuwen.processing.decode import decode

QUALITY = 95  # OpenCV's own, with which ERNIE-ViL's convert2base64.py writes


def as_jpeg(content: bytes, quality: int = QUALITY) -> bytes:
    """The bytes of a picture's file as JPEG, upright and in RGB; InputError where it is no picture."""
    image = ImageOps.exif_transpose(decode(content))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
