"""Published configuration objects: the content of a config.json by attribute."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from tuwen.errors import InputError
from tuwen.loading import find, read_config
from tuwen.saving import CONFIG, write_json

TWO_LABELS = {0: "LABEL_0", 1: "LABEL_1"}  # what transformers calls the classes that nobody named


class Settings:
    """Any settings by attribute, with the defaults of its kind; the published classes are children of it.

    DEFAULTS: setting -> value where none is given; PARTS: settings that are configurations themselves, and of which
    class.
    """

    KIND: ClassVar[str] = ""  # the model_type of the class
    DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    PARTS: ClassVar[Mapping[str, type[Settings]]] = {}

    def __init__(self, **settings: Any) -> None:
        self.model_type = settings.pop("model_type", "") or self.KIND
        count = settings.pop("num_labels", None)
        if count is not None and count != len(settings.get("id2label") or TWO_LABELS):
            settings["id2label"] = {number: f"LABEL_{number}" for number in range(count)}
        for name, kind in self.PARTS.items():
            part = settings.get(name)
            settings[name] = part if isinstance(part, Settings) else kind(**plain(part))
        labels = settings.pop("id2label", None) or TWO_LABELS
        self.id2label = (
            dict(enumerate(labels)) if isinstance(labels, list) else {int(key): text for key, text in labels.items()}
        )
        settings.pop("label2id", None)
        self.return_dict = True
        self.__dict__.update({**copy.deepcopy(dict(self.DEFAULTS)), **settings})

    @property
    def label2id(self) -> dict[str, int]:
        """The number of every label."""
        return {text: number for number, text in self.id2label.items()}

    @property
    def num_labels(self) -> int:
        """How many labels there are."""
        return len(self.id2label)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in config.json; labels are left out where nobody named them."""
        told = {name: part.to_dict() if isinstance(part, Settings) else part for name, part in vars(self).items()}
        labels = told.pop("id2label")
        named = {} if labels == TWO_LABELS else {"id2label": labels, "label2id": self.label2id}
        if told.pop("return_dict") is False:
            named["return_dict"] = False
        return copy.deepcopy({**told, **named})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any], **changes: Any) -> Self:
        """From the content of a config.json; `changes` win."""
        return cls(**{**settings, **changes})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **changes: Any) -> Self:
        """From a folder, its config.json, or a published name; `changes` win. InputError where there is none."""
        path = Path(pretrained_model_name_or_path)
        file = path / CONFIG if path.is_dir() else path
        if file.is_file():
            return cls.from_dict(read_config(file), **changes)
        source = find(str(pretrained_model_name_or_path))
        if source.settings is None:
            raise InputError(f"{source.folder} has no {CONFIG}")
        return cls.from_dict(source.settings, **changes)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write config.json into a folder, which is made if it does not exist."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, self.to_dict())

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # settings change

    def __repr__(self) -> str:
        return f"{type(self).__name__} {json.dumps(self.to_dict(), indent=2)}"


def plain(settings: Any) -> dict[str, Any]:
    """A dict of settings, from one or from a configuration object of any library."""
    if settings is None:
        return {}
    return dict(settings if isinstance(settings, Mapping) else settings.to_dict())
