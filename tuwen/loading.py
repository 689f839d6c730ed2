"""A name, folder or file -> a model; the only place that picks a family."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tuwen import checkpoint, hub, keymap, models
from tuwen.checkpoint import strip_prefix
from tuwen.errors import CheckpointError, InputError, ModelNotFound, UsageError
from tuwen.model import Model, torch_dtype
from tuwen.processing.processor import Processor
from tuwen.processing.wordpiece import WordPiece
from tuwen.saving import CONFIG, WEIGHTS

ROUNDINGS = ("exact", "half")


@dataclass(frozen=True)
class Source:
    """Where a model was found: its weights, the folder around them, and what its name already says about it."""

    weights: Path
    folder: Path
    name: str = ""
    published: hub.Published | None = None
    settings: dict[str, Any] | None = field(default=None, compare=False)  # config.json, where the folder has one


def load(
    name: str | Path,
    tokenizer: str | Path | WordPiece | None = None,
    config: Any = None,
    device: str | torch.device | None = None,
    dtype: str = "float32",
    rounding: str = "exact",
) -> Model:
    """A model ready for use.

    name: "demo", a published name ("chinese-clip/vit-b-16", with "ms:" before it to fetch it from ModelScope), a hub
    repository ("owner/name"), a folder (saved by tuwen, or in transformers' format), or one original weight file (.pt).
    tokenizer: vocab.txt or tokenizer.json, for a weight file that has none beside it.
    config: sizes that the weights alone do not tell: a dict, a JSON file, or a folder with the original's pair of JSON
    files, or an instance of the family's Config. device: "cuda" where there is one, else "cpu", unless given. dtype:
    "float32", "bfloat16" or "float16".
    rounding: "exact" keeps the file's values; "half" rounds weights as cn_clip's `load_from_name` does, from which its
    published outputs come.

    Raises ModelNotFound (nothing of that name), CheckpointError (a file that cannot be read or lacks tensors),
    UsageError.
    """
    torch_dtype(dtype)
    if rounding not in ROUNDINGS:
        raise UsageError(f"rounding is {rounding!r}: it must be one of {', '.join(ROUNDINGS)}")
    source = find(name)
    if source.settings and "tuwen" in source.settings:
        return _load_own(source, device, dtype)
    read = checkpoint.read(source.weights)
    tensors = strip_prefix(read.tensors)
    family, form = recognise(tensors, source)
    module_of = models.family(family)
    sizes = sizes_of(module_of, config, source, tensors)
    ours, _ = keymap.load(tensors, module_of.KEYS[form], module_of.DROP)
    if rounding == "half":
        ours = module_of.round_to_half(ours)
    module = assemble(module_of, sizes, ours, source.weights.name)
    processor = module_of.processor(form, sizes, find_tokenizer(tokenizer, source, form), preprocessor(source))
    check_vocabulary(processor, sizes.text.vocabulary)
    return Model(family, module, processor, module_of.variant_of(sizes), device=device, dtype=dtype)


# -- finding ---------------------------------------------------------------------------------------------------------


def find(name: str | Path) -> Source:
    """What `name` means; ModelNotFound, with the nearest names, if nothing.

    A string that is a model's name means that model, whatever lies in the working directory; "./demo" or a Path means
    what lies there.
    """
    text = str(name)
    modelscope, plain = text.startswith("ms:"), text.removeprefix("ms:")
    if isinstance(name, str):
        folder = hub.bundled(plain)
        if folder:
            return _folder_source(folder, plain)
        if plain in models.PUBLISHED:
            published = models.PUBLISHED[plain]
            weights, _ = hub.fetch(published, modelscope)
            return Source(weights, weights.parent, plain, published)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder_source(path)
    if path.is_file():
        configs = path.parent / "model_configs"  # as in the original's package; `tuwen convert` writes it where needed
        return Source(path, path.parent, settings=read_config(configs) if configs.is_dir() else None)
    if _is_repository(plain):
        return _folder_source(hub.folder(plain), plain)
    known = ["demo", *models.PUBLISHED]
    near = difflib.get_close_matches(plain.lower(), known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known names are {', '.join(known)}"
    raise ModelNotFound(f"no model, file or folder is called {text!r}; {hint}")


def _is_repository(name: str) -> bool:
    """owner/name on a hub: one slash, no file ending, and no owner that tuwen's own names use."""
    owner, slash, rest = name.partition("/")
    families = {published.partition("/")[0] for published in models.PUBLISHED}
    ours = owner.lower() in families
    return bool(slash and owner and rest) and "/" not in rest and not ours and not Path(rest).suffix


def _folder_source(folder: Path, name: str = "") -> Source:
    weights = checkpoint.find_weights(folder)
    if weights is None:
        raise CheckpointError(
            f"{folder} has no weights that can be read: expected model.safetensors, pytorch_model.bin or one .pt file"
        )
    config = folder / CONFIG
    settings = read_config(config) if config.is_file() else None
    return Source(weights, folder, name, settings=settings)


def read_config(config: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A dict, a JSON file, or a folder of the original's JSON files, merged: the text tower's keys win."""
    if isinstance(config, Mapping):
        return dict(config)
    path = Path(config)
    files = (
        sorted(path.glob("*.json"), key=lambda file: "text_hidden_size" in _read_json(file))
        if path.is_dir()
        else [path]
    )
    if not files:
        raise InputError(f"{path} holds no JSON file")
    merged: dict[str, Any] = {}
    for file in files:
        merged |= _read_json(file)
    return merged


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a JSON {type(content).__name__}, expected an object of settings")
    return content


def sizes_of(module_of: ModuleType, config: Any, source: Source, tensors: Mapping[str, Tensor]) -> Any:
    """The family's Config: from what was passed, else from the description beside the weights, else from the shapes."""
    if dataclasses.is_dataclass(config):
        return config
    settings = read_config(config) if config is not None else source.settings
    if settings is None:
        return module_of.config_from_shapes(shapes_of(tensors))
    return module_of.config_from(settings["config"] if "tuwen" in settings else settings)


def recognise(tensors: Mapping[str, Tensor], source: Source) -> tuple[str, str]:
    """(family, format) of a state dict by its names; CheckpointError that lists some of them otherwise.

    A folder that tuwen saved is of the format "tuwen"; the others are those of the family's KEYS.
    """
    if source.settings and "tuwen" in source.settings:
        return source.settings.get("family", ""), "tuwen"
    for family in models.FAMILIES:
        form = models.family(family).recognise(tensors)
        if form:
            return family, form
    some = ", ".join(list(tensors)[:4])
    raise CheckpointError(
        f"{source.weights.name} holds {len(tensors)} tensors ({some}, ...) of no family that tuwen knows "
        f"({', '.join(models.FAMILIES)})"
    )


def find_tokenizer(given: str | Path | WordPiece | None, source: Source, form: str) -> WordPiece:
    """The tokenizer that was passed, or the one beside the weights."""
    if isinstance(given, WordPiece):
        return given
    style = "transformers" if form == "transformers" else "cn_clip"
    places = [Path(given)] if given is not None else [source.folder]
    for place in places:
        if place.is_dir():
            found = next((place / name for name in ("tokenizer.json", "vocab.txt") if (place / name).is_file()), None)
        else:
            found = place
        if found is not None:
            return WordPiece.from_json(found) if found.suffix == ".json" else WordPiece.from_vocab(found, style=style)
    raise InputError(
        f"{source.weights.name} comes without a tokenizer: pass tokenizer= with the vocab.txt of the published "
        "repository (21128 lines), or put that file beside the weights"
    )


def check_vocabulary(processor: Processor, rows: int) -> None:
    """A tokenizer with more entries than the word table has rows belongs to another model."""
    entries = processor.tokenizer.vocabulary_size
    if entries > rows:
        raise InputError(
            f"the tokenizer has {entries} entries but the model's word table only {rows} rows: "
            "this vocabulary belongs to another model"
        )


def preprocessor(source: Source) -> dict[str, Any] | None:
    """preprocessor_config.json beside the weights, where there is one."""
    path = source.folder / "preprocessor_config.json"
    return _read_json(path) if path.is_file() else None


# -- weights into modules --------------------------------------------------------------------------------------------


def assemble(module_of: Any, sizes: Any, ours: Mapping[str, Tensor], name: str) -> nn.Module:
    """A module of these sizes that holds these tensors. CheckpointError names the shapes that differ."""
    with torch.device("meta"):
        module: nn.Module = module_of.build(sizes)
    wanted = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    problem = keymap.describe_mismatch(shapes_of(ours), wanted)
    if problem:
        raise CheckpointError(f"{name} does not fit the sizes of its config: {problem}")
    module.load_state_dict({name: tensor.contiguous() for name, tensor in ours.items()}, assign=True)
    return module


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


# -- tuwen's own folders ---------------------------------------------------------------------------------------------


def _load_own(source: Source, device: str | torch.device | None, dtype: str) -> Model:
    settings = source.settings or {}
    try:
        module_of = models.family(settings["family"])
        sizes = module_of.config_from(settings["config"])
    except KeyError as error:
        raise InputError(
            f"{source.folder / CONFIG} lacks or does not know {error}: it is not a folder that tuwen saved"
        ) from None
    tensors = checkpoint.read(source.folder / WEIGHTS).tensors
    module = assemble(module_of, sizes, tensors, str(source.folder / WEIGHTS))
    processor = Processor.load(source.folder)
    languages = settings.get("languages", ("zh",))
    return Model(settings["family"], module, processor, settings.get("variant"), languages, device, dtype)


def new(family: str, sizes: Any, processor: Processor, languages: tuple[str, ...], device: str | None = None) -> Model:
    """A model with fresh random weights, drawn from torch's generator."""
    return Model(family, models.family(family).build(sizes), processor, languages=languages, device=device)
