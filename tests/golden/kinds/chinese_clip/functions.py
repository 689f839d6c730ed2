"""Functions on their own: positions, distillation, dropped patches, schedule, the start of pretraining, fused names."""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.golden.case import Case, Expected
from tuwen import checkpoint, keymap
from tuwen.checkpoint import strip_prefix
from tuwen.losses import distillation
from tuwen.models import chinese_clip
from tuwen.models.chinese_clip import ChineseCLIP
from tuwen.nn.positions import resize_grid
from tuwen.nn.vit import ViT, drop_patches
from tuwen.processing.processor import Processor
from tuwen.processing.wordpiece import WordPiece
from tuwen.train.optim import learning_rate


def check(case: Case, expected: Expected) -> None:
    inputs = load_file(case.path / "inputs.safetensors")
    for key in expected.keys("pos."):
        expected.close(key, resize_grid(inputs[key], int(key.partition("to")[2]), align_corners=True))
    for key in expected.keys("kd."):
        check_distillation(expected, inputs, key)
    if "mask.out" in expected.tensors:
        ratio = case.settings["mask_ratio"]
        expected.equal("mask.out", drop_patches(inputs["mask.x"], ratio, expected.tensor("mask.noise")))
    for table in expected.value("lr"):
        rates = [
            learning_rate(step, table["base_lr"], table["warmup"], table["steps"]) for step in range(table["steps"])
        ]
        expected.compare(
            f"lr {table['base_lr']}", torch.tensor(rates).double(), torch.tensor(table["values"]).double(), 0, 1e-6
        )
    model = started(case)
    check_start(case, expected, model)
    for key in expected.keys("flash."):
        check_fused(expected, key, model)


def check_distillation(expected: Expected, inputs: dict[str, Tensor], key: str) -> None:
    start, _, what = key.rpartition(".")
    student = inputs[f"{start}.student"].requires_grad_()
    loss = distillation(inputs[f"{start}.teacher"], student)
    if what == "loss":
        expected.close(key, loss)
    elif what == "student_grad":
        expected.close(key, torch.autograd.grad(loss, student)[0])


def started(case: Case) -> ChineseCLIP:
    """A model from the weights of an OpenAI CLIP and of a Chinese BERT."""
    clip = checkpoint.read(case.path / case.settings["openai_checkpoint"]).tensors
    bert = checkpoint.read(case.path / case.settings["bert_checkpoint"]).tensors
    return chinese_clip.initialise(chinese_clip.config_from(case.settings["config"]), clip, bert)


def check_start(case: Case, expected: Expected, model: ChineseCLIP) -> None:
    tokenizer = WordPiece.from_vocab(case.path / "vocab.txt")
    processor: Processor = chinese_clip.processor("original", model.config, tokenizer, None)
    texts = processor.texts(case.texts, expected.tensor("init.input_ids").shape[1])
    images = processor.images(case.images)
    expected.equal("init.training_mode", model.training)
    expected.equal("init.input_ids", texts.ids)
    expected.close("init.pixel_values", images.pixels)
    expected.close("init.logit_scale", model.log_scale)
    assert isinstance(model.image, ViT)
    expected.close("init.positional_embedding", model.image.positions)
    with torch.inference_mode():
        expected.close("init.image_features", model.encode_image(images))
        expected.close("init.text_cls", model.text(texts))


def check_fused(expected: Expected, key: str, model: ChineseCLIP) -> None:
    """Names and shapes of the fused layout, and the way back, with the prefix that the key ends in or without.

    The sums in `digest` are of weights that the case does not hold: they are compared with each other.
    """
    theirs = expected.value(key)
    prefix = key.removeprefix("flash.").removeprefix("plain")
    form = chinese_clip.original_form(model.config)
    flash = form.replace("original", "flash")
    ours = model.state_dict()
    fused = {prefix + name: tensor for name, tensor in keymap.store(ours, chinese_clip.KEYS[flash]).items()}
    expected.same(f"{key} names", sorted(fused), sorted(theirs["names"]))
    sizes = {name: list(tensor.shape) for name, tensor in fused.items()}
    for name, (shape, *sums) in theirs["digest"].items():
        expected.same(f"{key} shape of {name}", sizes.get(name), shape)
        plain = expected.value("flash.plain")["digest"].get(name.removeprefix(prefix))
        expected.same(f"{key} sums of {name}", sums, plain and plain[1:])
    # The original finds its way back only from names with "module."; ours does from both.
    expected.same(f"{key} recognised", chinese_clip.recognise(strip_prefix(fused)), flash)
    again, _ = keymap.load(strip_prefix(fused), chinese_clip.KEYS[flash])
    expected.same(f"{key} back", checkpoint.digest(again), checkpoint.digest(ours))
