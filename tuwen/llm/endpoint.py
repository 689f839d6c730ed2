"""Where a large language model is asked: any server that speaks OpenAI's chat protocol, and how patiently."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tuwen.errors import MissingExtra, TuwenError, UsageError

if TYPE_CHECKING:
    from tuwen.llm.client import Client

URL, KEY, MODEL = "TUWEN_LLM_URL", "TUWEN_LLM_KEY", "TUWEN_LLM_MODEL"


class NoReply(TuwenError):
    """The endpoint gave no usable reply to a request; the message says why, and never holds the key."""


@dataclass(frozen=True)
class Endpoint:
    """A server, a model on it, and the limits of asking.

    url: up to /v1; timeout_s: of one attempt; retries: further attempts after the first; concurrency: requests in
    flight at most; first_wait_s: before the second attempt, doubled before each further one; parameters: sent with
    every request in place of the defaults, None leaves one out.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout_s: float = 60.0
    retries: int = 4
    concurrency: int = 4
    first_wait_s: float = 1.0
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"the LLM's URL is {self.url!r}: it must be such as http://localhost:8000/v1")
        if parts.username is not None or parts.password is not None:
            raise UsageError(f"the LLM's URL for {parts.hostname} holds a password: pass it as the key instead")
        if not self.model:
            raise UsageError(f"no LLM is named: pass --llm-model or set {MODEL}")
        if not self.key.isascii() or not self.key.isprintable() or " " in self.key:
            raise UsageError("the LLM's key has characters that no key has: copy it again")
        if self.timeout_s <= 0 or self.retries < 0 or self.concurrency < 1 or self.first_wait_s < 0:
            raise UsageError("an LLM needs a timeout above 0 s, 0 or more retries and 1 or more requests at once")


def endpoint(url: str | None = None, key: str | None = None, model: str | None = None, **limits: Any) -> Endpoint:
    """An Endpoint from what is given or, where it is None, from TUWEN_LLM_URL, TUWEN_LLM_KEY and TUWEN_LLM_MODEL.

    There is no default server: UsageError without a URL, so that nothing is sent anywhere unasked. OPENAI_API_KEY
    counts only for the server it belongs to, api.openai.com or OPENAI_BASE_URL: another one never gets to see it.
    """
    url = (url or os.environ.get(URL) or "").strip()
    if not url:
        raise UsageError(
            f"no LLM endpoint is given: pass --llm-url or set {URL}, e.g. http://localhost:11434/v1 "
            "(nothing is sent anywhere without it)"
        )
    key = (key or os.environ.get(KEY) or _key_of_openai(url)).strip()
    return Endpoint(url, (model or os.environ.get(MODEL) or "").strip(), key, **limits)


def _key_of_openai(url: str) -> str:
    own = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
    belongs = url.rstrip("/") == own or (urlsplit(url).scheme, urlsplit(url).hostname) == ("https", "api.openai.com")
    return os.environ.get("OPENAI_API_KEY", "") if belongs else ""


def connect(to: Endpoint, cache: Path | None = None) -> Client:
    """A client of that endpoint; nothing is sent yet. cache: folder of earlier replies, none if None.

    MissingExtra where the openai package is not installed.
    """
    try:
        from tuwen.llm.client import Client
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "openai":
            raise
        raise MissingExtra("asking an LLM needs the openai package: pip install 'tuwen[llm]'") from None
    return Client(to, cache)


def cache_folder() -> Path:
    """Where replies are kept by default: under XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tuwen" / "llm"
