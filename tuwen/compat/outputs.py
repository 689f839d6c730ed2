"""What published calls give back: tensors by attribute, by key, and for a model's output by place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor


class Output(Mapping[str, Any]):
    """Named parts of a model's output, in the published order.

    `output.logits`, `output["logits"]` and `output[0]` are the same; a part that is None is an attribute only, keys and
    places pass over it, as in transformers.
    """

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)
        self._names = [name for name, part in parts.items() if part is not None]

    def to_tuple(self) -> tuple[Any, ...]:
        """The parts in order."""
        return tuple(self.__dict__[name] for name in self._names)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | slice):
            return self.to_tuple()[key]
        if key not in self._names:
            raise KeyError(f"{key!r} is not in this output, which holds {', '.join(self._names)}")
        return self.__dict__[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this output has no {name!r}, only {', '.join(vars(self).get('_names', ()))}")

    def __repr__(self) -> str:
        return f"Output({', '.join(f'{name}={self.__dict__[name]!r}' for name in self._names)})"


class Encoding(MutableMapping[str, Any]):
    """What a processor makes of texts and pictures: `model(**encoding)`, `encoding.input_ids`, `encoding.to(...)`."""

    def __init__(self, **parts: Any) -> None:
        self.data = dict(parts)

    def to(self, *where: Any, **options: Any) -> Encoding:
        """Tensors on a device, floating ones in a type, in place as in transformers: `to("cuda", torch.float16)`."""
        kinds = [one for one in (*where, *options.values()) if isinstance(one, torch.dtype)]
        devices = [one for one in (*where, *options.values()) if not isinstance(one, torch.dtype)]
        for name, part in self.data.items():
            if isinstance(part, Tensor):
                moved = part.to(devices[0]) if devices else part
                self.data[name] = moved.to(kinds[0]) if kinds and moved.is_floating_point() else moved
        return self

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __setitem__(self, name: str, part: Any) -> None:
        self.data[name] = part

    def __delitem__(self, name: str) -> None:
        del self.data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __getattr__(self, name: str) -> Any:
        parts = vars(self).get("data", {})
        if name not in parts:
            raise AttributeError(f"this encoding has no {name!r}, only {', '.join(parts)}")
        return parts[name]

    def __repr__(self) -> str:
        return f"Encoding({', '.join(self.data)})"
