"""Whole repositories of the Hugging Face hub: from its cache, or from a server on this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import huggingface_hub.constants
import pytest

from tests.fusing import BRIDGETOWER, CASES, VLE_ANSWERING, pictures
from tuwen import hub
from tuwen.errors import ModelNotFound
from tuwen.loading import load
from tuwen.models import PUBLISHED

COMMIT = "a" * 40
LAYOUT = CASES / "bridgetower" / "hf_published_layout" / "checkpoint"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of huggingface_hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put(cache: Path, repo: str, *folders: Path) -> Path:
    """The files of these folders as if they had been fetched from a repository."""
    place = cache / f"models--{repo.replace('/', '--')}"
    snapshot = place / "snapshots" / COMMIT
    for folder in folders:
        shutil.copytree(folder, snapshot, dirs_exist_ok=True)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return snapshot


# -- from the cache ---------------------------------------------------------------------------------------------------


def test_vle_is_loaded_by_its_published_name(cache: Path) -> None:
    put(cache, "hfl/vle-base-for-vqa", VLE_ANSWERING)
    model = load("vle/base-vqa", device="cpu")
    assert model.fingerprint == load(VLE_ANSWERING, device="cpu").fingerprint
    assert model.answer(pictures(1), "what is it?")[0]
    assert load("hfl/vle-base-for-vqa", device="cpu").fingerprint == model.fingerprint


def test_bridgetower_is_loaded_by_its_published_name(cache: Path) -> None:
    put(cache, "BridgeTower/bridgetower-base-itm-mlm", LAYOUT)
    model = load("bridgetower/base-itm-mlm", device="cpu")
    assert model.tasks == ("match", "fill")
    assert model.match(pictures(2), "a cat").shape == (2, 1)


def test_safetensors_are_preferred_where_both_are_in_the_cache(cache: Path) -> None:
    snapshot = put(cache, "BridgeTower/bridgetower-base-itm-mlm", BRIDGETOWER)
    (snapshot / "pytorch_model.bin").write_bytes(b"never opened")
    assert load("bridgetower/base-itm-mlm", device="cpu").fingerprint == load(BRIDGETOWER, device="cpu").fingerprint


def test_a_model_is_here_when_its_weights_are(cache: Path) -> None:
    published = PUBLISHED["vle/base-vqa"]
    assert hub.cached(published) is None
    snapshot = put(cache, published.repo, VLE_ANSWERING)
    assert hub.cached(published) == snapshot / "pytorch_model.bin"
    (snapshot / "pytorch_model.bin").unlink()
    assert hub.cached(published) is None


def test_without_cache_and_network_the_way_out_is_said(cache: Path) -> None:
    for name, repo in (("vle/base-vqa", "hfl/vle-base-for-vqa"), ("some/where", "some/where")):
        with pytest.raises(ModelNotFound, match=f"{repo} is not on this machine and cannot be fetched .* HF_ENDPOINT"):
            load(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ms:vle/base-vqa", "vle/base-vqa is not on ModelScope: leave out ms:"),
        ("ms:bridgetower/base", "bridgetower/base is not on ModelScope: leave out ms:"),
        ("ms:hfl/vle-base", "ms: is for published names such as ms:chinese-clip/vit-b-16, not for 'hfl/vle-base'"),
    ],
)
def test_modelscope_has_only_what_it_has(name: str, said: str) -> None:
    with pytest.raises(ModelNotFound, match=said):
        load(name)


# -- from a server ----------------------------------------------------------------------------------------------------


class Server(BaseHTTPRequestHandler):
    """A hub with one repository, as far as fetching needs it."""

    files: ClassVar[dict[str, bytes]] = {}
    fetched: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer(send=False)

    def do_GET(self) -> None:
        self.answer(send=True)

    def answer(self, send: bool) -> None:
        if self.path.startswith("/api/models/owner/model"):
            listed = [
                {"type": "file", "path": name, "size": len(data), "oid": ""} for name, data in Server.files.items()
            ]
            siblings = [{"rfilename": name} for name in Server.files]
            known = listed if "/tree/" in self.path else {"id": "owner/model", "sha": COMMIT, "siblings": siblings}
            self.reply(json.dumps(known).encode(), send, "0")
            return
        name = self.path.rpartition("/")[2].partition("?")[0]
        if not self.path.startswith("/owner/model/resolve/") or name not in Server.files:
            self.send_error(404)
            return
        if send:
            Server.fetched.append(name)
        content = Server.files[name]
        self.reply(content, send, hashlib.sha256(content).hexdigest())

    def reply(self, content: bytes, send: bool, tag: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if send:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    endpoint = f"http://127.0.0.1:{listening.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    Server.files, Server.fetched = {}, []
    yield
    listening.shutdown()
    listening.server_close()
    thread.join()


@pytest.mark.usefixtures("server")
def test_of_weights_in_two_formats_only_one_is_fetched() -> None:
    Server.files = {path.name: path.read_bytes() for path in BRIDGETOWER.iterdir()}
    Server.files |= {"pytorch_model.bin": b"many bytes", "flax_model.msgpack": b"more", "README.md": b"words"}
    model = load("owner/model", device="cpu")
    assert sorted(set(Server.fetched)) == sorted(path.name for path in BRIDGETOWER.iterdir())
    assert model.fingerprint == load(BRIDGETOWER, device="cpu").fingerprint


@pytest.mark.usefixtures("server")
def test_without_safetensors_the_older_format_is_fetched_once() -> None:
    Server.files = {path.name: path.read_bytes() for path in VLE_ANSWERING.iterdir()}
    for _ in range(2):
        load("owner/model", device="cpu")
    assert sorted(Server.fetched) == sorted(path.name for path in VLE_ANSWERING.iterdir())
