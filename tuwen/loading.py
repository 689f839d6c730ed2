"""A name, folder or file -> a model; the only place that picks a family."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tuwen import checkpoint, keymap, models
from tuwen.adapting import at_size, check_answers, with_answers, with_heads
from tuwen.checkpoint import bare, strip_prefix
from tuwen.errors import CheckpointError, InputError, TuwenError, UsageError
from tuwen.model import Model, torch_dtype
from tuwen.processing.processor import Processor
from tuwen.processing.tokenizer import NoTokenizer, Tokenizer, open_tokenizer
from tuwen.saving import CONFIG
from tuwen.sources import Source as Source
from tuwen.sources import find as find
from tuwen.sources import read_config as read_config
from tuwen.sources import read_json

log = logging.getLogger(__name__)

ROUNDINGS = ("exact", "half")
TOWERS = ("image", "text")


@dataclass(frozen=True)
class Parts:
    """A model taken apart: its tensors under our names, in the types of their file, and what belongs to them.

    form: the published format that it was in, or "tuwen"; dropped: tensors of the file that the model has no place for.
    """

    family: str
    form: str
    sizes: Any
    tensors: Mapping[str, Tensor]
    processor: Processor
    source: Source
    dropped: tuple[str, ...] = ()

    @property
    def module_of(self) -> ModuleType:
        """The module of its family."""
        return models.family(self.family)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of its texts."""
        told = (self.source.settings or {}).get("languages") if self.form == "tuwen" else None
        return tuple(told or self.module_of.LANGUAGES)


def load(
    name: str | Path,
    tokenizer: str | Path | Tokenizer | None = None,
    config: Any = None,
    device: str | torch.device | None = None,
    dtype: str = "float32",
    rounding: str = "exact",
    heads: Sequence[str] = (),
    answers: str | Path | Sequence[str] | Mapping[Any, Any] | None = None,
    image_size: int | str | None = None,
    text_eps: float | None = None,
    momentum: bool = False,
    tower: str | None = None,
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
    them: a list, {answer: number}, or a JSON file of either.
    image_size: the length of a picture's edge in pixels, where it shall not be the checkpoint's: positions are
    interpolated as the originals do. "any" takes every picture in its own shape (BridgeTower).
    text_eps: epsilon of the text tower's norms instead of the config's. PaddleNLP from version 2.6 runs ERNIE-ViL 2.0
    with 1e-12, whatever its config says.
    momentum: take the slowly moving copies of the encoders that a file of BriVL's training holds, not the encoders.
    tower: "image" or "text" loads that tower of a two-tower file alone (BriVL); pictures need no tokenizer.

    Raises ModelNotFound (nothing of that name), CheckpointError (a file that cannot be read or lacks tensors),
    UsageError.
    """
    torch_dtype(dtype)
    if rounding not in ROUNDINGS:
        raise UsageError(f"rounding is {rounding!r}: it must be one of {', '.join(ROUNDINGS)}")
    parts = take_apart(find(name), tokenizer, config, momentum, tower)
    module_of, sizes, ours, processor = parts.module_of, parts.sizes, parts.tensors, parts.processor
    label = parts.source.weights.name
    if rounding == "half":
        if not hasattr(module_of, "round_to_half"):
            raise UsageError(f"rounding is 'half', which is for Chinese-CLIP: {parts.family} has no such form")
        ours = module_of.round_to_half(ours)
    if text_eps is not None:
        sizes = dataclasses.replace(sizes, text=dataclasses.replace(sizes.text, eps=text_eps))
    if answers is not None:
        sizes = with_answers(sizes, answers)
    if image_size is not None:
        ours, sizes, processor = at_size(module_of, ours, sizes, processor, image_size)
    if heads:
        ours, sizes = with_heads(module_of, ours, sizes, heads, label)
    if answers is not None:
        check_answers(sizes)
    module = assemble(module_of, sizes, ours, label)
    return Model(parts.family, module, processor, module_of.variant_of(sizes), parts.languages, device, dtype)


def take_apart(
    source: Source,
    tokenizer: str | Path | Tokenizer | None = None,
    config: Any = None,
    momentum: bool = False,
    tower: str | None = None,
) -> Parts:
    """Everything of a model but the module; arguments and errors as of `load`."""
    tensors, extra = read(source)
    family, form = recognise(tensors, source)
    module_of = models.family(family)
    tensors = chosen(module_of, family, tensors, momentum, tower)
    sizes = sizes_of(module_of, form, config, source, tensors, extra, beside(tokenizer))
    if tower is not None:
        sizes = module_of.of_tower(sizes, tower)
    ours, dropped = to_ours(tensors, module_of, form, sizes)
    if form == "tuwen":
        if tokenizer is not None:
            raise UsageError(f"{source.folder} was saved by tuwen and has its own tokenizer: leave out tokenizer=")
        processor = Processor.load(source.folder)
        processor = processor if takes_texts(sizes) else dataclasses.replace(processor, tokenizer=NoTokenizer())
    else:
        needed = tokenizer is not None or takes_texts(sizes)
        words = find_tokenizer(tokenizer, source, module_of.tokenizer_style(form)) if needed else NoTokenizer()
        processor = module_of.processor(form, sizes, words, preprocessor(source), extra)
    check_vocabulary(processor, sizes.text.vocabulary)
    return Parts(family, form, sizes, ours, processor, source, tuple(dropped))


def chosen(
    module_of: ModuleType, family: str, tensors: Mapping[str, Tensor], momentum: bool, tower: str | None
) -> dict[str, Tensor]:
    """The tensors that are asked for. UsageError where the family knows no such choice, CheckpointError for a file
    that does not hold them."""
    if momentum and not hasattr(module_of, "momentum"):
        raise UsageError(f"momentum is for files of BriVL's training: {family} has no such copies, leave it out")
    if tower is not None and not hasattr(module_of, "one_tower"):
        raise UsageError(f"tower is for BriVL, whose towers come alone too: {family} is loaded whole, leave it out")
    if tower not in (None, *TOWERS):
        raise UsageError(f"tower is {tower!r}: it must be one of {', '.join(TOWERS)}")
    found = module_of.momentum(tensors) if momentum else dict(tensors)
    return found if tower is None else module_of.one_tower(found, tower)


def takes_texts(sizes: Any) -> bool:
    """Whether the model has a text tower: every one has, unless its config names the towers that are there."""
    return "text" in getattr(sizes, "towers", TOWERS)


def read(source: Source) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a source as named in its file, without a wrapper's prefix, and the plain data beside them."""
    found = checkpoint.read(source.weights)
    return strip_prefix(bare(found.tensors)), found.extra


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


# -- what belongs to the tensors ---------------------------------------------------------------------------------------


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
    if form == "tuwen":
        if config is not None:
            raise UsageError(f"{source.folder} was saved by tuwen and has its own {CONFIG}: leave out config=")
        return _own_sizes(module_of, source)
    if dataclasses.is_dataclass(config):
        return config
    settings = read_config(config) if config is not None else source.settings
    if settings is not None and "tuwen" in settings:
        return module_of.config_from_own(settings["config"])
    return module_of.read_sizes(form, settings, shapes_of(tensors), extra or {}, text)


def _own_sizes(module_of: ModuleType, source: Source) -> Any:
    try:
        return module_of.config_from_own((source.settings or {})["config"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{source.folder / CONFIG} is not what tuwen writes: it lacks {error}") from None


def beside(tokenizer: Any) -> dict[str, Any] | None:
    """config.json of the folder that the tokenizer comes from, where there is one."""
    if not isinstance(tokenizer, str | Path):
        return None
    path = Path(tokenizer) / CONFIG if Path(tokenizer).is_dir() else Path(tokenizer).parent / CONFIG
    return read_json(path) if path.is_file() else None


def recognise(tensors: Mapping[str, Tensor], source: Source) -> tuple[str, str]:
    """(family, format) of a state dict by its names; CheckpointError that lists some of them otherwise.

    A folder that tuwen saved is of the format "tuwen"; the others are those of the family's KEYS.
    """
    if source.is_own:
        named = (source.settings or {}).get("family")
        if named not in models.FAMILIES:
            raise InputError(
                f"{source.folder / CONFIG} names the family {named!r}: this version of tuwen knows "
                f"{', '.join(models.FAMILIES)}"
            )
        return named, "tuwen"
    for family in models.FAMILIES:
        form = models.family(family).recognise(tensors)
        if form:
            return family, form
    some = ", ".join(list(tensors)[:4])
    raise CheckpointError(
        f"{source.weights.name} holds {len(tensors)} tensors ({some}, ...) of no family that tuwen knows "
        f"({', '.join(models.FAMILIES)})"
    )


def find_tokenizer(given: str | Path | Tokenizer | None, source: Source, style: str) -> Tokenizer:
    """The tokenizer that was passed, or the one beside the weights.

    style: the rules of a vocabulary file that says none itself.
    """
    if given is not None and not isinstance(given, str | Path):
        return given
    if given is not None:
        return open_tokenizer(Path(given), style)
    try:
        return open_tokenizer(source.words or source.folder, style)
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
            settings = read_json(path)
            return settings.get("image_processor", settings)
    return None


# -- weights into modules --------------------------------------------------------------------------------------------


def assemble(module_of: Any, sizes: Any, ours: Mapping[str, Tensor], name: str) -> nn.Module:
    """A module of these sizes that holds these tensors. CheckpointError names the shapes that differ."""
    module = empty(module_of, sizes, ours, name)
    module.load_state_dict({name: tensor.contiguous() for name, tensor in ours.items()}, assign=True)
    return module


def empty(module_of: Any, sizes: Any, ours: Mapping[str, Tensor], name: str) -> nn.Module:
    """The same without the tensors, on the meta device: only their shapes are looked at."""
    try:
        with torch.device("meta"):
            module: nn.Module = module_of.build(sizes)
    except ValueError as error:
        if isinstance(error, TuwenError):
            raise
        raise CheckpointError(f"the config of {name} makes no model: {error}") from None
    wanted = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    problem = keymap.describe_mismatch(shapes_of(ours), wanted)
    if problem:
        raise CheckpointError(f"{name} does not fit the sizes of its config: {problem}")
    return module


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def new(family: str, sizes: Any, processor: Processor, languages: tuple[str, ...], device: str | None = None) -> Model:
    """A model with fresh random weights, drawn from torch's generator."""
    return Model(family, models.family(family).build(sizes), processor, languages=languages, device=device)
