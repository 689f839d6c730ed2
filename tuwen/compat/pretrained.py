"""What the published model classes have in common: opened from files, saved to files, tensors under published names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from tuwen import checkpoint, keymap, models
from tuwen.checkpoint import bare, strip_prefix
from tuwen.compat.settings import Settings
from tuwen.errors import CheckpointError
from tuwen.loading import assemble, find, load, recognise, shapes_of, to_ours
from tuwen.model import torch_dtype as type_of
from tuwen.models.bridgetower import published as bridgetower
from tuwen.models.vle import published as vle
from tuwen.nn.positions import resize_grid
from tuwen.saving import WEIGHTS

log = logging.getLogger(__name__)

INSIDE = "towers."  # before our names within a published class
BIN = "pytorch_model.bin"
# Sizes -> the content of a config.json.
TO_SETTINGS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bridgetower": bridgetower.transformers_settings,
    "vle": vle.transformers_settings,
}


class Read(NamedTuple):
    """A file's tensors under our names, the sizes that they have, and the config.json that tells them."""

    ours: dict[str, Tensor]
    sizes: Any
    settings: dict[str, Any]
    label: str


class Pretrained(nn.Module):
    """Parent of the published classes, as they have one: our module within, published names without.

    `state_dict`, `load_state_dict` and `named_parameters` speak published names, so that checkpoints, and rules such as
    "no weight decay for LayerNorm.weight", work as they did. Query, key and value, which lie in one parameter here, are
    three tensors in a state dict and come under the first of their names in `named_parameters`.

    FAMILY, FORM: which of our families it is and which of its key tables; HEADS: the first parts of the published names
    of the head's tensors; CONFIG: the class of `config`.
    """

    FAMILY: ClassVar[str]
    FORM: ClassVar[str]
    HEADS: ClassVar[tuple[str, ...]] = ()
    CONFIG: ClassVar[type[Settings]]

    towers: Any
    config: Any

    def __init__(self, config: Settings, towers: nn.Module | None = None) -> None:
        """A model of these sizes with fresh weights, or with the weights of `towers`, a module of ours."""
        super().__init__()
        self.config = config
        self.towers = self._built(config) if towers is None else towers
        self._names: dict[str, str] = {}
        self.register_state_dict_post_hook(_publish)
        self.register_load_state_dict_pre_hook(_take_in)

    # -- sizes ---------------------------------------------------------------------------------------------------------

    @classmethod
    def head(cls) -> tuple[str, ...]:
        """Our name of the class's head, none for a bare model."""
        return tuple(dict.fromkeys(models.family(cls.FAMILY).HEADS[start] for start in cls.HEADS))

    @classmethod
    def narrowed(cls, sizes: Any) -> Any:
        """Sizes without the heads that the class has no use for."""
        return replace(sizes, heads={name: widths for name, widths in sizes.heads.items() if name in cls.head()})

    @classmethod
    def widened(cls, sizes: Any, settings: Mapping[str, Any]) -> Any:
        """Sizes with the class's head, of the original's widths where it is new."""
        return models.family(cls.FAMILY).with_heads(sizes, cls.head())

    @classmethod
    def _built(cls, config: Settings) -> nn.Module:
        settings = config.to_dict()
        family = models.family(cls.FAMILY)
        sizes = cls.narrowed(family.read_sizes(cls.FORM, settings, {}, {}, None))
        module: nn.Module = family.build(cls.widened(sizes, settings))
        return module

    # -- files ---------------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: Settings | None = None,
        image_size: int | None = None,
        torch_dtype: str | torch.dtype = "float32",
        **changes: Any,
    ) -> Self:
        """A model in eval mode on the CPU, from a folder, an original file, or a published name.

        A head that the file does not hold starts from random numbers, and a warning names its tensors; other heads of
        the file are left where they are. config, or single settings of it, in place of config.json's. image_size:
        pictures of another size than the checkpoint's, its positions are interpolated as the original does.
        CheckpointError where the file is another family's, or its tensors do not have the sizes of the config.
        """
        read = cls._read(pretrained_model_name_or_path, config, changes)
        ours, sizes = cls._with_head(read)
        settings = cls.CONFIG.from_dict(read.settings)
        if image_size is not None:
            image = replace(sizes.image, image_size=image_size)
            positions = resize_grid(ours["image.positions"], image.side, models.family(cls.FAMILY).ALIGN_CORNERS)
            ours, sizes = {**ours, "image.positions": positions}, replace(sizes, image=image)
            settings.vision_config.image_size = image_size
        towers = assemble(models.family(cls.FAMILY), sizes, ours, read.label)
        dtype = torch_dtype if isinstance(torch_dtype, torch.dtype) else type_of(torch_dtype)
        return cls._of(settings, towers.to(dtype)).eval()

    @classmethod
    def _of(cls, config: Settings, towers: nn.Module) -> Self:
        model = cls.__new__(cls)
        Pretrained.__init__(model, config, towers)
        return model

    @classmethod
    def _read(cls, name: str | Path, config: Settings | None, changes: Mapping[str, Any]) -> Read:
        family = models.family(cls.FAMILY)
        source = find(name)
        label = source.weights.name
        if source.settings and "tuwen" in source.settings:
            model = load(name, device="cpu")
            if model.family != cls.FAMILY:
                raise CheckpointError(f"{name} holds {model.family}, and {cls.__name__} needs {cls.FAMILY}")
            sizes = model.towers.config
            return Read(model.module.state_dict(), sizes, TO_SETTINGS[cls.FAMILY](sizes), label)
        read = checkpoint.read(source.weights)
        others = family.HEADS.keys() - set(cls.HEADS)
        tensors = strip_prefix(bare(read.tensors))
        tensors = {key: tensor for key, tensor in tensors.items() if key.partition(".")[0] not in others}
        found, form = recognise(tensors, source)
        if found != cls.FAMILY or not form.startswith("transformers"):
            raise CheckpointError(
                f"{label} holds {found} in the format {form}, and {cls.__name__} needs {cls.FAMILY} in the format "
                "of transformers: tuwen.load takes the others"
            )
        told = source.settings if config is None else config.to_dict()
        settings = cls.CONFIG.from_dict(told, **changes).to_dict() if told is not None else None
        sizes = family.read_sizes(form, settings, shapes_of(tensors), read.extra, None)
        return Read(to_ours(tensors, family, form, sizes)[0], sizes, settings or {}, label)

    @classmethod
    def _with_head(cls, read: Read) -> tuple[dict[str, Tensor], Any]:
        """Tensors and sizes with the class's head alone, which is drawn from torch's generator if it is missing."""
        family = models.family(cls.FAMILY)
        sizes = cls.narrowed(read.sizes)
        kept = {
            name: tensor
            for name, tensor in read.ours.items()
            if not name.startswith("heads.") or name.split(".")[1] in sizes.heads
        }
        wider = cls.widened(sizes, read.settings)
        added = {
            f"heads.{head}.{part}": tensor.detach()
            for head in wider.heads
            if head not in sizes.heads
            for part, tensor in family.new_head(head, wider).state_dict().items()
        }
        if added:
            names = ", ".join(sorted(keymap.store(added, family.KEYS[cls.FORM])))
            log.warning("%s holds no %s: they start from random numbers, train the model first", read.label, names)
        return {**kept, **added}, wider

    def save_pretrained(self, save_directory: str | Path, safe_serialization: bool = True) -> None:
        """Write the published layout: config.json, and model.safetensors or pytorch_model.bin in place of either.

        The processor's own `save_pretrained` writes the tokenizer's files and the picture settings.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = self.state_dict()
        if safe_serialization:
            checkpoint.write_safetensors(folder / WEIGHTS, tensors, {"format": "pt"})
        else:
            checkpoint.write_original(folder / BIN, tensors)
        (folder / (BIN if safe_serialization else WEIGHTS)).unlink(missing_ok=True)  # of two, readers may take the old
        self.config.save_pretrained(folder)

    # -- as a module ---------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.towers.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the towers compute."""
        return next(self.towers.parameters()).dtype

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Published name and parameter."""
        if not recurse:
            return
        start = prefix + "." if prefix else ""
        for ours, parameter in self.towers.named_parameters(remove_duplicate=remove_duplicate):
            if ours not in self._names:
                stored = keymap.store({ours: parameter.detach()}, self.keys())
                self._names[ours] = next(iter(stored))
            yield start + self._names[ours], parameter

    @classmethod
    def keys(cls) -> tuple[keymap.Key, ...]:
        """The table of published names and ours."""
        table: tuple[keymap.Key, ...] = models.family(cls.FAMILY).KEYS[cls.FORM]
        return table


def _publish(module: nn.Module, tensors: dict[str, Any], prefix: str, _: Any) -> None:
    """Our names in a state dict into published ones, in place."""
    assert isinstance(module, Pretrained)
    start = prefix + INSIDE
    ours = {name.removeprefix(start): tensors.pop(name) for name in list(tensors) if name.startswith(start)}
    tensors.update({prefix + name: tensor for name, tensor in keymap.store(ours, module.keys()).items()})


def _take_in(
    module: nn.Module,
    tensors: dict[str, Any],
    prefix: str,
    _: Any,
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    problems: list[str],
) -> None:
    """Published names in a state dict that is about to be loaded into ours, in place."""
    assert isinstance(module, Pretrained)
    theirs = {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
    try:
        ours, _ = keymap.load(theirs, module.keys(), models.family(module.FAMILY).DROP)
    except CheckpointError as error:
        problems.append(str(error))
        return
    tensors.update({prefix + INSIDE + name: tensor for name, tensor in ours.items()})
