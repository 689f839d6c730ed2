"""Text files as people write them: UTF-8, with or without a byte-order mark."""

from __future__ import annotations

from pathlib import Path

from tuwen.errors import InputError


def read_text(path: Path) -> str:
    """The whole text; InputError that names the file where it cannot be read or is in another encoding."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}): convert it, e.g. iconv -f gb18030 -t utf-8"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
