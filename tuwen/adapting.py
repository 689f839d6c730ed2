"""What a model is given that its files do not say: new heads, pictures of another size, the texts of its answers."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.nn.positions import resize_grid
from tuwen.processing.processor import Processor

log = logging.getLogger(__name__)

POSITIONS = "image.positions"


def with_heads(
    module_of: ModuleType, ours: Mapping[str, Tensor], sizes: Any, heads: Sequence[str], name: str
) -> tuple[dict[str, Tensor], Any]:
    """Tensors and sizes with heads that the file `name` did not hold, drawn from torch's generator.

    A warning says which, and what the file holds instead. UsageError for a head that the family does not know.
    """
    wider = module_of.with_heads(sizes, (heads,) if isinstance(heads, str) else tuple(heads))
    fresh = [head for head in wider.heads if head not in sizes.heads]
    if fresh:
        found = [theirs for theirs, head in module_of.HEADS.items() if head in sizes.heads]
        log.warning(
            "%s holds no head for %s, which starts from random numbers: train it first (heads that it holds: %s)",
            name,
            ", ".join(fresh),
            ", ".join(found) or "none",
        )
    added = {
        f"heads.{head}.{part}": tensor.detach()
        for head in fresh
        for part, tensor in module_of.new_head(head, wider).state_dict().items()
    }
    return {**ours, **added}, wider


def at_size(
    module_of: ModuleType, ours: Mapping[str, Tensor], sizes: Any, processor: Processor, image_size: int | str
) -> tuple[dict[str, Tensor], Any, Processor]:
    """Tensors, sizes and processor for pictures of another size, or of any. UsageError where the model takes none."""
    image = sizes.image
    if not hasattr(image, "smallest"):
        raise UsageError("image_size can be changed in models with a vision transformer or an EfficientNet only")
    if "image" not in getattr(sizes, "towers", ("image",)):
        raise UsageError("image_size is for pictures, and these weights are of a text tower alone: leave it out")
    if image_size == "any":
        if not getattr(module_of, "ANY_SIZE", False):
            raise UsageError("image_size is 'any', but the models of this family take one size: pass its pixels")
        sizes = dataclasses.replace(sizes, image=dataclasses.replace(image, any_size=True))
        return dict(ours), sizes, dataclasses.replace(processor, image=processor.image.uncropped())
    if not isinstance(image_size, int) or image_size < image.smallest:
        every = ", or 'any'" if getattr(module_of, "ANY_SIZE", False) else ""
        raise UsageError(f"image_size is {image_size!r}: it must be at least {image.smallest} pixels{every}")
    resized = dataclasses.replace(image, image_size=image_size)
    changed = dict(ours)
    if POSITIONS in ours:  # a convolutional network has none
        changed[POSITIONS] = resize_grid(ours[POSITIONS], resized.side, align_corners=module_of.ALIGN_CORNERS)
    processor = dataclasses.replace(processor, image=processor.image.at_size(image_size))
    return changed, dataclasses.replace(sizes, image=resized), processor


def with_answers(sizes: Any, answers: str | Path | Sequence[str] | Mapping[Any, Any]) -> Any:
    """Sizes that name the answers; `check_answers` compares their number with the head."""
    if not hasattr(sizes, "answers"):
        raise UsageError("answers are for models that answer questions: this one does not")
    return dataclasses.replace(sizes, answers=read_answers(answers))


def check_answers(sizes: Any) -> None:
    """UsageError unless there is a head that chooses among as many answers as are named."""
    if "answer" not in sizes.heads:
        raise UsageError("answers are named, but the model has no head for them: heads=('answer',) adds a new one")
    expected = sizes.heads["answer"][-1]
    if len(sizes.answers) != expected:
        raise UsageError(
            f"{len(sizes.answers)} answers are named, but the model chooses among {expected}: pass the list that it "
            "was trained with"
        )


def read_answers(answers: str | Path | Sequence[str] | Mapping[Any, Any]) -> tuple[str, ...]:
    """A list of answers in order, {answer: number}, or {number: answer}; or a JSON file of one of these.

    InputError for anything else, and where a number is missing or comes twice.
    """
    content: Any = answers
    if isinstance(answers, str | Path):
        try:
            content = json.loads(Path(answers).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"the answers in {answers} cannot be read as JSON: {error}") from None
    if isinstance(content, Mapping):
        content = _in_order(content)
    if not isinstance(content, list | tuple) or not all(isinstance(text, str) for text in content):
        raise InputError("answers must be a list of texts, or a mapping between texts and numbers")
    return tuple(content)


def _in_order(numbered: Mapping[Any, Any]) -> list[Any]:
    try:
        pairs = [(value, key) if isinstance(value, int) else (int(key), value) for key, value in numbered.items()]
    except ValueError as error:
        raise InputError(f"the answers carry no numbers on either side: {error}") from None
    if sorted(number for number, _ in pairs) != list(range(len(pairs))):
        raise InputError(f"the {len(pairs)} answers do not carry the numbers 0 to {len(pairs) - 1}, each once")
    return [text for _, text in sorted(pairs)]
