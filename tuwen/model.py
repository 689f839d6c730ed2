"""What `tuwen.load` returns: a model that takes pictures and texts as people have them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tuwen import checkpoint, models
from tuwen.errors import InputError, UnsupportedTask, UsageError
from tuwen.models.described import changing
from tuwen.nn.heads import unit
from tuwen.processing.boxes import fitted, padded, read_boxes
from tuwen.processing.decode import size_of
from tuwen.processing.prefetch import prepared
from tuwen.processing.processor import Processor
from tuwen.processing.wordpiece import straight_quotes
from tuwen.saving import write_folder
from tuwen.states import State
from tuwen.states import torch_dtype as torch_dtype
from tuwen.tasks.passes import passes, pictures_at_once, tokens_at_once
from tuwen.types import DualEncoder, FusionModel, Images

if TYPE_CHECKING:
    from tuwen.processing.vcr import Words
    from tuwen.tasks.answer import Answer
    from tuwen.tasks.classify import Label
    from tuwen.tasks.fill import Word
    from tuwen.tasks.ground import Grounding
    from tuwen.types import Fused, Picture


class Model:
    """A published (or trained) model with its processor.

    family, variant: names as in `tuwen models`; module: the `torch.nn.Module`, weights under tuwen's own names;
    processor: tokenizer and picture pipeline; tasks, languages: what it can do and in which languages.
    """

    def __init__(
        self,
        family: str,
        module: nn.Module,
        processor: Processor,
        variant: str | None = None,
        languages: Sequence[str] = ("zh",),
        device: str | torch.device | None = None,
        dtype: str = "float32",
    ) -> None:
        self.family = family
        self.variant = variant
        self.processor = processor
        self.languages = tuple(languages)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = torch_dtype(dtype)
        self.module = module.to(self.device, self.dtype).eval()
        self.tasks: tuple[str, ...] = models.family(family).tasks(self.towers.config)

    @property
    def towers(self) -> DualEncoder:
        """The module as what every two-tower family is."""
        return cast(DualEncoder, self.module)

    @property
    def fusing(self) -> FusionModel:
        """The module as what every family is whose pictures and texts attend to each other."""
        return cast(FusionModel, self.module)

    @property
    def name(self) -> str:
        """Family and variant, as in `tuwen models`."""
        return f"{self.family}/{self.variant}" if self.variant else self.family

    @property
    def logit_scale(self) -> float:
        """What multiplies the cosine before a softmax: 100 in most published models."""
        self.need("embed")
        return float(self.towers.scale().detach())

    @property
    def embedding(self) -> int:
        """Width E of the features."""
        self.need("embed")
        return int(self.towers.config.embedding)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of weights and preprocessing: vectors and states of two fingerprints never mix."""
        parts = checkpoint.digest(self.module.state_dict()) + self.processor.fingerprint()
        # An epsilon, a grid of boxes: numbers differ where the weights are the same.
        parts += json.dumps(changing(self.module.config), sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        parameters = sum(p.numel() for p in self.module.parameters())
        return f"<tuwen.Model {self.name}: {parameters / 1e6:.1f} M parameters, {self.device}, {str(self.dtype)[6:]}>"

    def need(self, task: str) -> None:
        """UnsupportedTask, with the models that can, where this one cannot do `task`."""
        if task in self.tasks:
            return
        own = f"its tasks are {', '.join(self.tasks)}" if self.tasks else "its files hold no head for any task"
        found = heads_found(self.family, self.module)
        heads = f" (the heads that it has: {', '.join(found)})" if found else ""
        able = ", ".join(models.able(task))
        others = f"these can: {able}" if able else "models that were trained for it can, no published name is one"
        raise UnsupportedTask(f"{self.name} cannot {task}: {own}; {others}{heads}")

    # -- features ----------------------------------------------------------------------------------------------------

    def encode_image(
        self,
        images: Picture | Sequence[Picture],
        batch_size: int = 32,
        progress: bool = False,
        normalize: bool = True,
        workers: int = 4,
        boxes: Sequence[Any] | None = None,
    ) -> Tensor:
        """Pictures -> features (N, E), float32 on the CPU, of unit length unless normalize=False.

        images: a path, the bytes of a file, a PIL picture, a uint8 array (H, W, 3) or (H, W), or a list of these.
        boxes: for each picture the boxes of its objects, left, top, right, bottom in its pixels, best first, [] for
        the whole picture alone, or None for what the model takes without boxes, which may be a grid; for models that
        look at regions (BriVL).
        `workers` threads decode ahead of the tower. A picture that cannot be read is an InputError that names it;
        `embed_images` skips and reports.
        """
        self.need("embed")
        pictures = as_list(images)
        rows: list[Tensor] = []
        for _, features in self.embed_images(pictures, batch_size, progress, normalize, workers, boxes=boxes):
            rows.append(features)
        return torch.cat(rows) if rows else torch.empty(0, self.embedding)

    def embed_images(
        self,
        images: Sequence[Picture],
        batch_size: int = 32,
        progress: bool = False,
        normalize: bool = True,
        workers: int = 4,
        on_error: Callable[[int, InputError], None] | None = None,
        boxes: Sequence[Any] | None = None,
    ) -> Iterator[tuple[list[int], Tensor]]:
        """The same as a stream: (numbers of the pictures, features (B, E)), batch by batch in order.

        on_error(number, error) is told of every picture that cannot be read, which is then left out; None raises
        instead.
        """
        self.need("embed")
        given = self._check_boxes(boxes, len(images))
        ready: list[tuple[Tensor, Any]] = []
        numbers: list[int] = []
        stream = prepared(images, self.processor.image, workers)
        for number, pixels in tqdm(stream, total=len(images), unit="image", disable=not progress):
            try:
                if isinstance(pixels, InputError):
                    raise pixels
                # Who listens knows which picture it is, and by a better name than its place in this call.
                name = "its boxes" if on_error else f"the boxes of picture {number + 1}"
                regions = None if given is None else self._fitted(images[number], given[number], name)
            except InputError as error:
                if on_error is None:
                    raise
                on_error(number, error)
                continue
            if ready and ready[0][0].shape != pixels.shape:  # pictures in their own shapes
                yield numbers, self._encode_pixels(ready, normalize)
                ready, numbers = [], []
            ready.append((torch.from_numpy(pixels), regions))
            numbers.append(number)
            if len(ready) == batch_size:
                yield numbers, self._encode_pixels(ready, normalize)
                ready, numbers = [], []
        if ready:
            yield numbers, self._encode_pixels(ready, normalize)

    @property
    def sides(self) -> tuple[str, ...]:
        """The towers that are there, "image" and "text": files of BriVL may hold one of them alone."""
        return tuple(getattr(self.towers.config, "towers", ("image", "text")))

    @property
    def takes_boxes(self) -> bool:
        """Whether pictures may come with boxes of the objects in them, as BriVL was trained."""
        return hasattr(self.towers.config, "boxes")

    def _check_boxes(self, boxes: Sequence[Any] | None, pictures: int) -> Sequence[Any] | None:
        if boxes is None:
            return None
        if not self.takes_boxes:
            raise UsageError(f"{self.family} looks at whole pictures: leave out boxes=")
        if len(boxes) != pictures:
            raise UsageError(f"boxes for {len(boxes)} of {pictures} pictures: give a list, None where there are none")
        return boxes

    def _fitted(self, picture: Picture, boxes: Any, name: str) -> Any:
        """A picture's boxes in pixels of the prepared picture, the whole picture last."""
        sizes = self.towers.config
        if boxes is None:
            return sizes.usual_boxes(sizes.image.image_size).numpy()
        asked = read_boxes(boxes, name)
        return fitted(asked, *size_of(picture), sizes.image.image_size, sizes.boxes, check=True, name=name)

    @torch.no_grad()  # not inference mode: a user may train on these features
    def _encode_pixels(self, ready: Sequence[tuple[Tensor, Any]], normalize: bool) -> Tensor:
        """Pixels (R, R, 3) and boxes of each picture -> (B, E).

        Whole numbers travel to the device: a quarter of the bytes of floats.
        """
        pin = self.device.type == "cuda"
        at_once = pictures_at_once(self.device, *ready[0][0].shape[:2]) if self.device.type == "cpu" else len(ready)
        encoded = []
        for start in range(0, len(ready), at_once):
            part = ready[start : start + at_once]
            pixels = torch.stack([pixels for pixels, _ in part])
            pixels = (pixels.pin_memory() if pin else pixels).to(self.device, non_blocking=pin)
            images = Images(self.processor.image.normalise(pixels).to(self.dtype))
            if part[0][1] is not None:
                regions, mask = padded([regions for _, regions in part])
                images = replace(images, boxes=regions.to(self.device), box_mask=mask.to(self.device))
            encoded.append(self.towers.encode_image(images).float())
        features = torch.cat(encoded)
        return (unit(features) if normalize else features).cpu()

    @torch.no_grad()  # not inference mode: a user may train on these features
    def encode_text(
        self,
        texts: str | Sequence[str],
        batch_size: int | None = None,
        progress: bool = False,
        normalize: bool = True,
        quotes: str | None = None,
    ) -> Tensor:
        """Texts -> features (N, E), float32 on the CPU, of unit length unless normalize=False, in the order asked.

        Texts of different lengths are packed: no time is spent on padding. batch_size limits the texts of one pass;
        by default passes hold about 2,000 tokens on a CPU. quotes="straight" tokenizes as the original's data loaders
        do (see `WordPiece`).
        """
        self.need("embed")
        asked = [texts] if isinstance(texts, str) else list(texts)
        if not asked:
            return torch.empty(0, self.embedding)
        if quotes not in (None, "keep", "straight"):
            raise UsageError(f"quotes is {quotes!r}: it must be 'keep' or 'straight'")
        ids = self.processor.ids([straight_quotes(text) for text in asked] if quotes == "straight" else asked)
        features = torch.empty(len(ids), self.embedding)
        with tqdm(total=len(ids), unit="text", disable=not progress) as bar:
            for rows in passes(list(map(len, ids)), tokens_at_once(self.device), batch_size):
                packed, inner = self.processor.packed([ids[row] for row in rows])
                encoded = self.towers.encode_text(packed.to(self.device)).float()
                features[torch.tensor(rows)[torch.tensor(inner)]] = (unit(encoded) if normalize else encoded).cpu()
                bar.update(len(rows))
        return features

    # -- what features are for ----------------------------------------------------------------------------------------

    def similarity(self, images: Picture | Sequence[Picture] | Tensor, texts: str | Sequence[str] | Tensor) -> Tensor:
        """Cosines (N, M), pictures down, texts across; features of unit length may be given in place of either."""
        image = images if isinstance(images, Tensor) else self.encode_image(images)
        text = texts if isinstance(texts, Tensor) else self.encode_text(texts)
        return image @ text.T

    def classify(
        self,
        images: Picture | Sequence[Picture] | Tensor,
        labels: Sequence[str],
        templates: str | Sequence[str] = "zh",
        top_k: int | None = None,
    ) -> list[list[Label]]:
        """Zero-shot classification: for each picture its labels, best first, with probability and cosine.

        templates: "zh", "en", or own texts with {} where the label goes; each label is the mean of its filled
        templates.
        """
        from tuwen.tasks.classify import classify

        self.need("classify")
        return classify(self, images, labels, templates, top_k)

    # -- fusion ------------------------------------------------------------------------------------------------------

    def image_state(self, images: Picture | Sequence[Picture], workers: int = 4, progress: bool = False) -> State:
        """Pictures as far as they go without a text: computed once, to be fused with any number of texts."""
        from tuwen.tasks.sides import image_state

        self._need_fusion()
        return image_state(self, images, workers, progress)

    def text_state(self, texts: str | Sequence[str], progress: bool = False) -> State:
        """Texts as far as they go without a picture: computed once, to be fused with any number of pictures."""
        from tuwen.tasks.sides import text_state

        self._need_fusion()
        return text_state(self, texts, progress)

    def fuse(
        self, image: State, text: State, pairs: Sequence[tuple[int, int]] | None = None, last: str = "first"
    ) -> Fused:
        """States of pictures and texts -> their fused pairs, one row each: `Fused(text, image, pooled)`.

        Without pairs (number of a picture, number of a text) picture i meets text i, or the only one of either all of
        the other. last: "first" computes `pooled` (B, 2 * D) alone, "text" and "image" only those states, "all" all.
        UsageError for states that another model or preprocessing made.
        """
        from tuwen.tasks.fusion import fuse

        self._need_fusion()
        return fuse(self, image, text, pairs, last)

    def _need_fusion(self) -> None:
        if not hasattr(self.module, "fusion"):
            able = ", ".join(models.able("match"))
            raise UnsupportedTask(
                f"{self.family} compares pictures and texts, but does not fuse them; these do: {able}"
            )

    def match(
        self,
        images: Picture | Sequence[Picture] | State,
        texts: str | Sequence[str] | State,
        progress: bool = False,
        memory_gb: float = 2.0,
        batch_tokens: int | None = None,
        state_dtype: str | None = None,
        workers: int = 4,
    ) -> Tensor:
        """Probabilities (N, M), float32, that each text describes each picture: pictures down, texts across.

        Every picture and every text is encoded once, and pictures are forgotten when they have met the texts.
        memory_gb: room for the states of texts, beyond which they lie in a temporary file. batch_tokens: tokens of one
        pass of the fusion. state_dtype="float16" stores states in half the room, at a loss that docs/en/fusion.md
        gives. States of pictures or texts may be passed in their place.
        """
        from tuwen.tasks.match import match

        self.need("match")
        return match(
            self,
            as_items(images),
            as_items(texts),
            progress=progress,
            memory_gb=memory_gb,
            batch_tokens=batch_tokens,
            state_dtype=state_dtype,
            workers=workers,
        )

    def answer(
        self,
        images: Picture | Sequence[Picture] | State,
        questions: str | Sequence[str] | State,
        top_k: int = 5,
        progress: bool = False,
    ) -> list[list[Answer]]:
        """For each question its likeliest answers, best first, with their probabilities.

        One picture and any number of questions, one question and any number of pictures, or as many of both, in pairs.
        States of pictures or questions may be passed in their place.
        """
        from tuwen.tasks.answer import answer

        self.need("answer")
        return answer(self, as_items(images), as_items(questions), top_k, progress)

    def ground(self, image: Picture, text: str, area: str = "crop") -> Grounding:
        """Where in the picture is what the text says: `.scores` (rows, columns), `.overlay()` -> a PIL picture."""
        from tuwen.tasks.ground import ground

        self.need("ground")
        return ground(self, image, text, area)

    def fill(self, image: Picture, text: str, top_k: int = 5) -> list[list[Word]]:
        """For each `<mask>` (or `[MASK]`) in the text, in order: the likeliest words, best first."""
        from tuwen.tasks.fill import fill

        self.need("fill")
        return fill(self, image, text, top_k)

    def choose(
        self,
        image: Picture,
        question: str | Words,
        choices: Sequence[str | Words],
        boxes: Sequence[Sequence[float]] | None = None,
        objects: Sequence[str] | None = None,
        answer: str | Words | None = None,
        mapping: str = "whole",
    ) -> Tensor:
        """Probabilities (C,), float32, over the choices: of answers to a question, or with `answer` of its reasons.

        question, choices, answer: texts, or lists of words in which a list of numbers stands for objects, as in VCR's
        annotations; objects: the class of each; boxes: left, top, right, bottom of each in pixels. mapping: "whole" or
        "crop", see `tasks.choose.choose`.
        """
        from tuwen.tasks.choose import choose

        self.need("choose")
        return choose(self, image, question, choices, boxes, objects, answer, mapping)

    def entail(self, images: Picture | Sequence[Picture] | State, texts: str | Sequence[str] | State) -> Tensor:
        """(N, 3) float32: probabilities that a picture contradicts a text, leaves it open, and entails it.

        One picture and any number of texts, one text and any number of pictures, or as many of both, in pairs.
        """
        from tuwen.tasks.entail import entail

        self.need("entail")
        return entail(self, as_items(images), as_items(texts))

    def pair(
        self, first: Picture | Sequence[Picture], second: Picture | Sequence[Picture], texts: str | Sequence[str]
    ) -> Tensor:
        """(N,) float32: probabilities that text i is true of its two pictures, the left one first."""
        from tuwen.tasks.pair import pair

        self.need("pair")
        return pair(self, as_list(first), as_list(second), as_list(texts))

    # -- files --------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, dtype: str | None = None) -> None:
        """Write model.safetensors, config.json, tokenizer.json and preprocessor.json; `tuwen.load(folder)` gives them
        back bit for bit.

        dtype="float16" halves the file; norms, tables and the scale are rounded like everything else.
        """
        kind = None if dtype is None else torch_dtype(dtype)
        tensors = {
            name: tensor.to("cpu", kind if tensor.is_floating_point() else None)
            for name, tensor in self.module.state_dict().items()
        }
        described = {
            "family": self.family,
            "variant": self.variant,
            "languages": list(self.languages),
            "config": models.family(self.family).config_to_dict(self.towers.config),
        }
        write_folder(Path(folder), tensors, self.processor, described)


def heads_found(family: str, module: nn.Module) -> list[str]:
    """The first parts of the published names of the tensors of a module's heads."""
    ours = set(getattr(module.config, "heads", ()))
    return [theirs for theirs, head in getattr(models.family(family), "HEADS", {}).items() if head in ours]


def as_list(images: Any) -> list[Any]:
    """One picture or several -> a list of pictures."""
    return list(images) if isinstance(images, list | tuple) else [images]


def as_items(items: Any) -> Any:
    """A state as it is; one picture or text, or several, as a list."""
    return items if isinstance(items, State) else as_list(items)
