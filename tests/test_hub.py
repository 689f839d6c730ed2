"""Fetching from ModelScope, against a server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tuwen import hub
from tuwen.errors import ModelNotFound
from tuwen.models import PUBLISHED

CONTENT = bytes(range(256)) * 40


class Server(BaseHTTPRequestHandler):
    """One file, with ranges, at the address that ModelScope gives it; the first answer may stop half way."""

    asked: ClassVar[list[tuple[str, str | None]]] = []
    breaks = False

    def do_GET(self) -> None:
        Server.asked.append((self.path, self.headers["Range"]))
        if not self.path.startswith("/models/AI-ModelScope/"):
            self.send_error(404)
            return
        start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers["Range"] else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = len(CONTENT) // 2 if Server.breaks else len(CONTENT)
        self.wfile.write(CONTENT[start:end])
        Server.breaks = False

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def modelscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Server.asked, Server.breaks = [], False
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("modelscope")
def test_a_file_is_fetched_once_from_the_mirror_of_the_repository() -> None:
    published = PUBLISHED["chinese-clip/rn50"]
    weights, vocabulary = hub.fetch(published, modelscope=True)
    assert weights.read_bytes() == vocabulary.read_bytes() == CONTENT
    hub.fetch(published, modelscope=True)
    repo = "/models/AI-ModelScope/chinese-clip-rn50/resolve/master"
    assert Server.asked == [(f"{repo}/clip_cn_rn50.pt", None), (f"{repo}/vocab.txt", None)]


@pytest.mark.usefixtures("modelscope")
def test_a_broken_download_goes_on_where_it_stopped() -> None:
    Server.breaks = True
    with pytest.raises(ModelNotFound, match=r"5,120 of 10,240 bytes"):
        hub.download_modelscope("AI-ModelScope/some", "file.pt")
    assert not (hub.modelscope_cache() / "AI-ModelScope/some/file.pt").exists()
    assert hub.download_modelscope("AI-ModelScope/some", "file.pt").read_bytes() == CONTENT
    assert Server.asked[1][1] == "bytes=5120-"


@pytest.mark.usefixtures("modelscope")
def test_a_download_that_only_lacked_its_last_step_is_finished() -> None:
    partial = hub.modelscope_cache() / "AI-ModelScope/some/file.pt.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT)
    assert hub.download_modelscope("AI-ModelScope/some", "file.pt").read_bytes() == CONTENT


@pytest.mark.usefixtures("modelscope")
def test_a_repository_that_does_not_exist_is_named() -> None:
    with pytest.raises(ModelNotFound, match="nobody/nothing"):
        hub.download_modelscope("nobody/nothing", "file.pt")


def test_without_a_network_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelNotFound, match="ms: before the name"):
        hub.fetch(PUBLISHED["chinese-clip/vit-b-16"])
