"""VLE's pipelines for questions, matching and patches: pictures and texts in, plain results out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tuwen.compat.outputs import Encoding
from tuwen.compat.vle.models import VLEForITM, VLEForPBC, VLEForVQA, VLEPretrained
from tuwen.compat.vle.processing import VLEProcessor
from tuwen.errors import UsageError
from tuwen.processing.decode import decode
from tuwen.processing.patches import Area
from tuwen.tasks.answer import best_answers
from tuwen.tasks.ground import blendable, darkened

if TYPE_CHECKING:
    from PIL import Image

    from tuwen.types import Picture

Inputs = Mapping[str, Any]
TRUTH = ("False", "True")  # how a match is spelled


class Runner:
    """A model on a device with its processor, and the ways in which inputs may come."""

    def __init__(self, vle_processor: VLEProcessor, model: VLEPretrained, device: Any = None) -> None:
        """device: a name, a torch.device, or a number as in transformers, -1 for the CPU; None moves nothing."""
        if isinstance(device, int):
            device = "cpu" if device < 0 else f"cuda:{device}"
        self.vle_processor = vle_processor
        self.model = model.eval() if device is None else model.eval().to(device)

    def run(self, inputs: Any, work: Callable[[Sequence[Inputs]], list[Any]], batch_size: int) -> Any:
        """One mapping -> its result; a list -> a list; any other iterable -> an iterator that reads as it goes."""
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}, expected at least 1")
        if isinstance(inputs, Mapping):
            return work([inputs])[0]
        if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
            raise UsageError(
                f"the input is {type(inputs).__name__}: pass a picture and a text, a dict of both, or several dicts"
            )
        results = self._stream(inputs, work, batch_size)
        return list(results) if isinstance(inputs, list | tuple) else results

    @staticmethod
    def _stream(
        inputs: Iterable[Inputs], work: Callable[[Sequence[Inputs]], list[Any]], batch_size: int
    ) -> Iterator[Any]:
        left = iter(inputs)
        while rows := list(islice(left, batch_size)):
            yield from work(rows)

    def logits(self, rows: Sequence[Inputs], key: str) -> Tensor:
        """The model's logits for rows with an "image" and a text under `key`, one each, float32 on the CPU."""
        for row in rows:
            if missing := [name for name in ("image", key) if name not in row]:
                raise UsageError(f"an input has no {' and no '.join(missing)}, only {', '.join(row)}")
        texts, images = [row[key] for row in rows], [row["image"] for row in rows]
        return self.forward(self.vle_processor(text=texts, images=images, return_tensors="pt", padding=True))

    @torch.inference_mode()
    def forward(self, encoding: Encoding) -> Tensor:
        """The model's logits for what its processor made, float32 on the CPU."""
        encoding["pixel_values"] = encoding["pixel_values"].to(self.model.dtype)
        return self.model(**encoding.to(self.model.device), return_dict=True).logits.float().cpu()


class VLEForVQAPipeline:
    """Answers to questions about pictures."""

    def __init__(self, vle_processor: VLEProcessor, model: VLEForVQA, device: Any = None) -> None:
        self.runner = Runner(vle_processor, model, device)
        self.model, self.vle_processor = model, vle_processor

    def __call__(
        self, image: Any = None, question: str | None = None, top_k: int | None = None, batch_size: int = 1
    ) -> Any:
        """-> [{"score", "answer"}, ...], best first, `top_k` of them (1 unless given, all if there are fewer).

        image and question; or in the place of `image` a dict of both, a list of dicts, or any iterable of dicts, each
        with a result of its own. score: the softmax among all answers, though the models are trained with a sigmoid.
        """
        count = 1 if top_k is None else top_k

        def work(rows: Sequence[Inputs]) -> list[Any]:
            logits = self.runner.logits(rows, "question")
            return [
                [{"score": found.probability, "answer": found.text} for found in best]
                for best in best_answers(logits, self._answers(), count)
            ]

        return self.runner.run(image if question is None else {"image": image, "question": question}, work, batch_size)

    def _answers(self) -> list[str]:
        labels = self.model.config.id2label
        if len(labels) != self.model.num_vqa_labels:
            raise UsageError(
                f"the model has {self.model.num_vqa_labels} answers and its config names {len(labels)}: set id2label"
            )
        return [labels[number] for number in range(len(labels))]


class VLEForITMPipeline:
    """Whether texts belong to pictures."""

    def __init__(self, vle_processor: VLEProcessor, model: VLEForITM, device: Any = None) -> None:
        self.runner = Runner(vle_processor, model, device)
        self.model, self.vle_processor = model, vle_processor

    def __call__(self, image: Any = None, text: str | None = None, batch_size: int = 1) -> Any:
        """-> {"score": [probability of no, of yes], "match": "True" or "False"}; inputs as of `VLEForVQAPipeline`."""

        def work(rows: Sequence[Inputs]) -> list[Any]:
            scores = self.runner.logits(rows, "text").softmax(-1)
            return [{"score": row.tolist(), "match": TRUTH[int(row.argmax())]} for row in scores]

        return self.runner.run(image if text is None else {"image": image, "text": text}, work, batch_size)


class VLEForPBCPipeline:
    """Where in pictures is what texts say."""

    def __init__(self, vle_processor: VLEProcessor, model: VLEForPBC, device: Any = None) -> None:
        self.runner = Runner(vle_processor, model, device)
        self.model, self.vle_processor = model, vle_processor

    def __call__(self, image: Any = None, text: str | None = None, batch_size: int = 1) -> Any:
        """-> {"score": for each patch [probability of no, of yes], "image": the picture, other patches darkened}.

        Inputs as of `VLEForVQAPipeline`. The grid lies over the whole picture, although the model sees its middle.
        """

        def work(rows: Sequence[Inputs]) -> list[Any]:
            logits = self.runner.logits(rows, "text")  # (B, P, 2)
            return [
                {"score": scores.softmax(-1).tolist(), "image": painted(row["image"], scores[:, 1])}
                for row, scores in zip(rows, logits, strict=True)
            ]

        return self.runner.run(image if text is None else {"image": image, "text": text}, work, batch_size)


def painted(image: Picture, scores: Tensor) -> Image.Image:
    """The picture in its own mode and size, darker where the scores (P,) of patches, row by row, are low."""
    picture = decode(image)
    side = isqrt(len(scores))
    grid = scores.softmax(0).view(side, side).numpy()
    result = darkened(blendable(picture), grid, Area(0.0, 0.0, picture.width, picture.height))
    return result if result.mode == picture.mode else result.convert(picture.mode)
