"""Descriptions of pictures: from a file, a vision model, or tags."""

from __future__ import annotations

import base64
import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.llm.server import in_turn, serving
from tuwen.errors import InputError
from tuwen.llm.captions import data_url, from_file, from_tags, from_vision_model, once
from tuwen.llm.client import Client
from tuwen.llm.endpoint import Endpoint


def test_captions_in_a_file_are_found_by_path_then_by_name(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_text("image,caption\na/1.png,一只猫\n2.png,a dog\n3,a cow\na\\4.png,a pig\n", encoding="utf-8")
    caption_of = from_file(path)
    assert caption_of("a/1.png", "") == "一只猫"
    assert caption_of("b/2.png", "") == "a dog"
    assert caption_of("b/3.jpg", "") == "a cow"
    assert caption_of("a/4.png", "") == "a pig"
    with pytest.raises(InputError, match=r"captions\.csv has no caption for b/1\.png"):
        caption_of("b/1.png", "")


def test_two_captions_of_one_picture_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text('{"image": "a", "caption": "x"}\n{"image": "a", "caption": "y"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"captions\.jsonl:2: a has another caption already"):
        from_file(path)
    path.write_text('{"image": "a", "caption": "x"}\n{"image": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"captions\.jsonl:2: its caption is empty"):
        from_file(path)


def sent_picture(url: str) -> Image.Image:
    head, _, content = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_picture_is_sent_small_upright_and_in_colour(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("L", (1600, 800), 90).save(tmp_path / "large.jpg", exif=exif)
    sent = sent_picture(data_url(str(tmp_path / "large.jpg")))
    assert (sent.size, sent.mode) == ((384, 768), "RGB")
    Image.new("RGBA", (30, 20), (255, 0, 0, 255)).save(tmp_path / "small.png")
    sent = sent_picture(data_url(str(tmp_path / "small.png")))
    assert sent.size == (30, 20)
    assert np.asarray(sent)[0, 0, 0] > 200


def test_a_vision_model_describes_the_picture_it_is_sent(tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), (0, 200, 0)).save(tmp_path / "a.png")
    with serving(in_turn("A green\n rectangle.")) as server:
        client = Client(Endpoint(server.url, "tiny"))
        assert from_vision_model(client, "sees")("a.png", str(tmp_path / "a.png")) == "A green rectangle."
        client.close()
    (request,) = server.requests
    text, picture = request["messages"][0]["content"]
    assert request["model"] == "sees"
    assert "one plain sentence" in text["text"]
    assert sent_picture(picture["image_url"]["url"]).size == (64, 32)


def test_a_picture_that_cannot_be_read_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with serving(in_turn("x")) as server:
        client = Client(Endpoint(server.url, "tiny"))
        with pytest.raises(InputError, match=r"a\.png"):
            from_vision_model(client)("a.png", str(tmp_path / "a.png"))
        client.close()
    assert not server.requests


class TwoTowers:
    """Features of a picture named "2" point to the label "2"."""

    logit_scale = 100.0
    texts = 0

    def encode_image(self, images: Any) -> torch.Tensor:
        return torch.eye(8)[[int(image) for image in images]]

    def encode_text(self, texts: Any, *, quotes: str | None = None) -> torch.Tensor:
        self.texts += len(texts)
        return torch.eye(8)[[next(int(letter) for letter in text if letter.isdigit()) for text in texts]]


def test_tags_are_the_labels_that_score_best() -> None:
    towers = TwoTowers()
    caption_of = from_tags(towers, ["0", "1", "2", "3"], count=3)
    encoded = towers.texts
    assert caption_of("a", "2") == "Most likely in the picture: 2, 0, 1"
    assert caption_of("b", "0").startswith("Most likely in the picture: 0, ")
    assert towers.texts == encoded  # labels are encoded once
    assert from_tags(towers, ["1", "2"], "zh")("a", "2") == "图中最可能有：2、1"


def test_a_picture_is_described_once_however_many_ask() -> None:
    described: list[str] = []

    def slowly(image: str, source: str) -> str:
        described.append(source)
        time.sleep(0.05)
        if source == "bad":
            raise InputError("bad cannot be read")
        return f"of {source}"

    caption_of = once(slowly)
    threads = [threading.Thread(target=caption_of, args=("a", "1")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caption_of("a", "2") == "of 2"
    for _ in range(2):
        with pytest.raises(InputError, match="bad cannot be read"):
            caption_of("a", "bad")
    assert described == ["1", "2", "bad"]
