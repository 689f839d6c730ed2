"""Ask a chat endpoint through the openai package: bounded, patient, and never the same thing twice."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import BoundedSemaphore, Event, Lock
from typing import Any
from urllib.parse import urlsplit

import openai

from tuwen.llm.endpoint import Endpoint, NoReply
from tuwen.llm.replies import Replies, name_of

LONGEST_WAIT_S = 120.0  # a server that asks for more is left alone until the next run
LONGEST_BACKOFF_S = 30.0
GIVE_UP_AFTER = 8  # requests in a row that failed in spite of all retries: the server is gone
PASSING = {408, 409, 425, 429}  # and everything from 500
THOUGHTS = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)  # some servers send a model's reasoning as its reply


class _Passing(Exception):
    """A failure that may pass. wait_s: what the server asked for."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Client:
    """Asks one endpoint, from any number of threads, with at most `endpoint.concurrency` requests in flight.

    What may pass (no connection, a timeout, 408, 409, 425, 429, 5xx, a reply that is broken or empty) is tried again
    with growing pauses; Retry-After holds for all threads. A wrong key, model or address, or a server that is gone,
    ends the asking: every later request fails at once. With a cache folder, equal requests are sent once, ever.
    """

    def __init__(self, endpoint: Endpoint, cache: Path | None = None) -> None:
        self.endpoint = endpoint
        self.replies = None if cache is None else Replies(cache)
        # Redirects are not followed: the prompt goes to the address that was given, and to no other.
        http = openai.DefaultHttpxClient(follow_redirects=False)
        key = endpoint.key or "none"  # local servers want none, the package does
        self._openai = openai.OpenAI(
            base_url=endpoint.url,
            api_key=key,
            timeout=endpoint.timeout_s,
            max_retries=0,
            http_client=http,
            default_headers={"Authorization": f"Bearer {key}"},  # or OPENAI_CUSTOM_HEADERS could bring another
        )
        # Both come from the environment and name an account at OpenAI, which is nobody else's business.
        self._openai.organization = self._openai.project = None
        self._slots = BoundedSemaphore(endpoint.concurrency)
        self._asking: dict[str, Lock] = defaultdict(Lock)
        self._lock = Lock()
        self._closing = Lock()
        self._stopped = Event()
        self._resume_at = 0.0  # on the monotonic clock
        self._failed_in_a_row = 0
        self._ended = ""  # why nothing more is sent

    def ask(self, messages: Sequence[Mapping[str, Any]], model: str | None = None, **defaults: Any) -> str:
        """The reply to chat messages, never empty, and without the reasoning before it; NoReply otherwise.

        model: another one than the endpoint's; defaults: parameters such as temperature, unless the endpoint has its
        own.
        """
        chosen = {**defaults, **self.endpoint.parameters}
        parameters = {name: value for name, value in chosen.items() if value is not None}
        request = {"model": model or self.endpoint.model, "messages": list(messages), "parameters": parameters}
        name = name_of(self.endpoint.url, request)
        with self._lock:
            same = self._asking[name]
        with same:  # whoever asks the same at the same time waits for the first one's reply
            reply = self.replies.get(name) if self.replies else None
            if reply is None:
                reply = self._insist(request)
                if self.replies:
                    self.replies.put(name, reply)
        return reply

    def close(self) -> None:
        """Wake up who waits, send nothing more, and wait for the requests that are in flight."""
        self._stopped.set()
        with self._closing:
            for _ in range(self.endpoint.concurrency):
                self._slots.acquire()
            self._openai.close()
            self._slots.release(self.endpoint.concurrency)

    def _insist(self, request: Mapping[str, Any]) -> str:
        """Send until there is a reply or the retries are used up."""
        backoff, reason = self.endpoint.first_wait_s, ""
        for attempt in range(self.endpoint.retries + 1):
            if attempt:
                self._stopped.wait(backoff)
                backoff = min(2 * backoff, LONGEST_BACKOFF_S)
            self._wait_for_server()
            try:
                with self._slots:
                    self._check_open()  # it may have been closed while this thread waited for a slot
                    reply = self._send(request)
            except _Passing as failure:
                reason = str(failure)
                if failure.wait_s is not None:
                    if failure.wait_s > LONGEST_WAIT_S:
                        reason += f", and asks to wait for {failure.wait_s:.0f} s: run again then"
                        break
                    with self._lock:
                        self._resume_at = max(self._resume_at, time.monotonic() + failure.wait_s)
                continue
            self._failed_in_a_row = 0
            return reply
        with self._lock:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= GIVE_UP_AFTER:
                self._ended = f"{self._failed_in_a_row} requests in a row failed, the last because {reason}"
        raise NoReply(f"{self._where()} {reason}")

    def _wait_for_server(self) -> None:
        """Sleep as long as the server asked for; NoReply once the asking has ended."""
        while (left := self._resume_at - time.monotonic()) > 0 and not self._stopped.wait(left):
            pass  # another thread may meanwhile have been asked to wait longer
        self._check_open()

    def _check_open(self) -> None:
        if self._stopped.is_set():
            raise NoReply("the run was stopped before there was a reply")
        if self._ended:
            raise NoReply(f"nothing more is sent to {self._host()}: {self._ended}")

    def _send(self, request: Mapping[str, Any]) -> str:
        try:
            answer = self._openai.chat.completions.with_raw_response.create(
                model=request["model"],
                messages=request["messages"],
                extra_body=request["parameters"],  # servers know more of them than the package does
            )
        except openai.APITimeoutError:
            raise _Passing(f"did not answer within {self.endpoint.timeout_s:g} s") from None
        except openai.APIConnectionError as error:
            raise _Passing(f"cannot be reached ({self._safe(error.__cause__ or error)})") from None
        except openai.APIStatusError as error:
            raise self._refusal(error, request["model"]) from None
        except openai.OpenAIError as error:
            raise NoReply(f"{self._where()} cannot be asked ({self._safe(error)})") from None
        return self._read(answer.http_response)

    def _read(self, response: Any) -> str:
        """The text of a chat completion; _Passing for what is none, or is empty."""
        try:
            choice = response.json()["choices"][0]
            content, cut = choice["message"]["content"], choice.get("finish_reason") == "length"
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise _Passing("answered with something that is not a chat completion") from None
        reply = THOUGHTS.sub("", content).strip() if isinstance(content, str) else ""
        if not reply and cut:
            raise NoReply(f"{self._where()} was cut off before it said anything: allow more max_tokens")
        if not reply:
            raise _Passing("gave an empty reply")
        return reply

    def _refusal(self, error: openai.APIStatusError, model: str) -> Exception:
        """What a status such as 429 or 401 means for this request and for all others."""
        code, body = error.status_code, error.body
        message = body.get("message") if isinstance(body, dict) else None
        said = f"answered {code} ({self._safe(message or error.message)})"
        if code in PASSING or code >= 500:
            return _Passing(said, retry_after(error.response.headers))
        if code in (401, 403, 404) or code < 400:
            ways = {401: "check the key", 403: "check the key", 404: f"check the URL and the model {model!r}"}
            self._ended = f"{self._where()} {said}: {ways.get(code, 'give the URL it points to')}"
            return NoReply(self._ended)
        return NoReply(f"{self._where()} {said}")

    def _host(self) -> str:
        return urlsplit(self.endpoint.url).netloc

    def _where(self) -> str:
        return f"the LLM at {self._host()}"

    def _safe(self, said: object) -> str:
        """One short line, without the key: some servers repeat it."""
        text = " ".join(str(said).split())
        if self.endpoint.key:
            text = text.replace(self.endpoint.key, "***")
        return text[:200]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: Retry-After in seconds or as a date, or its cousin in milliseconds."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        given = headers.get("retry-after", "").strip()
        if not given:
            return None
        if given.replace(".", "", 1).isdigit():
            return float(given)
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except ValueError:
        return None
