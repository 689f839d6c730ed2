"""A real HTTP server on this machine that speaks the chat protocol, and can be told to misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any]], "str | Trouble"]


@dataclass(frozen=True)
class Trouble:
    """What the server does instead of answering well."""

    status: int = 200
    body: Any = None  # text as it is, anything else as JSON
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass
class Server:
    """url: to give to a client; `reply` says what to answer to a request (its JSON); the rest is what happened."""

    url: str
    reply: Reply
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)  # monotonic clock
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prompts(self) -> list[str]:
        return [request["messages"][-1]["content"] for request in self.requests]


def completion(content: Any, finish_reason: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


@contextmanager
def serving(reply: Reply) -> Iterator[Server]:
    """A server on a free port of 127.0.0.1, until the block is left."""
    state = Server("", reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.requests.append(content)
                state.headers.append({name.lower(): value for name, value in self.headers.items()})
                state.arrived.append(time.monotonic())
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
            try:
                wrong_path = self.path != "/v1/chat/completions"
                answer = Trouble(404, {"error": {"message": "no such path"}}) if wrong_path else state.reply(content)
            finally:
                with state.lock:
                    state.at_once -= 1
            self.answer(answer if isinstance(answer, Trouble) else Trouble(body=completion(answer)))

        def answer(self, trouble: Trouble) -> None:
            time.sleep(trouble.delay_s)
            body = trouble.body if isinstance(trouble.body, str) else json.dumps(trouble.body)
            try:
                self.send_response(trouble.status)
                for name, value in {"Content-Type": "application/json", **trouble.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())
            except OSError:
                self.close_connection = True  # the client did not wait for it

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def in_turn(*answers: str | Trouble) -> Reply:
    """The first answer to the first request, and so on; the last one again and again."""
    left = list(answers)
    lock = threading.Lock()

    def reply(request: dict[str, Any]) -> str | Trouble:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return reply
