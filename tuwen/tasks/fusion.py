"""Pictures and texts into states, each once, and states into fused pairs: what all tasks of fusion models rest on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor
from tqdm import tqdm

from tuwen.errors import InputError, UsageError
from tuwen.nn.fusion import Fusion, Side
from tuwen.processing.prefetch import prepared
from tuwen.processing.processor import Processor
from tuwen.states import State, check_made_by
from tuwen.types import Fused, FusionModel, Images

if TYPE_CHECKING:
    from tuwen.types import Picture

# Tokens of one pass. On a CPU large enough for its matrix products and small enough for its caches.
TOKENS_AT_ONCE = 2048
TOKENS_AT_ONCE_ON_GPU = 65_536
PIXELS_AT_ONCE = 4 * 224 * 224  # of one pass of a picture tower on a CPU
PICTURES_AT_ONCE_ON_GPU = 32
MEMORY_GB = 2.0  # for states of texts and what is derived from them


class Fuser(Protocol):
    """What the tasks need of a model whose sides attend to each other."""

    processor: Processor
    device: torch.device
    dtype: torch.dtype

    @property
    def fusing(self) -> FusionModel: ...

    @property
    def fingerprint(self) -> str: ...


# -- one side --------------------------------------------------------------------------------------------------------


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
    the system pages in and out; the numbers are the same.
    """
    asked = [texts] if isinstance(texts, str) else list(texts)
    if not asked:
        raise UsageError("there is no text: expected at least one")
    ids = model.processor.ids(asked)
    lengths = [len(numbers) for numbers in ids]
    config = model.fusing.fusion.config
    shape = (sum(lengths), config.levels, config.width)
    rows = _room(shape, dtype or model.dtype, model.device, memory_gb)
    state = State("text", rows, tuple(lengths), model)
    starts = state.starts
    with tqdm(total=len(asked), unit="text", disable=not progress) as bar:
        for numbers in _passes(lengths, _budget(model)):
            packed, order = model.processor.packed([ids[number] for number in numbers])
            levels = model.fusing.text_levels(packed.to(model.device))  # (N, K, D)
            for inner, piece in zip(order, levels.split([lengths[numbers[inner]] for inner in order]), strict=True):
                start = starts[numbers[inner]]
                rows[start : start + len(piece)] = piece
            bar.update(len(numbers))
    return state


def image_state(
    model: Fuser,
    images: Picture | Sequence[Picture],
    workers: int = 4,
    progress: bool = False,
    dtype: torch.dtype | None = None,
) -> State:
    """Pictures -> their state, in the order asked. InputError names a picture that cannot be read."""
    pictures: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
    if not pictures:
        raise UsageError("there is no picture: expected at least one")
    states = []
    for _, state in image_states(model, pictures, workers, progress):
        if isinstance(state, InputError):
            raise state
        states.append(state if dtype is None else state.to(dtype=dtype))
    return State.join(states)


def image_states(
    model: Fuser, pictures: Sequence[Picture], workers: int = 4, progress: bool = False
) -> Iterator[tuple[int, State | InputError]]:
    """(number, state of one picture, or why it cannot be read), one after the other; `workers` threads decode ahead."""
    stream = prepared(pictures, model.processor.image, 0 if len(pictures) == 1 else workers)
    waiting: list[tuple[int, Tensor]] = []
    for number, pixels in tqdm(stream, total=len(pictures), unit="image", disable=not progress):
        if isinstance(pixels, InputError):
            yield from _encoded(model, waiting)
            waiting = []
            yield number, pixels
            continue
        if waiting and waiting[0][1].shape != pixels.shape:
            yield from _encoded(model, waiting)
            waiting = []
        waiting.append((number, torch.from_numpy(pixels)))
        if len(waiting) >= _pictures_at_once(model, waiting[0][1]):
            yield from _encoded(model, waiting)
            waiting = []
    yield from _encoded(model, waiting)


def _pictures_at_once(model: Fuser, pixels: Tensor) -> int:
    if model.device.type != "cpu":
        return PICTURES_AT_ONCE_ON_GPU
    return max(1, PIXELS_AT_ONCE // pixels[..., 0].numel())


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


def _room(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, memory_gb: float) -> Tensor:
    """An empty tensor: in memory, or in a temporary file that vanishes with it."""
    size = torch.Size(shape).numel()
    if size * dtype.itemsize <= memory_gb * 1e9 or device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    with tempfile.NamedTemporaryFile(prefix="tuwen-states-", suffix=".bin") as file:
        file.truncate(size * dtype.itemsize)
        # The mapping outlives the file's name.
        return torch.from_file(file.name, shared=True, size=size, dtype=dtype).view(shape)


def _passes(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Numbers of texts, shortest first, in passes of a bounded number of tokens."""
    numbers: list[int] = []
    tokens = 0
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if numbers and tokens + lengths[number] > budget:
            yield numbers
            numbers, tokens = [], 0
        numbers.append(number)
        tokens += lengths[number]
    if numbers:
        yield numbers


def _budget(model: Fuser) -> int:
    return TOKENS_AT_ONCE if model.device.type == "cpu" else TOKENS_AT_ONCE_ON_GPU


# -- pairs -----------------------------------------------------------------------------------------------------------


@dataclass
class _Block:
    """Some texts of similar length that go through the fusion together, and their side where it is kept."""

    numbers: list[int]
    side: Side | None = None


class Texts:
    """Texts ready to meet one picture after the other."""

    def __init__(self, model: Fuser, state: State, image_tokens: int, memory_gb: float, budget: int | None) -> None:
        self.model = model
        self.state = state
        self.room = memory_gb * 1e9
        self.blocks = list(self._cut(image_tokens, budget or _budget(model)))

    def _cut(self, image_tokens: int, budget: int) -> Iterator[_Block]:
        order = sorted(range(len(self.state)), key=self.state.lengths.__getitem__)
        numbers: list[int] = []
        for number in order:
            longest = self.state.lengths[number]  # the longest so far
            if numbers and (len(numbers) + 1) * (image_tokens + longest) > budget:
                yield _Block(numbers)
                numbers = []
            numbers.append(number)
        if numbers:
            yield _Block(numbers)

    def side(self, block: _Block) -> Side:
        """The block's side: computed when it is first wanted, and kept while there is room."""
        if block.side is not None:
            return block.side
        levels, mask = self.state[block.numbers].to(self.model.device, self.model.dtype).padded()
        side = cast(Fusion, self.model.fusing.fusion).text_side(levels, mask)
        if side.size_bytes <= self.room:
            self.room -= side.size_bytes
            block.side = side
        return side

    def meet(self, image: State, wanted: Sequence[int] | None, last: str) -> Iterator[tuple[list[int], Fused]]:
        """One picture with the wanted texts (None: all) -> (numbers of texts, what they fuse to), block by block."""
        chosen = None if wanted is None else set(wanted)
        fusion = cast(Fusion, self.model.fusing.fusion)
        levels, mask = image.to(self.model.device, self.model.dtype).padded()
        image_side = fusion.image_side(levels, mask)
        for block in self.blocks:
            places = range(len(block.numbers))
            if chosen is not None:
                places = [place for place in places if block.numbers[place] in chosen]  # type: ignore[assignment]
            if not places:
                continue
            side = self.side(block)
            if len(places) < len(block.numbers):
                side = side[torch.tensor(list(places), device=self.model.device)]
            yield [block.numbers[place] for place in places], fusion(image_side.repeat(len(places)), side, last)


@torch.no_grad()
def fused_pairs(
    model: Fuser,
    images: State | Sequence[Picture],
    texts: State | Sequence[str],
    wanted: Callable[[int], Sequence[int]] | None = None,
    last: str = "first",
    workers: int = 4,
    progress: bool = False,
    memory_gb: float = MEMORY_GB,
    batch_tokens: int | None = None,
    state_dtype: str | None = None,
) -> Iterator[tuple[int, list[tuple[list[int], Fused]] | InputError]]:
    """Picture after picture: (its number, [(numbers of texts, their fused pairs), ...]), or why it cannot be read.

    wanted: number of a picture -> numbers of the texts that meet it; None: all. last: see `Fusion.forward`.
    Every text is encoded once, every picture once; no more than one picture's state is held at a time. memory_gb
    bounds what is kept of the texts, batch_tokens the tokens of one pass; state_dtype: of the stored states.
    """
    stored = None if state_dtype is None else getattr(torch, state_dtype)
    if isinstance(texts, State):
        check_made_by(texts, model, "text")
        text = texts
    else:
        text = text_state(model, texts, dtype=stored, memory_gb=memory_gb)
    room = max(0.0, memory_gb - text.rows.numel() * text.rows.element_size() / 1e9)
    if isinstance(images, State):
        check_made_by(images, model, "image")
        stream: Iterator[tuple[int, State | InputError]] = ((number, images[number]) for number in range(len(images)))
        stream = iter(tqdm(stream, total=len(images), unit="image", disable=not progress))
    else:
        stream = image_states(model, images, workers, progress)
    ready: Texts | None = None
    for number, state in stream:
        if isinstance(state, InputError):
            yield number, state
            continue
        if stored is not None:
            state = state.to(dtype=stored)
        if ready is None:
            ready = Texts(model, text, state.lengths[0], room, batch_tokens)
        yield number, list(ready.meet(state, None if wanted is None else wanted(number), last))


@torch.no_grad()
def fuse(
    model: Fuser,
    image: State,
    text: State,
    pairs: Sequence[tuple[int, int]] | None = None,
    last: str = "first",
) -> Fused:
    """States of pictures and texts -> their fused pairs, one row each.

    pairs: (number of a picture, number of a text) for each row; without it picture i meets text i, or the only picture
    every text, or the only text every picture. last: "first" gives `pooled` alone, "text" and "image" only those
    states (padded to the longest), "all" everything.
    """
    check_made_by(image, model, "image")
    check_made_by(text, model, "text")
    if pairs is None:
        if len(image) != len(text) and 1 not in (len(image), len(text)):
            raise UsageError(f"{len(image)} pictures and {len(text)} texts: pass pairs=, or as many of both")
        count = max(len(image), len(text))
        pairs = [(min(row, len(image) - 1), min(row, len(text) - 1)) for row in range(count)]
    if not pairs:
        raise UsageError("pairs is empty: expected at least one pair of a picture and a text")
    fusion = cast(Fusion, model.fusing.fusion)
    pictures, first = _distinct([picture for picture, _ in pairs])
    words, second = _distinct([number for _, number in pairs])
    image_side = fusion.image_side(*image[pictures].to(model.device, model.dtype).padded())
    text_side = fusion.text_side(*text[words].to(model.device, model.dtype).padded())
    tokens = image_side.own.shape[1] + text_side.own.shape[1]
    at_once = max(1, _budget(model) // tokens)
    parts = [
        fusion(image_side[rows_image], text_side[rows_text], last)
        for rows_image, rows_text in zip(
            torch.tensor(first, device=model.device).split(at_once),
            torch.tensor(second, device=model.device).split(at_once),
            strict=True,
        )
    ]
    return Fused(*(_joined([getattr(part, name) for part in parts]) for name in ("text", "image", "pooled")))


def _joined(parts: list[Any]) -> Tensor | None:
    return None if parts[0] is None else torch.cat(parts)


def _distinct(numbers: list[int]) -> tuple[list[int], list[int]]:
    """Numbers -> each once, and where in those each of them is."""
    once = list(dict.fromkeys(numbers))
    places = {number: place for place, number in enumerate(once)}
    return once, [places[number] for number in numbers]


def distinct(items: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """Pictures or texts -> each once, and where in those each of them is.

    Equal names, texts and bytes are one; other objects are only equal to themselves.
    """
    keys = [item if isinstance(item, str | bytes) or hasattr(item, "__fspath__") else id(item) for item in items]
    first: dict[object, int] = {}
    once: list[Any] = []
    for item, key in zip(items, keys, strict=True):
        if key not in first:
            first[key] = len(once)
            once.append(item)
    return once, [first[key] for key in keys]
