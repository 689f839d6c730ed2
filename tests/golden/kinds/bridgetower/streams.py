"""What BridgeTower's cases have in common: their model, the stages of its streams, its gradients by published names."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import torch
from PIL import Image
from torch import Tensor

from tests.golden.case import Case, Expected
from tests.golden.kinds.gradients import check_some_norms, gradients
from tests.golden.kinds.written import check_written_back
from tuwen import checkpoint
from tuwen.loading import load
from tuwen.model import Model
from tuwen.models import bridgetower
from tuwen.models.bridgetower import BridgeTower
from tuwen.types import Images, Texts


def weights_of(case: Case) -> Path:
    """The original's one .ckpt of a case, or else transformers' folder."""
    files = sorted((case.path / "checkpoint").glob("*.ckpt"))
    return files[0] if files else case.path / "checkpoint"


def loaded(case: Case, image_size: int | str | None = None) -> Model:
    path = weights_of(case)
    if path.is_dir():
        return load(path, device="cpu", image_size=image_size)
    return load(path, tokenizer=path.parent / "roberta", device="cpu", image_size=image_size)


def module_of(model: Model) -> BridgeTower:
    assert isinstance(model.module, BridgeTower)
    return model.module


def length_of(case: Case) -> int:
    """Tokens of every text in the original's cases: it pads and cuts to this."""
    return int(case.settings["config"]["maxlen"])


def pixel_mask(images: Images) -> Tensor:
    """(B, H, W) int64, 1 on a picture and 0 on what a batch of mixed sizes needs beside it."""
    if images.mask is None:
        return torch.ones_like(images.pixels[:, 0], dtype=torch.long)
    return images.mask.long()


def one(texts: Texts, row: int) -> Texts:
    """One text without its padding."""
    kept = texts.mask[row]
    return Texts(texts.ids[row : row + 1, kept], texts.mask[row : row + 1, kept])


def rows(texts: Texts, chosen: Sequence[int] | Tensor) -> Texts:
    """Some of the texts, still padded."""
    places = torch.as_tensor(chosen)
    return Texts(texts.ids[places], texts.mask[places])


def match_logits(module: BridgeTower, images: Images, texts: Texts) -> Tensor:
    """-> (B, 2)."""
    return module.heads["match"](module(images, texts, last="first").pooled)


def match_matrix(module: BridgeTower, images: Sequence[Images], texts: Sequence[Texts]) -> Tensor:
    """Every text with every picture, each pair alone -> (texts, images, 2)."""
    return torch.stack([torch.cat([match_logits(module, picture, text) for picture in images]) for text in texts])


def check_inputs(expected: Expected, start: str, texts: Texts, images: Images) -> None:
    """Ids, mask and pixels as transformers' processor names them."""
    expected.equal(f"{start}input_ids", texts.ids)
    expected.equal(f"{start}attention_mask", texts.mask.long())
    expected.close(f"{start}pixel_values", images.pixels)
    expected.equal(f"{start}pixel_mask", pixel_mask(images))


def check_hidden(expected: Expected, model: Model, images: Images, texts: Texts) -> None:
    """`hidden.text`, `hidden.image` (tokens first, before the last norm) and `hidden.cross`; attention maps if any."""
    module = module_of(model)
    for number, state in enumerate(module.text.states(texts)):
        expected.close(f"hidden.text.{number}", state)
    for number, state in enumerate(module.image.states(images.pixels)):
        expected.close(f"hidden.image.{number}", state.transpose(0, 1))
    steps = module.fusion.trace(module.image_levels(images), module.text_levels(texts), texts.mask)
    for number, step in enumerate(steps):
        expected.close(f"hidden.cross.{number}.text", step.text)
        expected.close(f"hidden.cross.{number}.image", step.image)
        if f"self_attention.{number}.text" in expected:
            expected.close(f"self_attention.{number}.text", step.text_own)
            expected.close(f"self_attention.{number}.image", step.image_own)


def check_gradients(expected: Expected, start: str, case: Case, model: Model, loss: Tensor) -> None:
    """`start` + published name: the norm of that parameter's gradient of the loss."""
    names = checkpoint.bare(checkpoint.read(weights_of(case)).tensors)
    form = bridgetower.recognise(names)
    assert form is not None
    found = gradients(model.module, loss, bridgetower, form)
    check_some_norms(expected, start, found, drop="bridgetower.")


def check_vectors_of_one_pass(expected: Expected, key: str, model: Model, images: Images, texts: Texts) -> None:
    """`key` is the pooled pair, through the whole of the last layer and through its first tokens alone."""
    module = module_of(model)
    for last in ("all", "first"):
        pooled = module(images, texts, last=last).pooled
        assert pooled is not None
        expected.close(key, pooled, f"with last={last!r}")


def check_file(expected: Expected, case: Case, model: Model) -> None:
    """The case's weights find their way into the model and back, bit for bit."""
    check_written_back(expected, weights_of(case), model, bridgetower)


def table(case: Case, name: str) -> list[dict[str, Any]]:
    """The rows of an Arrow file of the case."""
    with pyarrow.memory_map(str(case.path / "data" / f"{name}.arrow")) as file:
        found: list[dict[str, Any]] = pyarrow.ipc.open_file(file).read_all().to_pylist()
    return found


def opened(content: bytes) -> Image.Image:
    """A picture from the bytes of its file."""
    return Image.open(io.BytesIO(content))
