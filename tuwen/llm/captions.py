"""Descriptions of pictures for a language model: from a file, from a vision model, or from tags that a model scores."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image, ImageOps

from tuwen.data.table import ENDINGS, read_table
from tuwen.errors import InputError
from tuwen.llm.prompt import TEMPLATES
from tuwen.processing.decode import decode
from tuwen.tasks.classify import check_labels, class_features, wordings

if TYPE_CHECKING:
    from tuwen.tasks.classify import Classifier

SIDE = 768  # pixels of the longer side of a picture that is sent: enough for a sentence about it
TAGS = 5

Captioner = Callable[[str, str], str]  # id of a picture, its path -> a sentence; InputError or NoReply if there is none


class Asks(Protocol):
    """What a vision model is asked through."""

    def ask(self, messages: Sequence[dict[str, Any]], model: str | None = None, **defaults: Any) -> str: ...


def from_file(path: Path) -> Captioner:
    """Captions from a .csv, .tsv or .jsonl file with the columns image and caption.

    A picture is looked up by its id (its path below the folder), then by its file name, then by that without its
    ending. InputError for a bad row, or for a picture with two captions.
    """
    table = read_table(path, ("image", "caption"))
    if table.failures:
        first = table.failures[0]
        raise InputError(f"{first.id}: {first.reason}")
    captions: dict[str, str] = {}
    for line in table.lines:
        image, caption = line.values["image"].replace("\\", "/"), line.values["caption"]
        if captions.setdefault(image, caption) != caption:
            raise InputError(f"{path.name}:{line.number}: {image} has another caption already: keep one of them")

    def caption_of(image: str, source: str) -> str:
        name = image.rpartition("/")[2]
        for known in (image, name, name.rpartition(".")[0]):
            if known in captions:
                return captions[known]
        raise InputError(f"{path.name} has no caption for {image}")

    return caption_of


def from_vision_model(client: Asks, model: str | None = None) -> Captioner:
    """Captions by a vision model behind an endpoint: it is sent the picture as a JPEG of at most 768 pixels a side."""
    told = (TEMPLATES / "caption.txt").read_text(encoding="utf-8").strip()

    def caption_of(image: str, source: str) -> str:
        parts = [{"type": "text", "text": told}, {"type": "image_url", "image_url": {"url": data_url(source)}}]
        # As greedy as the captioner of the published scheme.
        reply = client.ask([{"role": "user", "content": parts}], model, temperature=0, max_tokens=200)
        return " ".join(reply.split())

    return caption_of


def data_url(source: str, side: int = SIDE) -> str:
    """A picture file as the text of a JPEG, upright and made smaller where it is larger; InputError if unreadable."""
    picture = ImageOps.exif_transpose(decode(source)).convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def from_tags(model: Classifier, labels: Sequence[str], language: str = "en", count: int = TAGS) -> Captioner:
    """What a two-tower model sees most likely among the labels, as a list of words.

    The labels are encoded once, in templates of their language, "en" or "zh".
    """
    check_labels(labels)
    features = class_features(model, labels, wordings(language))  # (C, E)
    one_at_a_time = Lock()  # the model uses all processors by itself

    def caption_of(image: str, source: str) -> str:
        with one_at_a_time:
            cosines = (model.encode_image([source]) @ features.T)[0]  # (C,)
        best = [labels[place] for place in cosines.sort(descending=True, stable=True).indices[:count].tolist()]
        if language == "zh":
            return f"图中最可能有：{'、'.join(best)}"
        return f"Most likely in the picture: {', '.join(best)}"

    return caption_of


def once(caption_of: Captioner) -> Captioner:
    """The same, but each picture is described once, however many threads ask about it."""
    known: dict[str, Future[str]] = {}
    lock = Lock()

    def remembered(image: str, source: str) -> str:
        with lock:
            first = source not in known
            future = known.setdefault(source, Future())
        if first:
            try:
                future.set_result(caption_of(image, source))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    return remembered


def is_caption_file(given: str) -> bool:
    """Whether a user's word for captions names a file rather than a way to get them."""
    return Path(given).suffix.lower() in ENDINGS
