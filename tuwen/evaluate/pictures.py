"""The pictures of a dataset as a model takes them, and the texts that belong to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, overload

from tuwen.errors import InputError

if TYPE_CHECKING:
    from tuwen.data.dataset import Dataset, Text
    from tuwen.types import Picture

OnError = Callable[[str, InputError], None]  # told of a picture's id, or the row of a text, and why it cannot be used


class Pictures(Sequence["Picture"]):
    """Pictures of a dataset by number, each opened when it is asked for; one that is not there is an InputError."""

    def __init__(self, pictures: Mapping[str, Picture], ids: Sequence[str]) -> None:
        self.pictures = pictures
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Picture: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Picture]: ...

    def __getitem__(self, place: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(place, slice):
            return Pictures(self.pictures, self.ids[place])
        image_id = self.ids[place]
        try:
            return self.pictures[image_id]
        except KeyError:
            raise InputError(f"there is no picture {image_id}") from None


def chunks_by_picture(dataset: Dataset, most: int, on_error: OnError | None = None) -> Iterator[dict[str, list[int]]]:
    """Some pictures with the numbers of their texts, no more than `most` texts at a time, or one picture.

    Pictures stand in the order in which texts first name them; a text that names several stands with each of them.
    Empty texts are left out, and told.
    """
    of: dict[str, list[int]] = {}
    for number, text in enumerate(dataset.texts):
        if is_empty(text, on_error):
            continue
        for image_id in text.image_ids:
            of.setdefault(image_id, []).append(number)
    chunk: dict[str, list[int]] = {}
    count = 0
    for image_id, numbers in of.items():
        if chunk and count + len(numbers) > most:
            yield chunk
            chunk, count = {}, 0
        chunk[image_id] = numbers
        count += len(numbers)
    if chunk:
        yield chunk


def is_empty(text: Text, on_error: OnError | None) -> bool:
    """Whether there is nothing in the text; that is told."""
    if text.text.strip():
        return False
    told(on_error, text.place or text.id, InputError("its text is empty"))
    return True


def told(on_error: OnError | None, name: str, error: InputError) -> None:
    """Say that a picture, or the row of a text, cannot be used; or raise where nobody listens."""
    if on_error is None:
        raise InputError(f"{name}: {error}") from error
    on_error(name, error)
