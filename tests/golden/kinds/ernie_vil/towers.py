"""Both towers stage by stage, scores, loss and gradients: the research release's file and the port's folder."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tuwen
from tests.golden.case import Case, Expected
from tests.golden.kinds.gradients import gradients
from tuwen import checkpoint, models
from tuwen.formats import convert
from tuwen.losses import contrastive
from tuwen.model import Model
from tuwen.models.ernie_vil2 import ErnieViL2
from tuwen.nn.heads import unit
from tuwen.types import Images, Texts

OTHER_EPS = 1e-12  # what versions of PaddleNLP from 2.6 really run with
SUFFIX = ".eps1e-12"


def load(case: Case, **settings: Any) -> Model:
    """The case's model, in whichever format it comes."""
    files = case.settings["files"]
    if "folder" in files:
        return tuwen.load(case.path / files["folder"], **settings)
    config = {"vision": case.settings["config"]["vision"], "text": case.settings["config"]["text"]}
    model = tuwen.load(case.path / files["weights"], tokenizer=case.path / files["vocab"], config=config, **settings)
    if "max_text_seqlen" in case.settings:
        model.processor = replace(model.processor, context_length=case.settings["max_text_seqlen"])
    return model


def check(case: Case, expected: Expected) -> None:
    model = load(case)
    if case.settings["format"] == "baidu_pdparams":
        check_research(case, model, expected)
    else:
        check_port(case, model, expected)


def check_research(case: Case, model: Model, expected: Expected) -> None:
    module = towers(model)
    length = case.settings["max_text_seqlen"]
    texts, images = model.processor.texts(case.texts, length=length), model.processor.images(case.images)
    check_words(case, model, expected)
    expected.equal("input_ids", texts.ids)
    expected.equal("attention_mask", texts.mask)
    expected.equal("position_ids", torch.arange(length).expand(len(case.texts), -1))
    expected.close("pixel_values", images.pixels)
    with torch.no_grad():
        patches = module.image.patches(images.pixels).flatten(2).transpose(1, 2)
        expected.close("vision.patch_embed", patches)
        states = module.image.states(images.pixels)
        expected.close("vision.norm_pre", states[0])
        for number, state in enumerate(states[1:]):
            expected.close(f"vision.block.{number}", state)
        expected.close("vision.norm_post", module.image.norm_out(states[-1]))
        states = module.text.states(texts)
        real = texts.mask[..., None]
        expected.compare(
            "text.embeddings", states[0] * real, expected.tensor("text.embeddings") * real, *bounds(expected)
        )
        for number, state in enumerate(states[1:]):
            key = f"text.block.{number}"
            expected.compare(key, state * real, expected.tensor(key) * real, *bounds(expected))
        expected.close("single.vision.feature", module.encode_image(Images(images.pixels[:1])))
        expected.close("single.text.feature", module.encode_text(model.processor.texts(case.texts[:1])))
    check_features(case, model, texts, images, expected)
    check_gradients(model, texts, images, "research", expected)


def check_port(case: Case, model: Model, expected: Expected) -> None:
    module = towers(model)
    texts, images = model.processor.texts(case.texts), model.processor.images(case.images)
    check_words(case, model, expected)
    expected.equal("input_ids", texts.ids)
    for key in expected.keys("input_ids.max_length."):
        expected.equal(key, model.processor.texts(case.texts, length=int(key.rpartition(".")[2])).ids)
    expected.close("pixel_values", images.pixels)
    with torch.no_grad():
        states = module.image.states(images.pixels)
        for number, state in enumerate(states):
            expected.close(f"vision.hidden.{number}", state)
        expected.close("vision.last_hidden_state", states[-1])
        states = module.text.states(texts)
        real = texts.mask[..., None]
        for number, state in enumerate(states):
            key = f"text.hidden.{number}"
            expected.compare(key, state * real, expected.tensor(key) * real, *bounds(expected))
        key = "text.last_hidden_state"
        expected.compare(key, states[-1] * real, expected.tensor(key) * real, *bounds(expected))
    check_features(case, model, texts, images, expected)
    check_other_eps(case, texts, images, expected)
    check_gradients(model, texts, images, "paddlenlp", expected)
    if "files" in expected:
        folder = case.path / case.settings["files"]["folder"]
        expected.equal("files", sorted(file.name for file in folder.iterdir()))
    if "keys" in expected:
        expected.equal("keys", sorted(tensor_names(case.path / case.settings["files"]["folder"])))


def check_same_weights(case: Case, expected: Expected) -> None:
    """The port's folder of another case's weights."""
    model = load(case)
    ids, pixels = expected.tensor("input_ids"), expected.tensor("pixel_values")
    texts, images = Texts(ids, ids != 0), Images(pixels)
    check_features(case, model, texts, images, expected)
    check_other_eps(case, texts, images, expected)
    with tempfile.TemporaryDirectory() as folder:
        check_conversion(case, Path(folder), texts, images, expected)


def check_conversion(case: Case, folder: Path, texts: Texts, images: Images, expected: Expected) -> None:
    """Into the research release's format and back: the same features, the same bits, and those of the other case."""
    theirs = case.path / case.settings["files"]["folder"]
    convert(theirs, folder / "research" / "model.pdparams", "original")
    sizes = folder / "research" / "ernie_config.json"
    check_features(case, tuwen.load(folder / "research" / "model.pdparams", config=sizes), texts, images, expected)
    convert(folder / "research" / "model.pdparams", folder / "port", "paddlenlp", config=sizes)
    same_bits(folder / "port", theirs)
    other = case.path.parent / case.settings["same_weights_as"] / "checkpoint" / "model.pdparams"
    if other.is_file():
        same_bits(folder / "research" / "model.pdparams", other)


def same_bits(ours: Path, theirs: Path) -> None:
    """All tensors of a file but those that no model uses."""
    found, wanted = checkpoint.read(ours).tensors, checkpoint.read(theirs).tensors
    wanted = {name: tensor for name, tensor in wanted.items() if not name.startswith("visual.classfy.")}
    assert found.keys() == wanted.keys()
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


def check_features(case: Case, model: Model, texts: Texts, images: Images, expected: Expected) -> None:
    module = towers(model)
    with torch.no_grad():
        image, text = module.encode_image(images), module.encode_text(texts)
    expected.close("vision.feature", image)
    expected.close("text.feature", text)
    expected.close("vision.embed", unit(image))
    expected.close("text.embed", unit(text))
    if case.settings.get("texts"):
        expected.close("text.embed", model.encode_text(case.texts), "packed")
        expected.close("vision.embed", model.encode_image(case.images), "from files")
    batch = case.settings["loss_batch"]
    image, text, scale = unit(image[:batch]), unit(text[:batch]), module.scale().detach()
    expected.close("logits_per_image", scale * image @ text.T)
    expected.close("logits_per_text", scale * text @ image.T)
    if "logit_scale" in expected:
        expected.close("logit_scale", scale.reshape(1))
    if "loss" in expected and not any(key.startswith("grad.") for key in expected.tensors):
        expected.close("loss", contrastive(image, text, scale).reshape(1))


def check_other_eps(case: Case, texts: Texts, images: Images, expected: Expected) -> None:
    """The twins of newer versions of the port, which overwrite the epsilon."""
    module = towers(load(case, text_eps=OTHER_EPS))
    with torch.no_grad():
        image, text, scale = module.encode_image(images), module.encode_text(texts), module.scale()
    expected.close(f"text.feature{SUFFIX}", text)
    expected.close(f"text.embed{SUFFIX}", unit(text))
    batch = case.settings["loss_batch"]
    image, text = unit(image[:batch]), unit(text[:batch])
    expected.close(f"logits_per_text{SUFFIX}", scale * text @ image.T)
    expected.close(f"loss{SUFFIX}", contrastive(image, text, scale).reshape(1))


def check_gradients(model: Model, texts: Texts, images: Images, form: str, expected: Expected) -> None:
    module = towers(model)
    loss = contrastive(unit(module.encode_image(images)), unit(module.encode_text(texts)), module.scale())
    expected.close("loss", loss.detach().reshape(1))
    found = gradients(module, loss, models.family("ernie-vil2"), form)
    for key in expected.keys("grad."):
        theirs = expected.tensor(key)
        bound = float(expected.tolerance["grad_rel_to_max"]) * float(theirs.abs().max())
        ours = found[key.removeprefix("grad.")]
        if key.endswith("word_embeddings.weight"):  # the port has no gradient for padding
            ours = ours.clone()
            ours[0] = theirs[0] = 0
        expected.compare(key, ours, theirs, bound, 0)


def check_words(case: Case, model: Model, expected: Expected) -> None:
    tokenizer = model.processor.tokenizer
    expected.equal("tokens", [tokenizer.tokens(text) for text in case.texts])
    if "token_ids" in expected:
        expected.equal("token_ids", [row[1:-1] for row in tokenizer.ids(case.texts)])


def towers(model: Model) -> ErnieViL2:
    assert isinstance(model.module, ErnieViL2)
    return model.module


def bounds(expected: Expected) -> tuple[float, float]:
    return expected.atol, expected.rtol


def tensor_names(folder: Path) -> list[str]:
    from tuwen import checkpoint

    return list(checkpoint.read(folder).tensors)


def check_loss(case: Case, expected: Expected) -> None:
    """The contrastive loss on given features, at several temperatures."""
    for number, start in enumerate(case.settings["temperatures"]):
        log_scale = torch.tensor([2.65926 if start is None else start], requires_grad=True)
        image = expected.tensor("image_features").clone().requires_grad_()
        text = expected.tensor("text_features").clone().requires_grad_()
        expected.close(f"{number}.temperature", log_scale)
        scale = log_scale.exp()
        expected.close(f"{number}.logit_scale", scale)
        loss: Tensor = contrastive(unit(image), unit(text), scale)
        loss.backward()
        expected.close(f"{number}.loss", loss.reshape(1))
        for name, value in (("temperature", log_scale), ("image", image), ("text", text)):
            assert value.grad is not None
            expected.close(f"{number}.grad.{name}", value.grad)
