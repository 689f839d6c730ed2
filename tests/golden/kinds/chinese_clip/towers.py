"""What model cases of both formats have in common: stages of the towers, features, logits, loss, files written back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tests.golden.case import Expected
from tuwen import checkpoint, keymap
from tuwen.losses import contrastive
from tuwen.model import Model
from tuwen.models import chinese_clip
from tuwen.models.chinese_clip import ChineseCLIP
from tuwen.nn.heads import unit
from tuwen.nn.vit import ViT
from tuwen.types import Images, Texts


def module_of(model: Model) -> ChineseCLIP:
    assert isinstance(model.module, ChineseCLIP)
    return model.module


def check_image_stages(expected: Expected, model: Model, pixels: Tensor) -> None:
    """Every `vision.` tensor that both formats name alike, and the features at the end."""
    image = module_of(model).image
    states = image.states(pixels)
    if isinstance(image, ViT):
        stages = {"vision.patch_embed": image.patches(pixels).flatten(2).transpose(1, 2)}
        stages |= {"vision.embeddings": image.embed(pixels), "vision.ln_pre": states[0]}
        stages |= {f"vision.block.{number}": state for number, state in enumerate(states[1:])}
        stages["vision.ln_post"] = image.norm_out(states[-1][:, 0])
        # Hugging Face's names: what the last block gives, and the class token after the last norm.
        stages |= {"vision.last_hidden_state": states[-1], "vision.pooler_output": image(pixels)}
    else:
        stages = {"vision.stem": states[0], "vision.attnpool": image.pool(states[-1])}
        stages |= {f"vision.layer{number}": state for number, state in enumerate(states[1:], 1)}
    for key in expected.keys("vision."):
        check_stage(expected, key, stages)
    expected.close("image_features", module_of(model).encode_image(Images(pixels)))


def check_text_stages(expected: Expected, model: Model, texts: Texts, padding: bool = True) -> None:
    """Every `text.` tensor, at padding too unless told otherwise, and the features of the texts padded and packed."""
    states = module_of(model).text.states(texts)
    stages = {"text.embeddings": states[0]} | {f"text.layer.{number}": s for number, s in enumerate(states[1:])}
    for key in expected.keys("text."):
        check_stage(expected, key, stages, None if padding else texts.mask)
    expected.close("text_features", module_of(model).encode_text(texts))
    rows = [row[mask].tolist() for row, mask in zip(texts.ids, texts.mask, strict=True)]
    packed, order = model.processor.packed(rows)
    expected.compare(
        "packed text_features",
        module_of(model).encode_text(packed),
        expected.tensor("text_features")[order],
        expected.atol,
        expected.rtol,
    )


def check_stage(expected: Expected, key: str, stages: Mapping[str, Tensor], mask: Tensor | None = None) -> None:
    if key in stages:
        ours, theirs = stages[key], expected.tensor(key)
        if mask is not None and ours.shape == theirs.shape:
            ours, theirs = ours[mask], theirs[mask]
        expected.compare(key, ours, theirs, expected.atol, expected.rtol)
    else:
        expected.differences.append(f"{key}: there is no such stage, only {', '.join(stages)}")


def check_logits(expected: Expected, image: Tensor, text: Tensor, scale: Tensor) -> None:
    """From features (N, E) and (M, E): logits both ways, and the softmax over texts."""
    logits = scale * unit(image) @ unit(text).T  # (N, M)
    expected.close("logits_per_image", logits)
    expected.close("logits_per_text", logits.T)
    expected.close("probs", logits.softmax(dim=-1))


def check_loss(expected: Expected, model: Model, pixels: Tensor, texts: Texts) -> Tensor:
    """The loss of the first pairs, which is returned for its gradients."""
    pairs = expected.value("loss_pairs")
    image = module_of(model).encode_image(Images(pixels[:pairs]))
    text = module_of(model).encode_text(Texts(texts.ids[:pairs], texts.mask[:pairs]))
    loss = contrastive(unit(image), unit(text), module_of(model).scale())
    expected.close("loss", loss)
    return loss


def check_gradients(expected: Expected, model: Model, loss: Tensor) -> None:
    """The norm of every parameter's gradient, under the original's names."""
    model.module.zero_grad()
    loss.backward()
    ours = {name: parameter.grad for name, parameter in model.module.named_parameters() if parameter.grad is not None}
    form = chinese_clip.original_form(module_of(model).config)
    norms = {name: gradient.norm() for name, gradient in keymap.store(ours, chinese_clip.KEYS[form]).items()}
    theirs = expected.value("grad_norms")
    expected.same("names of grad_norms", sorted(norms), sorted(theirs))
    for name in norms.keys() & theirs.keys():
        expected.compare(f"grad_norms {name}", norms[name], torch.tensor(theirs[name]), expected.atol, expected.rtol)


def check_counts(expected: Expected, model: Model) -> None:
    """Parameters in all, and of the image tower with its projection."""
    sizes = {name: parameter.numel() for name, parameter in model.module.named_parameters()}
    if "num_params" in expected.values:
        expected.equal("num_params", sum(sizes.values()))
    if "num_visual_params" in expected.values:
        expected.equal("num_visual_params", sum(size for name, size in sizes.items() if name.startswith("image")))


def check_written_back(expected: Expected, path: Path, model: Model) -> None:
    """A published file -> our names -> its own names -> a file again: bit for bit, but for what is never used."""
    published = checkpoint.strip_prefix(checkpoint.read(path).tensors)
    form = chinese_clip.recognise(published)
    assert form is not None
    ours, dropped = keymap.load(published, chinese_clip.KEYS[form], chinese_clip.DROP, model.module.state_dict())
    back = keymap.store(ours, chinese_clip.KEYS[form])
    wanted = {name: tensor for name, tensor in published.items() if name not in dropped}
    expected.same(f"{path.name} names written back", sorted(back), sorted(wanted))
    expected.same(f"{path.name} digest written back", checkpoint.digest(back), checkpoint.digest(wanted))
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (
            ("model.safetensors", checkpoint.write_safetensors),
            ("model.pt", checkpoint.write_original),
        ):
            file = Path(folder) / name
            write(file, back, {})
            again = checkpoint.read(file).tensors
            expected.same(f"{path.name} as {name}", checkpoint.digest(again), checkpoint.digest(wanted))
    exact = {name: tensor.to(model.dtype) for name, tensor in ours.items()}
    expected.same(
        f"{path.name} loaded weights",
        checkpoint.digest(_floats(model.module.state_dict())),
        checkpoint.digest(_floats(exact)),
    )


def _floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All but BatchNorm's counters, which stay whole numbers."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
