"""Pictures and texts into states, each once: the half of a fusion that does not depend on the other side."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from tuwen.errors import InputError, UsageError
from tuwen.processing.prefetch import prepared
from tuwen.processing.processor import Processor
from tuwen.states import State
from tuwen.tasks.passes import passes, pictures_at_once, tokens_at_once
from tuwen.types import FusionModel, Images

if TYPE_CHECKING:
    from tuwen.types import Picture


class Fuser(Protocol):
    """What the tasks need of a model whose sides attend to each other."""

    processor: Processor
    device: torch.device
    dtype: torch.dtype

    @property
    def fusing(self) -> FusionModel: ...

    @property
    def fingerprint(self) -> str: ...


# -- texts ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def text_state(
    model: Fuser,
    texts: str | Sequence[str],
    progress: bool = False,
    dtype: torch.dtype | None = None,
    memory_gb: float = float("inf"),
) -> State:
    """Texts -> their state, in the order asked; every text is encoded once, none with padding.

    dtype: of the stored rows, the model's own unless given. Rows that exceed memory_gb lie in a temporary file, which
    the system pages in and out; the numbers are the same. UsageError for no texts, InputError for an empty one.
    """
    asked = [texts] if isinstance(texts, str) else list(texts)
    check_texts(asked)
    return state_of_ids(model, model.processor.ids(asked), progress, dtype, memory_gb)


@torch.no_grad()
def state_of_ids(
    model: Fuser,
    ids: Sequence[Sequence[int]],
    progress: bool = False,
    dtype: torch.dtype | None = None,
    memory_gb: float = float("inf"),
) -> State:
    """The same of texts that are ids already, each with those that frame it."""
    lengths = [len(numbers) for numbers in ids]
    config = model.fusing.fusion.config
    shape = (sum(lengths), config.levels, config.width)
    rows = _room(shape, dtype or model.dtype, model.device, memory_gb)
    state = State("text", rows, tuple(lengths), model)
    starts = state.starts
    with tqdm(total=len(ids), unit="text", disable=not progress) as bar:
        for numbers in passes(lengths, tokens_at_once(model.device)):
            packed, order = model.processor.packed([ids[number] for number in numbers])
            levels = model.fusing.text_levels(packed.to(model.device))  # (N, K, D)
            for inner, piece in zip(order, levels.split([lengths[numbers[inner]] for inner in order]), strict=True):
                start = starts[numbers[inner]]
                rows[start : start + len(piece)] = piece
            bar.update(len(numbers))
    return state


def check_texts(texts: Sequence[str]) -> None:
    """UsageError for an empty list, InputError that names the first empty text."""
    if not texts:
        raise UsageError("there is no text: expected at least one")
    for number, text in enumerate(texts, 1):
        if isinstance(text, str) and not text.strip():
            which = f"text {number} of {len(texts)}" if len(texts) > 1 else "the text"
            raise InputError(f"{which} is empty: give it at least one word, or leave it out")


def _room(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, memory_gb: float) -> Tensor:
    """An empty tensor: on the device, or in a temporary file that vanishes with it."""
    size_bytes = torch.Size(shape).numel() * dtype.itemsize
    if size_bytes <= memory_gb * 1e9:
        return torch.empty(shape, dtype=dtype, device=device)
    with tempfile.TemporaryFile(prefix="tuwen-states-") as file:
        file.truncate(size_bytes)
        mapped = mmap.mmap(file.fileno(), size_bytes)  # keeps the file when its name is gone
    return torch.frombuffer(mapped, dtype=dtype).view(shape)


# -- pictures ---------------------------------------------------------------------------------------------------------


def image_state(
    model: Fuser,
    images: Picture | Sequence[Picture],
    workers: int = 4,
    progress: bool = False,
    dtype: torch.dtype | None = None,
) -> State:
    """Pictures -> their state, in the order asked. UsageError for none; InputError names one that cannot be read."""
    pictures: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
    check_pictures(pictures)
    states = []
    for _, state in image_states(model, pictures, workers, progress):
        if isinstance(state, InputError):
            raise state
        states.append(state if dtype is None else state.to(dtype=dtype))
    return State.join(states)


def check_pictures(pictures: Sequence[Any] | State) -> None:
    """UsageError for an empty list."""
    if not len(pictures):
        raise UsageError("there is no picture: expected at least one")


def image_states(
    model: Fuser, pictures: Sequence[Picture], workers: int = 4, progress: bool = False
) -> Iterator[tuple[int, State | InputError]]:
    """(number, state of one picture, or why it cannot be read), one after the other; `workers` threads decode ahead.

    Neighbours of one size go through the tower together, each as it would alone.
    """
    stream = prepared(pictures, model.processor.image, 0 if len(pictures) == 1 else workers)
    waiting: list[tuple[int, Tensor]] = []
    for number, pixels in tqdm(stream, total=len(pictures), unit="image", disable=not progress):
        fits = waiting and not isinstance(pixels, InputError) and waiting[0][1].shape == pixels.shape
        if not fits or len(waiting) >= pictures_at_once(model.device, *waiting[0][1].shape[:2]):
            yield from _encoded(model, waiting)
            waiting = []
        if isinstance(pixels, InputError):
            yield number, pixels
        else:
            waiting.append((number, torch.from_numpy(pixels)))
    yield from _encoded(model, waiting)


@torch.no_grad()
def _encoded(model: Fuser, waiting: list[tuple[int, Tensor]]) -> list[tuple[int, State | InputError]]:
    """Pixels (H, W, 3) uint8 of one size -> states."""
    if not waiting:
        return []
    pixels = torch.stack([one for _, one in waiting]).to(model.device)
    levels = model.fusing.image_levels(Images(model.processor.image.normalise(pixels).to(model.dtype)))
    return [
        (number, State("image", rows, (len(rows),), model)) for (number, _), rows in zip(waiting, levels, strict=True)
    ]


def distinct(items: State | Sequence[Any]) -> tuple[State | list[Any], list[int]]:
    """Pictures or texts -> each once, and where in those each of them is; a state as it is.

    Equal names, texts and bytes are one; other objects are only equal to themselves.
    """
    if isinstance(items, State):
        return items, list(range(len(items)))
    keys = [item if isinstance(item, str | bytes) or hasattr(item, "__fspath__") else id(item) for item in items]
    first: dict[object, int] = {}
    once: list[Any] = []
    for item, key in zip(items, keys, strict=True):
        if key not in first:
            first[key] = len(once)
            once.append(item)
    return once, [first[key] for key in keys]
