"""The public calls of a two-tower model."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from tests import fusing
from tests.models import tiny
from tuwen import checkpoint
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.loading import load
from tuwen.model import Model
from tuwen.models.chinese_clip import Config

if TYPE_CHECKING:
    from tuwen.types import Picture

TEXTS = tiny.TEXTS


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny.model()


def close(one: torch.Tensor, other: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(one, other, atol=atol, rtol=1e-4)


# -- texts -----------------------------------------------------------------------------------------------------------


def test_text_features_come_in_the_order_asked(model: Model) -> None:
    together = model.encode_text(TEXTS)
    for row, text in enumerate(TEXTS):
        close(together[row], model.encode_text(text)[0])
    close(model.encode_text(TEXTS[::-1]), together.flip(0))


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_the_batch_size_changes_nothing(model: Model, batch_size: int) -> None:
    close(model.encode_text(TEXTS * 3, batch_size=batch_size), model.encode_text(TEXTS * 3))
    images = tiny.pictures(5)
    close(model.encode_image(images, batch_size=batch_size), model.encode_image(images))


def test_many_texts_are_encoded_in_several_passes(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = model.encode_text(TEXTS)
    monkeypatch.setattr("tuwen.tasks.passes.TOKENS_AT_ONCE", 16)
    close(model.encode_text(TEXTS), wanted)


def test_packed_features_are_those_of_padded_texts(model: Model) -> None:
    with torch.inference_mode():
        padded = tiny.module().encode_text(model.processor.texts(TEXTS, 24))
    close(model.encode_text(TEXTS, normalize=False), padded)


def test_features_are_float32_of_unit_length_unless_told_otherwise(model: Model) -> None:
    for features in (model.encode_text(TEXTS), model.encode_image(tiny.pictures(2))):
        assert features.dtype == torch.float32
        close(features.norm(dim=1), torch.ones(len(features)))
    long = model.encode_text(TEXTS, normalize=False)
    close(long / long.norm(dim=1, keepdim=True), model.encode_text(TEXTS))


def test_no_texts_and_no_pictures_give_no_rows(model: Model) -> None:
    assert model.encode_text([]).shape == (0, 16)
    assert model.encode_image([]).shape == (0, 16)


def test_curly_quotes_are_straightened_when_asked(model: Model) -> None:
    close(model.encode_text("“Red”", quotes="straight"), model.encode_text('"red"'))
    with pytest.raises(UsageError, match="quotes is 'curly'"):
        model.encode_text("猫", quotes="curly")


def test_something_else_than_text_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match="text 2 of 2 is int, expected str"):
        model.encode_text(["猫", 3])  # type: ignore[list-item]


# -- pictures --------------------------------------------------------------------------------------------------------


def test_one_picture_may_come_in_any_form(model: Model, tmp_path: Path) -> None:
    array = tiny.pictures(1)[0]
    image = Image.fromarray(array)
    image.save(tmp_path / "one.png")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    wanted = model.encode_image(array)
    assert wanted.shape == (1, 16)
    for form in (image, tmp_path / "one.png", str(tmp_path / "one.png"), buffer.getvalue(), [image]):
        assert torch.equal(model.encode_image(form), wanted)


def test_pictures_keep_their_order_whatever_the_threads_do(model: Model) -> None:
    images = tiny.pictures(9)
    wanted = torch.cat([model.encode_image(image) for image in images])
    close(model.encode_image(images, batch_size=4, workers=3), wanted)
    close(model.encode_image(images, batch_size=4, workers=0), wanted)


def test_a_picture_that_cannot_be_read_is_named(model: Model, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        model.encode_image([tiny.pictures(1)[0], broken])
    with pytest.raises(InputError, match=r"missing\.png"):
        model.encode_image(tmp_path / "missing.png")


def test_a_stream_leaves_out_what_it_reports(model: Model, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    images: list[Picture] = [*tiny.pictures(2), broken, *tiny.pictures(1)]
    reported: list[int] = []
    found = list(model.embed_images(images, batch_size=2, on_error=lambda number, error: reported.append(number)))
    assert reported == [2]
    assert [numbers for numbers, _ in found] == [[0, 1], [3]]
    assert [len(features) for _, features in found] == [2, 1]


# -- what features are for -------------------------------------------------------------------------------------------


def test_similarity_is_the_cosine_pictures_down_texts_across(model: Model) -> None:
    images = tiny.pictures(3)
    scores = model.similarity(images, TEXTS)
    assert scores.shape == (3, len(TEXTS))
    image, text = model.encode_image(images), model.encode_text(TEXTS)
    close(scores, image @ text.T)
    close(model.similarity(image, TEXTS), scores)
    close(model.similarity(images, text), scores)
    assert scores.abs().max() <= 1 + 1e-5


def test_labels_are_ranked(model: Model) -> None:
    labels = model.classify(tiny.pictures(2), ["猫", "小船", "草地"], top_k=2)
    assert [len(row) for row in labels] == [2, 2]
    assert labels[0][0].probability >= labels[0][1].probability


def test_a_two_tower_model_says_what_it_cannot_do(model: Model) -> None:
    with pytest.raises(
        UnsupportedTask,
        match="chinese-clip cannot answer: its tasks are embed, search, classify; these can: vle/base-vqa",
    ):
        model.answer("x.jpg", "什么颜色？")


def test_it_says_what_it_is(model: Model) -> None:
    assert model.tasks == ("embed", "search", "classify")
    assert model.languages == ("zh", "en")
    assert model.embedding == 16
    assert model.logit_scale == pytest.approx(1 / 0.07)
    assert repr(model).startswith("<tuwen.Model chinese-clip: 0.1 M parameters, cpu, float32>")


@pytest.mark.parametrize(("dtype", "cosine"), [("bfloat16", 0.999), ("float16", 0.9999)])
@pytest.mark.parametrize("config", tiny.CONFIGS.values(), ids=tiny.CONFIGS)
def test_half_precision_gives_nearly_the_same_features(config: Config, dtype: str, cosine: float) -> None:
    exact, half = tiny.model(config), tiny.model(config, dtype=dtype)
    images = tiny.pictures(2)
    for one, other in (
        (exact.encode_text(TEXTS), half.encode_text(TEXTS)),
        (exact.encode_image(images), half.encode_image(images)),
    ):
        assert other.dtype == torch.float32
        assert (one * other).sum(dim=1).min() > cosine


# -- saved and loaded ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", tiny.CONFIGS.values(), ids=tiny.CONFIGS)
@pytest.mark.parametrize("dtype", [None, "float16"])
def test_saved_and_loaded_is_the_same_model(tmp_path: Path, config: Config, dtype: str | None) -> None:
    model = tiny.model(config)
    model.save(tmp_path, dtype=dtype)
    loaded = load(tmp_path, device="cpu")
    wanted = {
        name: tensor.half().float() if dtype and tensor.is_floating_point() else tensor
        for name, tensor in model.module.state_dict().items()
    }
    assert checkpoint.digest(loaded.module.state_dict()) == checkpoint.digest(wanted)
    assert loaded.module.config == config
    assert (loaded.family, loaded.variant, loaded.languages) == (model.family, model.variant, model.languages)
    assert loaded.processor.fingerprint() == model.processor.fingerprint()
    if dtype is None:
        assert loaded.fingerprint == model.fingerprint
        assert torch.equal(loaded.encode_text(TEXTS), model.encode_text(TEXTS))
        assert torch.equal(loaded.encode_image(tiny.pictures(2)), model.encode_image(tiny.pictures(2)))
    else:
        kinds = {tensor.dtype for tensor in checkpoint.read(tmp_path / "model.safetensors").tensors.values()}
        assert kinds - {torch.int64} == {torch.float16}


def change_one_weight(model: Model) -> None:
    with torch.no_grad():
        model.module.get_parameter("text.blocks.1.mlp.reduce.bias")[3] += 1e-6


def change_preprocessing(model: Model) -> None:
    settings = model.processor.image.to_dict() | {"rgb": "before"}
    model.processor = type(model.processor)(
        model.processor.tokenizer, type(model.processor.image).from_dict(settings), 24
    )


def change_the_length_of_texts(model: Model) -> None:
    model.processor = type(model.processor)(model.processor.tokenizer, model.processor.image, 12)


@pytest.mark.parametrize("change", [change_one_weight, change_preprocessing, change_the_length_of_texts])
def test_the_fingerprint_changes_with_whatever_changes_features(change: Callable[[Model], None]) -> None:
    model = tiny.model()
    assert model.fingerprint == tiny.model().fingerprint
    other = tiny.model()
    change(other)
    assert len(other.fingerprint) == 16
    assert other.fingerprint != model.fingerprint


def test_features_do_not_depend_on_what_else_is_asked(model: Model) -> None:
    noise = np.random.RandomState(1)
    others = [noise.randint(0, 256, (9, 90, 3), dtype=np.uint8) for _ in range(3)]
    image = tiny.pictures(1)[0]
    close(model.encode_image([*others, image])[3], model.encode_image(image)[0])
    close(model.encode_text(["一" * 50, "猫"])[1], model.encode_text("猫")[0])


def test_features_can_be_trained_on(model: Model) -> None:
    probe = torch.zeros(model.embedding, requires_grad=True)
    (model.encode_text(["一", "二"]) @ probe).sum().backward()
    assert probe.grad is not None


# -- heads on a fusion -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_task_of_a_fusion_runs_in_half_precision(dtype: str) -> None:
    exact, half = fusing.model("vle"), fusing.opened("vle", dtype=dtype)
    (image,) = fusing.pictures(1)
    assert {parameter.dtype for parameter in half.module.parameters()} == {getattr(torch, dtype)}
    close(half.match(image, "a cat"), exact.match(image, "a cat"), 5e-2)
    found, wanted = half.ground(image, "a cat"), exact.ground(image, "a cat")
    assert found.scores.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=5e-2)
    assert half.fill(image, "a <mask>")[0][0].probability > 0


def test_names_tell_family_and_variant(model: Model) -> None:
    assert (model.name, fusing.model("vle").name) == ("chinese-clip", "vle")
    variant = Model("vle", fusing.opened("vle").module, fusing.model("vle").processor, "base", device="cpu")
    assert repr(variant).startswith("<tuwen.Model vle/base: 0.0 M parameters")
