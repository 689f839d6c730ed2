"""A model that was taken apart, written in a published format or in tuwen's own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from tuwen import checkpoint, keymap
from tuwen.errors import CheckpointError, UsageError
from tuwen.loading import Parts, assemble, shapes_of
from tuwen.nn.heads import unit
from tuwen.processing.vocabulary_files import published_files
from tuwen.saving import CONFIG, WEIGHTS, write_folder
from tuwen.types import Images, Texts

log = logging.getLogger(__name__)

Tensors = Mapping[str, Tensor]

PICTURES = "preprocessor_config.json"
PADDLE_WEIGHTS = "model_state.pdparams"
TOKENS = 12  # of the random text that two formats are compared on
PICTURE = (3, 2)  # sides of the random picture, by the size that the model takes


@dataclass(frozen=True)
class Written:
    """files: what there is now; dropped: our tensors that the format has no place for; notes: how far it is off."""

    files: list[Path]
    dropped: list[str]
    notes: list[str]


def write_own(parts: Parts, folder: Path, origin: Path) -> Written:
    """tuwen's folder: every tensor as it is."""
    described = {
        "family": parts.family,
        "variant": parts.module_of.variant_of(parts.sizes),
        "languages": list(parts.languages),
        "config": parts.module_of.config_to_dict(parts.sizes),
    }
    write_folder(folder, parts.tensors, parts.processor, described)
    return Written(sorted(folder.iterdir()), [], [])


def write_transformers(parts: Parts, folder: Path, origin: Path) -> Written:
    """A folder that transformers (or the family's code upon it) loads. origin: where the tokenizer comes from."""
    return _write_published(parts, folder, origin, "transformers")


def write_paddlenlp(parts: Parts, folder: Path, origin: Path) -> Written:
    """A folder that PaddleNLP loads. origin: where the tokenizer comes from."""
    return _write_published(parts, folder, origin, "paddlenlp")


def _write_published(parts: Parts, folder: Path, origin: Path, kind: str) -> Written:
    module_of = _able(parts, kind)
    sizes, tensors, dropped = _adapted(parts, f"as_{kind}")
    settings = getattr(module_of, f"{kind}_settings")(sizes)
    form = getattr(module_of, f"{kind}_form")(sizes)
    theirs = keymap.store(tensors, module_of.KEYS[form])
    back = module_of.read_sizes(form, settings, shapes_of(theirs), {}, None)
    notes = compared(module_of, sizes, back, tensors)
    pictures, more = getattr(module_of, f"{kind}_pictures")(sizes, parts.processor)
    more = [*pictures_otherwise(parts, form, sizes, tensors, pictures), *more]
    longest = getattr(sizes.text, "longest", None)
    files = published_files(parts.processor.tokenizer, kind, longest, _published(parts, origin))
    files |= {PICTURES: _json(pictures), CONFIG: _json(settings)}  # config.json last: then the folder is complete
    folder.mkdir(parents=True)
    FOLDERS[kind](folder, theirs)
    for name, content in files.items():
        _put(folder / name, content)
    return Written(sorted(folder.iterdir()), dropped, [*notes, *more])


def write_original(parts: Parts, path: Path, origin: Path) -> Written:
    """What the family's own code reads: one file with others beside it, or a folder where that is its format."""
    if hasattr(parts.module_of, "transformers_settings") and not hasattr(parts.module_of, "original_file"):
        return write_transformers(parts, path, origin)
    module_of = _able(parts, "original")
    sizes, tensors, dropped = _adapted(parts, "as_original")
    form = module_of.original_form(sizes)
    theirs = keymap.store(tensors, module_of.KEYS[form])
    if hasattr(module_of, "original_tensors"):
        theirs = module_of.original_tensors(theirs, sizes)
    file = module_of.original_file(sizes, parts.processor, path.stem, shapes_of(theirs))
    if path.suffix != file.suffix:
        raise UsageError(f"the original format is one file: {path} must end in {file.suffix}")
    back = module_of.read_sizes(form, file.settings, shapes_of(theirs), file.content or {}, file.text)
    notes = [*compared(module_of, sizes, back, tensors), *pictures_otherwise(parts, form, sizes, tensors, None)]
    files = published_files(parts.processor.tokenizer, "original", None, _published(parts, origin))
    files |= {
        name: _yaml(content) if name.endswith(".yml") else _json(content) for name, content in file.beside.items()
    }
    for name, content in files.items():
        if (path.parent / name).is_file() and (path.parent / name).read_bytes() != content:
            raise UsageError(f"{path.parent / name} exists already and is another model's: choose another folder")
    for name, content in files.items():
        _put(path.parent / name, content)
    if path.suffix == ".pdparams":
        checkpoint.write_pdparams(path, theirs)
    else:
        checkpoint.write_original(path, theirs, file.content, file.place)
    return Written([path, *(path.parent / name for name in files)], dropped, [*notes, *file.notes])


def _able(parts: Parts, kind: str) -> ModuleType:
    """The family's module. CheckpointError, with the formats that it has, if it does not say how this is written."""
    hooks = {"transformers": "transformers_settings", "paddlenlp": "paddlenlp_settings", "original": "original_file"}
    if not hasattr(parts.module_of, hooks[kind]):
        known = ["tuwen", *(name for name, hook in hooks.items() if hasattr(parts.module_of, hook))]
        raise CheckpointError(f"{parts.family} has no format {kind!r}: its models are written as {' or '.join(known)}")
    return parts.module_of


def _adapted(parts: Parts, how: str) -> tuple[Any, Tensors, list[str]]:
    """Sizes and tensors as the format has a place for them, and the names of tensors that it has none for."""
    if not hasattr(parts.module_of, how):
        return parts.sizes, parts.tensors, []
    sizes, tensors = getattr(parts.module_of, how)(parts.sizes, parts.tensors)
    return sizes, tensors, [name for name in parts.tensors if name not in tensors]


def _published(parts: Parts, origin: Path) -> Path | None:
    """Where the tokenizer's published files are, if anywhere."""
    return None if parts.form == "tuwen" else origin


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with checkpoint.replacing(path) as temporary:
        temporary.write_bytes(content)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _yaml(content: Any) -> bytes:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()


def _write_safetensors(folder: Path, theirs: Tensors) -> None:
    checkpoint.write_safetensors(folder / WEIGHTS, theirs, {"format": "pt"})


def _write_pdparams(folder: Path, theirs: Tensors) -> None:
    checkpoint.write_pdparams(folder / PADDLE_WEIGHTS, theirs)


# What writes the weights of a folder.
FOLDERS: dict[str, Callable[[Path, Tensors], None]] = {
    "transformers": _write_safetensors,
    "paddlenlp": _write_pdparams,
}


# -- does the format say what the model is? ----------------------------------------------------------------------------


def compared(module_of: ModuleType, sizes: Any, back: Any, tensors: Tensors) -> list[str]:
    """What a reader of the written files will do otherwise: nothing, or how far its scores are off.

    sizes: the model's; back: what the format will tell. CheckpointError where they are of another model.
    """
    ours, theirs = dict(_flat(module_of.config_to_dict(sizes))), dict(_flat(module_of.config_to_dict(back)))
    different = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    inexact = [name for name in different if name in getattr(module_of, "INEXACT", ())]
    if len(inexact) < len(different):
        said = [
            f"{name} {ours.get(name)} (it would be {theirs.get(name)})" for name in different if name not in inexact
        ]
        raise CheckpointError(f"the format has no place for all of this model: {keymap.several(said)}")
    if not different:
        return []
    off = difference(module_of, sizes, back, tensors)
    values = ", ".join(f"{name} {theirs[name]:g} instead of {ours[name]:g}" for name in different)
    return [f"{values}: its scores are off by up to {off:.1g}, measured on a random picture and text"]


def _flat(settings: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Settings within settings by names with dots; what a tower would take by default is written out."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{start}{name}.")
        elif name == "hidden" and value is None:
            yield start + name, 4 * settings["width"]
        elif name != "any_size":  # not of the weights, but of how they are used
            yield start + name, value


@torch.inference_mode()
def pictures_otherwise(
    parts: Parts, form: str, sizes: Any, tensors: Tensors, settings: Mapping[str, Any] | None
) -> list[str]:
    """What comes of it that the format's own code prepares pictures otherwise: how far a picture's features are off.

    settings: of the pictures, as the format has them. Of models that fuse the family itself says what there is to say.
    """
    module_of, ours = parts.module_of, parts.processor.image
    theirs = module_of.processor(form, sizes, parts.processor.tokenizer, settings, {}).image
    if theirs == ours or hasattr(sizes, "fusion") or "image" not in getattr(sizes, "towers", ("image",)):
        return []
    floats = {name: tensor.float() for name, tensor in tensors.items()}
    module: Any = assemble(module_of, sizes, floats, "the model").eval()
    picture = random_picture(sizes.image.image_size)
    features = [
        unit(module.encode_image(Images(pipeline.normalise(torch.from_numpy(pipeline.pixels(picture))[None]))))
        for pipeline in (ours, theirs)
    ]
    off = float((features[0] - features[1]).abs().max())
    said = f"features are off by up to {off:.1g}, measured on a random picture"
    return [f"pictures are prepared by the other format's rules: {said}"] if off else []


def random_picture(size: int) -> Any:
    """uint8 (H, W, 3): soft colours, larger than what a model takes, and no square."""
    coarse = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, [size * side for side in PICTURE], mode="bicubic").clamp(0, 1)
    return (fine[0].permute(1, 2, 0) * 255).numpy().astype(np.uint8)


@torch.inference_mode()
def difference(module_of: ModuleType, sizes: Any, other: Any, tensors: Tensors) -> float:
    """The largest difference between the scores of two models of the same weights, on a random picture and text."""
    random = torch.Generator().manual_seed(0)
    side = sizes.image.image_size
    images = Images(torch.randn(1, 3, side, side, generator=random))
    ids = torch.randint(4, sizes.text.vocabulary, (1, TOKENS), generator=random)
    texts = Texts(ids, torch.ones_like(ids, dtype=torch.bool))
    floats = {name: tensor.float() for name, tensor in tensors.items()}
    first, second = (
        scores(assemble(module_of, config, floats, "the model").eval(), images, texts) for config in (sizes, other)
    )
    return max(float((one - two).abs().max()) for one, two in zip(first, second, strict=True))


def scores(module: Any, images: Images, texts: Texts) -> list[Tensor]:
    """What the heads of a fusion model say, or its pooled states where it has none; the cosine of two towers."""
    if not hasattr(module, "fusion"):
        return [unit(module.encode_image(images)) @ unit(module.encode_text(texts)).T]
    fused = module(images, texts)
    said = [head(fused.pooled) for name, head in module.heads.items() if name in ("match", "answer", "entail", "rank")]
    return said + ([module.words(fused.text)] if "fill" in module.heads else []) or [fused.pooled]
