"""A name, folder or file -> a model; the only place that picks a family."""

from __future__ import annotations

import dataclasses
import difflib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tuwen import checkpoint, hub, keymap, models
from tuwen.checkpoint import bare, strip_prefix
from tuwen.errors import CheckpointError, InputError, ModelNotFound, UsageError
from tuwen.model import Model, torch_dtype
from tuwen.nn.positions import resize_grid
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import Tokenizer, open_tokenizer
from tuwen.saving import CONFIG, WEIGHTS

log = logging.getLogger(__name__)

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
    tokenizer: str | Path | Tokenizer | None = None,
    config: Any = None,
    device: str | torch.device | None = None,
    dtype: str = "float32",
    rounding: str = "exact",
    heads: Sequence[str] = (),
    answers: str | Path | Sequence[str] | None = None,
    image_size: int | str | None = None,
) -> Model:
    """A model ready for use.

    name: "demo", a published name ("chinese-clip/vit-b-16", with "ms:" before it to fetch it from ModelScope), a hub
    repository ("owner/name"), a folder (saved by tuwen, in transformers' format, or of DeepSpeed), or one original
    weight file (.pt, .ckpt).
    tokenizer: its file or folder, for weights that have none beside them (for BridgeTower's .ckpt files: a folder of
    roberta-base or roberta-large).
    config: sizes that the weights alone do not tell: a dict, a JSON file, or a folder with the original's JSON files,
    or an instance of the family's Config. device: "cuda" where there is one, else "cpu", unless given. dtype:
    "float32", "bfloat16" or "float16".
    rounding: "exact" keeps the file's values; "half" rounds weights as cn_clip's `load_from_name` does, from which its
    published outputs come.
    heads: heads that the model shall have even where the file holds none, such as ("answer",) before training one;
    they start from random numbers, and a warning says so.
    answers: texts of the answers that a question-answering head chooses from, in order, where the files do not name
    them: a list, or a JSON file of a list or of {answer: number}.
    image_size: the length of a picture's edge in pixels, where it shall not be the checkpoint's: positions are
    interpolated as the originals do. "any" takes pictures in their own shapes, one by one or padded.

    Raises ModelNotFound (nothing of that name), CheckpointError (a file that cannot be read or lacks tensors),
    UsageError.
    """
    torch_dtype(dtype)
    if rounding not in ROUNDINGS:
        raise UsageError(f"rounding is {rounding!r}: it must be one of {', '.join(ROUNDINGS)}")
    source = find(name)
    if source.settings and "tuwen" in source.settings:
        family, sizes, ours, processor = _read_own(source)
        module_of = models.family(family)
    else:
        read = checkpoint.read(source.weights)
        tensors = strip_prefix(bare(read.tensors))
        family, form = recognise(tensors, source)
        module_of = models.family(family)
        sizes = sizes_of(module_of, form, config, source, tensors, read.extra, beside(tokenizer))
        ours, _ = to_ours(tensors, module_of, form, sizes)
        words = find_tokenizer(tokenizer, source, form)
        processor = module_of.processor(form, sizes, words, preprocessor(source), read.extra)
        check_vocabulary(processor, sizes.text.vocabulary)
    if rounding == "half":
        ours = module_of.round_to_half(ours)
    if answers is not None:
        sizes = dataclasses.replace(sizes, answers=read_answers(answers))
    if image_size is not None:
        ours, sizes, processor = at_size(ours, sizes, processor, image_size, module_of.ALIGN_CORNERS)
    if heads:
        ours, sizes = with_heads(module_of, ours, sizes, tuple(heads), source.weights.name)
    module = assemble(module_of, sizes, ours, source.weights.name)
    settings = source.settings or {}
    languages = settings.get("languages", module_of.LANGUAGES) if "tuwen" in settings else module_of.LANGUAGES
    return Model(family, module, processor, module_of.variant_of(sizes), languages, device, dtype)


def to_ours(
    tensors: Mapping[str, Tensor], module_of: ModuleType, form: str, sizes: Any
) -> tuple[dict[str, Tensor], list[str]]:
    """Their names into ours, and what was dropped; tensors of parts that nobody knows are dropped with a warning."""
    if form == "tuwen":
        return dict(tensors), []
    strange = module_of.left_out(tensors, sizes)
    if strange:
        some = ", ".join(strange[:3]) + (", ..." if len(strange) > 3 else "")
        log.warning("%d tensors have no place in the model and are left out: %s", len(strange), some)
    kept = {name: tensor for name, tensor in tensors.items() if name not in set(strange)}
    ours, dropped = keymap.load(kept, module_of.KEYS[form], module_of.DROP)
    return ours, [*dropped, *strange]


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
            if not published.file:
                if modelscope:
                    raise ModelNotFound(f"{plain} is not on ModelScope: leave out ms:, or set HF_ENDPOINT to a mirror")
                return replace(_folder_source(hub.folder(published.repo), plain), published=published)
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
            checkpoint.look(folder).reason
            or f"{folder} has no weights that can be read: expected model.safetensors, pytorch_model.bin, one .pt or "
            ".ckpt file, or a DeepSpeed folder"
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


def sizes_of(
    module_of: ModuleType,
    form: str,
    config: Any,
    source: Source,
    tensors: Mapping[str, Tensor],
    extra: Mapping[str, Any] | None = None,
    text: Mapping[str, Any] | None = None,
) -> Any:
    """The family's Config: from what was passed, else from the description beside the weights, else from the file.

    extra: what lies in the file beside the tensors; text: the config.json beside the tokenizer.
    """
    if dataclasses.is_dataclass(config):
        return config
    settings = read_config(config) if config is not None else source.settings
    if settings is not None and "tuwen" in settings:
        return module_of.config_from_own(settings["config"])
    return module_of.read_sizes(form, settings, shapes_of(tensors), extra or {}, text)


def beside(tokenizer: Any) -> dict[str, Any] | None:
    """config.json of the folder that the tokenizer comes from, where there is one."""
    if not isinstance(tokenizer, str | Path):
        return None
    path = Path(tokenizer) / CONFIG if Path(tokenizer).is_dir() else Path(tokenizer).parent / CONFIG
    return _read_json(path) if path.is_file() else None


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


def find_tokenizer(given: str | Path | Tokenizer | None, source: Source, form: str) -> Tokenizer:
    """The tokenizer that was passed, or the one beside the weights."""
    if given is not None and not isinstance(given, str | Path):
        return given
    style = "transformers" if form.startswith("transformers") else "cn_clip"
    if given is not None:
        return open_tokenizer(Path(given), style)
    try:
        return open_tokenizer(source.folder, style)
    except InputError as error:
        raise InputError(
            f"{source.weights.name} comes without a tokenizer: pass tokenizer= with the file or folder of the "
            f"published repository, or put its files beside the weights ({error})"
        ) from None


def check_vocabulary(processor: Processor, rows: int) -> None:
    """A tokenizer with more entries than the word table has rows belongs to another model."""
    entries = processor.tokenizer.vocabulary_size
    if entries > rows:
        raise InputError(
            f"the tokenizer has {entries} entries but the model's word table only {rows} rows: "
            "this vocabulary belongs to another model"
        )


def preprocessor(source: Source) -> dict[str, Any] | None:
    """The picture settings beside the weights, where there are some: transformers has had two names for the file."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = source.folder / name
        if path.is_file():
            settings = _read_json(path)
            return settings.get("image_processor", settings)
    return None


def read_answers(answers: str | Path | Sequence[str]) -> tuple[str, ...]:
    """A list of answers in order, or a JSON file of one, or of {answer: number}, or of {number: answer}."""
    content: Any = answers
    if isinstance(answers, str | Path):
        try:
            content = json.loads(Path(answers).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{answers} cannot be read as JSON: {error}") from None
    if isinstance(content, Mapping):
        pairs = [(value, key) if isinstance(value, int) else (int(key), value) for key, value in content.items()]
        if sorted(number for number, _ in pairs) != list(range(len(pairs))):
            raise InputError(f"the {len(pairs)} answers do not carry the numbers 0 to {len(pairs) - 1}")
        content = [text for _, text in sorted(pairs)]
    if not isinstance(content, list | tuple) or not all(isinstance(text, str) for text in content):
        raise InputError("answers must be a list of texts, or a mapping between texts and numbers")
    return tuple(content)


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


def with_heads(
    module_of: Any, ours: Mapping[str, Tensor], sizes: Any, heads: tuple[str, ...], name: str
) -> tuple[dict[str, Tensor], Any]:
    """Tensors and sizes with heads that the file did not hold, drawn from torch's generator."""
    wider = module_of.with_heads(sizes, heads)
    fresh = [head for head in wider.heads if head not in sizes.heads]
    if fresh:
        log.warning("%s holds no head for %s: it starts from random numbers", name, ", ".join(fresh))
    added = {
        f"heads.{head}.{part}": tensor.detach()
        for head in fresh
        for part, tensor in module_of.new_head(head, wider).state_dict().items()
    }
    return {**ours, **added}, wider


def at_size(
    ours: Mapping[str, Tensor], sizes: Any, processor: Processor, image_size: int | str, align_corners: bool
) -> tuple[dict[str, Tensor], Any, Processor]:
    """Tensors, sizes and processor for pictures of another size, or of any."""
    if not hasattr(sizes.image, "any_size"):
        raise UsageError("the size of the pictures can be changed in models with a vision transformer only")
    if image_size == "any":
        image = dataclasses.replace(sizes.image, any_size=True)
        processor = dataclasses.replace(processor, image=processor.image.uncropped())
        return dict(ours), dataclasses.replace(sizes, image=image), processor
    if not isinstance(image_size, int) or image_size < sizes.image.patch_size:
        raise UsageError(
            f"image_size is {image_size!r}: it must be at least one patch ({sizes.image.patch_size} pixels), or 'any'"
        )
    image = dataclasses.replace(sizes.image, image_size=image_size)
    positions = resize_grid(ours["image.positions"], image.side, align_corners=align_corners)
    processor = dataclasses.replace(processor, image=processor.image.at_size(image_size))
    return {**ours, "image.positions": positions}, dataclasses.replace(sizes, image=image), processor


# -- tuwen's own folders ---------------------------------------------------------------------------------------------


def _read_own(source: Source) -> tuple[str, Any, dict[str, Tensor], Processor]:
    """Family, sizes, tensors and processor of a folder that tuwen saved."""
    settings = source.settings or {}
    try:
        family = settings["family"]
        sizes = models.family(family).config_from_own(settings["config"])
    except KeyError as error:
        raise InputError(
            f"{source.folder / CONFIG} lacks or does not know {error}: it is not a folder that tuwen saved"
        ) from None
    return family, sizes, checkpoint.read(source.folder / WEIGHTS).tensors, Processor.load(source.folder)


def new(family: str, sizes: Any, processor: Processor, languages: tuple[str, ...], device: str | None = None) -> Model:
    """A model with fresh random weights, drawn from torch's generator."""
    return Model(family, models.family(family).build(sizes), processor, languages=languages, device=device)
