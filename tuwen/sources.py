"""What the name of a model means: files on this machine, or files that are fetched."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tuwen import checkpoint, hub, models
from tuwen.errors import CheckpointError, InputError, ModelNotFound
from tuwen.models.brivl.settings import BASE_FILE, read_yaml
from tuwen.saving import CONFIG, WEIGHTS

OLD_CONFIG = "model_config.json"  # of PaddleNLP's folders until it took config.json over from transformers


@dataclass(frozen=True)
class Source:
    """Where a model was found: its weights, the folder around them, and what its name already says about it."""

    weights: Path
    folder: Path
    name: str = ""
    published: hub.Published | None = None
    settings: dict[str, Any] | None = field(default=None, compare=False)  # config.json, where the folder has one
    words: Path | None = None  # the vocabulary, where it lies elsewhere

    @property
    def is_own(self) -> bool:
        """Whether tuwen saved it."""
        return "tuwen" in (self.settings or {})


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
            weights, words = hub.fetch(published, modelscope)
            return Source(weights, weights.parent, plain, published, words=words if published.words else None)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder_source(path)
    if path.is_file():
        return _file_source(path)
    if modelscope:
        raise ModelNotFound(f"{text!r}: ms: is for published names such as ms:chinese-clip/vit-b-16, not for {plain!r}")
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
    found = [folder / file for file in (CONFIG, OLD_CONFIG) if (folder / file).is_file()]
    return Source(weights, folder, name, settings=read_config(found[0]) if found else None)


def _file_source(path: Path) -> Source:
    configs, config = path.parent / "model_configs", path.parent / CONFIG
    if configs.is_dir():  # as in Chinese-CLIP's package; `tuwen convert` writes it where it is needed
        return Source(path, path.parent, settings=read_config(configs))
    source = Source(path, path.parent)
    # What lies beside a .pt may be another format's: such files tell their sizes themselves.
    if config.is_file() and path.suffix in (".safetensors", ".bin", ".json", ".ckpt", ".pdparams"):
        source = replace(source, settings=read_config(config))
    return replace(source, settings=None) if source.is_own and path.name != WEIGHTS else source


def read_config(config: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A dict, a JSON or YAML file, or a folder of the original's JSON files, merged: the text tower's keys win."""
    if isinstance(config, Mapping):
        return dict(config)
    path = Path(config)
    files = (
        sorted(path.glob("*.json"), key=lambda file: "text_hidden_size" in read_json(file)) if path.is_dir() else [path]
    )
    if not files:
        raise InputError(f"{path} holds no JSON file")
    merged: dict[str, Any] = {}
    for file in files:
        merged |= read_json(file)
    return merged


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, or in a YAML file. InputError for any other content."""
    kind = "YAML" if path.suffix in (".yml", ".yaml") else "JSON"
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text) if kind == "YAML" else json.loads(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as {kind}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {kind} {type(content).__name__}, expected an object of settings")
    if kind == "YAML" and BASE_FILE in content:
        return read_yaml(path)
    return content
