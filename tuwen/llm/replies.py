"""Replies kept on disk by the hash of what was asked: nothing is asked, or paid for, twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuwen.checkpoint import replacing
from tuwen.errors import InputError


class Replies:
    """A folder of replies, a small file each; neither questions nor keys are in it. InputError if it cannot be made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the cache {folder} cannot be made ({error.strerror or error}): name another") from None

    def get(self, name: str) -> str | None:
        """The reply of that name; None if there is none, or only a damaged one."""
        try:
            reply = json.loads(self._path(name).read_text(encoding="utf-8"))["reply"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return reply if isinstance(reply, str) else None

    def put(self, name: str, reply: str) -> None:
        """Keep a reply; it appears whole."""
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"reply": reply}, ensure_ascii=False) + "\n", encoding="utf-8")

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.json"


def name_of(url: str, request: Mapping[str, Any]) -> str:
    """64 hex digits of server, model, messages and parameters: the same model name elsewhere may be another model."""
    content = json.dumps([url.rstrip("/"), request], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()
