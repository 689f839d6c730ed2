"""The bundled font: most of what is written in Chinese, on machines that have no Chinese font."""

from __future__ import annotations

from pathlib import Path

from PIL import ImageFont

FILE = Path(__file__).parent / "TuwenSansSC-Regular.otf"


def font(size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels."""
    return ImageFont.truetype(FILE, size, layout_engine=ImageFont.Layout.BASIC)
