"""States into fused pairs, picture after picture: what match and answer rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from tuwen.errors import InputError, UsageError
from tuwen.nn.fusion import PARTS, Fusion, Side
from tuwen.states import State, check_made_by, torch_dtype
from tuwen.tasks.passes import tokens_at_once
from tuwen.tasks.sides import Fuser, check_pictures, image_states, text_state
from tuwen.types import Fused

if TYPE_CHECKING:
    from tuwen.types import Picture

MEMORY_GB = 2.0  # for states of texts and what is derived from them


@dataclass
class _Block:
    """Some texts of similar length that go through the fusion together, and their side where it is kept."""

    numbers: list[int]
    side: Side | None = None


class _Listeners:
    """Texts ready to meet one picture after the other.

    They stand in blocks, so that a block with the picture has at most `budget` tokens.
    """

    def __init__(self, model: Fuser, state: State, memory_gb: float, budget: int) -> None:
        """memory_gb: for the sides of blocks, which are computed anew for every picture where they have no room."""
        self.model = model
        self.state = state
        self.memory_gb = memory_gb
        self.budget = budget
        self.image_tokens = 0  # of the pictures that the blocks have room for
        self.blocks: list[_Block] = []
        self.room = 0.0

    def meet(self, image: State, wanted: Sequence[int] | None, last: str) -> Iterator[tuple[list[int], Fused]]:
        """One picture with the wanted texts (None: all) -> (numbers of texts, what they fuse to), block by block."""
        if image.lengths[0] > self.image_tokens:
            self._cut(image.lengths[0])
        chosen = None if wanted is None else set(wanted)
        fusion = cast(Fusion, self.model.fusing.fusion)
        image_side = fusion.image_side(*image.to(self.model.device, self.model.dtype).padded())
        for block in self.blocks:
            places = [place for place, number in enumerate(block.numbers) if chosen is None or number in chosen]
            if not places:
                continue
            side = self._side(block)
            if len(places) < len(block.numbers):
                side = side[torch.tensor(places, device=self.model.device)]
            yield [block.numbers[place] for place in places], fusion(image_side.repeat(len(places)), side, last)

    def _cut(self, image_tokens: int) -> None:
        """Blocks for pictures of so many tokens, the shortest texts first."""
        self.image_tokens, self.room, self.blocks = image_tokens, self.memory_gb * 1e9, []
        numbers: list[int] = []
        for number in sorted(range(len(self.state)), key=self.state.lengths.__getitem__):
            longest = self.state.lengths[number]  # the longest so far
            if numbers and (len(numbers) + 1) * (image_tokens + longest) > self.budget:
                self.blocks.append(_Block(numbers))
                numbers = []
            numbers.append(number)
        self.blocks.append(_Block(numbers))

    def _side(self, block: _Block) -> Side:
        """The block's side: computed when it is first wanted, and kept while there is room."""
        if block.side is not None:
            return block.side
        levels, mask = self.state[block.numbers].to(self.model.device, self.model.dtype).padded()
        side = cast(Fusion, self.model.fusing.fusion).text_side(levels, mask)
        if side.size_bytes <= self.room:
            self.room -= side.size_bytes
            block.side = side
        return side


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
    Every text is encoded once, every picture once, and pictures are forgotten when they have met their texts.
    memory_gb bounds what is kept of the texts, batch_tokens the tokens of one pass; state_dtype: of the stored states.
    UsageError for empty lists and states of another model, InputError for a text that cannot be taken.
    """
    if batch_tokens is not None and batch_tokens < 1:
        raise UsageError(f"batch_tokens is {batch_tokens}: it must be at least 1")
    stored = None if state_dtype is None else torch_dtype(state_dtype)
    check_pictures(images)
    text = _state_of_texts(model, texts, stored, memory_gb)
    room = max(0.0, memory_gb - text.rows.numel() * text.rows.element_size() / 1e9)
    listeners = _Listeners(model, text, room, batch_tokens or tokens_at_once(model.device))
    for number, state in _stream(model, images, workers, progress):
        if isinstance(state, InputError):
            yield number, state
            continue
        image = state if stored is None else state.to(dtype=stored)
        yield number, list(listeners.meet(image, None if wanted is None else wanted(number), last))


def _state_of_texts(model: Fuser, texts: State | Sequence[str], stored: torch.dtype | None, memory_gb: float) -> State:
    if not isinstance(texts, State):
        return text_state(model, texts, dtype=stored, memory_gb=memory_gb)
    check_made_by(texts, model, "text")
    if not len(texts):
        raise UsageError("the state of texts is empty: expected at least one text")
    return texts


def _stream(
    model: Fuser, images: State | Sequence[Picture], workers: int, progress: bool
) -> Iterator[tuple[int, State | InputError]]:
    if not isinstance(images, State):
        yield from image_states(model, images, workers, progress)
        return
    check_made_by(images, model, "image")
    for number in tqdm(range(len(images)), unit="image", disable=not progress):
        yield number, images[number]


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
    if last not in PARTS:
        raise UsageError(f"last is {last!r}: it must be one of {', '.join(PARTS)}")
    if pairs is None:
        count = paired(len(image), len(text), "texts")
        pairs = [(min(row, len(image) - 1), min(row, len(text) - 1)) for row in range(count)]
    if not pairs:
        raise UsageError("there are no pairs: expected at least one of a picture and a text")
    for pair in pairs:
        if not (0 <= pair[0] < len(image) and 0 <= pair[1] < len(text)):
            raise UsageError(f"the pair {tuple(pair)} names none of the {len(image)} pictures and {len(text)} texts")
    fusion = cast(Fusion, model.fusing.fusion)
    pictures, first = _distinct([picture for picture, _ in pairs])
    words, second = _distinct([number for _, number in pairs])
    image_side = fusion.image_side(*image[pictures].to(model.device, model.dtype).padded())
    text_side = fusion.text_side(*text[words].to(model.device, model.dtype).padded())
    at_once = max(1, tokens_at_once(model.device) // (image_side.own.shape[1] + text_side.own.shape[1]))
    parts = [
        fusion(image_side[rows_image], text_side[rows_text], last)
        for rows_image, rows_text in zip(
            torch.tensor(first, device=model.device).split(at_once),
            torch.tensor(second, device=model.device).split(at_once),
            strict=True,
        )
    ]
    return Fused(*(_joined([getattr(part, name) for part in parts]) for name in ("text", "image", "pooled")))


def paired(pictures: int, texts: int, what: str) -> int:
    """How many pairs that many pictures and texts make: as many as of both, or as of one with the only one of the
    other; 0 where there is none of either. UsageError for other numbers; `what` the texts are called there."""
    if pictures != texts and 1 not in (pictures, texts):
        raise UsageError(
            f"{pictures} pictures and {texts} {what} make no pairs: pass one of either, or as many of both"
        )
    return max(pictures, texts) if pictures and texts else 0


def _joined(parts: list[Any]) -> Tensor | None:
    return None if parts[0] is None else torch.cat(parts)


def _distinct(numbers: list[int]) -> tuple[list[int], list[int]]:
    """Numbers -> each once, and where in those each of them is."""
    once = list(dict.fromkeys(numbers))
    places = {number: place for place, number in enumerate(once)}
    return once, [places[number] for number in numbers]
