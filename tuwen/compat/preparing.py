"""Published processors over ours: texts and pictures to what the published model classes take."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from tuwen.compat.outputs import Encoding
from tuwen.errors import InputError, UsageError
from tuwen.loading import find
from tuwen.processing.batch import batch
from tuwen.processing.image import ImagePipeline
from tuwen.processing.processor import SETTINGS_FILE, TOKENIZER_FILE
from tuwen.processing.processor import Processor as OwnProcessor
from tuwen.processing.published import read_settings
from tuwen.processing.tokenizer import Tokenizer, open_tokenizer
from tuwen.saving import write_json

PICTURE_FILES = ("preprocessor_config.json", "processor_config.json")  # transformers has had both names
# What may lie in a published folder for its tokenizer: copied as it is where a processor is saved again.
TOKENIZER_FILES = (
    "spm.model",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    TOKENIZER_FILE,
    "vocab.json",
    "merges.txt",
)
PADDINGS: Mapping[Any, str] = {True: "longest", False: "do_not_pad", None: "do_not_pad"}
TRUNCATIONS = (True, False, None, "longest_first", "do_not_truncate")


class Words:
    """A tokenizer with the published call: texts -> input_ids, attention_mask and, of VLE, token_type_ids.

    longest: ids that the model takes at most, what `truncation=True` cuts to without max_length; None for any.
    """

    def __init__(self, tokenizer: Tokenizer, segments: bool, longest: int | None = None) -> None:
        self.rules = tokenizer
        self.segments = segments
        self.longest = longest
        self.pad_token_id, self.unk_token_id = tokenizer.pad_id, tokenizer.unknown_id
        self.cls_token_id = self.bos_token_id = tokenizer.start_id
        self.sep_token_id = self.eos_token_id = tokenizer.end_id
        self.mask_token_id, self.mask_token = tokenizer.mask_id, tokenizer.mask_token

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: str | Sequence[str] | None = None,
        padding: bool | str | None = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_special_tokens_mask: bool = False,
    ) -> Encoding:
        """One text gives flat lists, or one row where tensors are asked for; several give a row each.

        A text may be a pair of texts. padding: True or "longest", "max_length". truncation: True cuts at the end, of
        pairs the longer text first. return_tensors: "pt", "np" or None, lists. UsageError where rows of different
        lengths would make a tensor.
        """
        single = isinstance(text, str)
        first, second = _halves([text] if isinstance(text, str) else list(text), text_pair)
        limit = self._limit(truncation, max_length)
        if second is None:
            rows = self.rules.ids(first, limit)
            segments = [[0] * len(row) for row in rows]
        else:
            rows, segments = self.rules.pair_ids(first, second, limit)
        width = self._width(padding, max_length, rows)
        gaps = [max(0, width - len(row)) for row in rows]
        parts = {"input_ids": [row + [self.pad_token_id] * gap for row, gap in zip(rows, gaps, strict=True)]}
        if self.segments:
            parts["token_type_ids"] = [kinds + [0] * gap for kinds, gap in zip(segments, gaps, strict=True)]
        if return_special_tokens_mask:
            if second is not None:
                raise UsageError("return_special_tokens_mask is for single texts, not for pairs")
            parts["special_tokens_mask"] = [
                [1] + [0] * (len(row) - 2) + [1] * (1 + gap) for row, gap in zip(rows, gaps, strict=True)
            ]
        parts["attention_mask"] = [[1] * len(row) + [0] * gap for row, gap in zip(rows, gaps, strict=True)]
        if return_tensors is None and single:
            return Encoding(**{name: part[0] for name, part in parts.items()})
        return Encoding(**{name: tensors(part, return_tensors) for name, part in parts.items()})

    def _limit(self, truncation: bool | str | None, max_length: int | None) -> int | None:
        if truncation not in TRUNCATIONS:
            raise UsageError(f"truncation is {truncation!r}, expected one of {', '.join(map(str, TRUNCATIONS))}")
        if truncation in (False, None, "do_not_truncate"):
            return None
        return max_length or self.longest

    def _width(self, padding: bool | str | None, max_length: int | None, rows: Sequence[Sequence[int]]) -> int:
        kind = PADDINGS.get(padding, padding)
        if kind == "longest":
            return max(map(len, rows))
        if kind == "do_not_pad":
            return 0
        if kind != "max_length":
            raise UsageError(f"padding is {padding!r}, expected True, 'longest', 'max_length' or False")
        width = max_length or self.longest
        if width is None:
            raise UsageError("padding='max_length' needs max_length: this model takes texts of any length")
        return width

    def tokenize(self, text: str) -> list[str]:
        """The tokens of one text, without those that frame it."""
        return self.rules.tokens(text)

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool = False
    ) -> str:
        """Ids, a list or a tensor -> text. The clean-up takes away spaces before punctuation, as transformers 4 did."""
        flat = [int(number) for number in np.asarray(token_ids).reshape(-1)]
        return self.rules.decode(flat, skip_special_tokens, clean_up_tokenization_spaces)

    def batch_decode(self, sequences: Iterable[Any], **options: bool) -> list[str]:
        """Rows of ids -> a text each; options as of `decode`."""
        return [self.decode(row, **options) for row in sequences]

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """One id -> its token; several -> a list."""
        if isinstance(ids, int):
            return self.rules.vocabulary[ids]
        return [self.rules.vocabulary[int(number)] for number in ids]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """One token -> its id, that of the unknown token where there is none; several -> a list."""
        numbers = {token: number for number, token in enumerate(self.rules.vocabulary)}
        if isinstance(tokens, str):
            return numbers.get(tokens, self.unk_token_id)
        return [numbers.get(token, self.unk_token_id) for token in tokens]

    def __len__(self) -> int:
        return self.rules.vocabulary_size


class Pictures:
    """An image processor with the published call: pictures -> pixel_values and, where masked, pixel_mask.

    KIND: whose settings it reads, see `processing.published.read_settings`.
    """

    KIND: ClassVar[str] = "clip"
    MASKED: ClassVar[bool] = False

    def __init__(self, **settings: Any) -> None:
        """settings: those of preprocessor_config.json, each with its published default."""
        self.pipeline = ImagePipeline(**read_settings(settings, self.KIND))

    def __call__(self, images: Any, return_tensors: str | None = None) -> Encoding:
        """One picture or several: paths, bytes, PIL pictures, uint8 arrays or tensors.

        -> pixel_values (B, 3, H, W), as a list of arrays without return_tensors; pixel_mask (B, H, W), 1 where real.
        """
        pictures = list(images) if isinstance(images, list | tuple) else [images]
        made = batch([self.pipeline.pixels(picture) for picture in pictures], self.pipeline)
        parts: dict[str, Any] = {"pixel_values": made.pixels}
        if self.MASKED:
            size = (len(pictures), *made.pixels.shape[2:])
            parts["pixel_mask"] = torch.ones(size, dtype=torch.long) if made.mask is None else made.mask.long()
        if return_tensors == "pt":
            return Encoding(**parts)
        arrays = {name: part.numpy() for name, part in parts.items()}
        return Encoding(**{name: tensors(list(array), return_tensors) for name, array in arrays.items()})

    def preprocess(self, images: Any, return_tensors: str | None = None) -> Encoding:
        """The same under its other published name."""
        return self(images, return_tensors)

    def to_dict(self) -> dict[str, Any]:
        """The content of a preprocessor_config.json."""
        return self.pipeline.to_transformers(self.KIND)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path) -> Self:
        """From a folder or a published name."""
        return cls.over(opened(pretrained_model_name_or_path, cls.KIND).pipeline)

    @classmethod
    def over(cls, pipeline: ImagePipeline) -> Self:
        """Over a pipeline of ours."""
        made = cls()
        made.pipeline = pipeline
        return made

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write preprocessor_config.json into a folder, which is made if it does not exist."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / PICTURE_FILES[0], self.to_dict())


class Opened(NamedTuple):
    """What a folder holds for a processor; files: the tokenizer's own, to be copied when it is saved again."""

    pipeline: ImagePipeline
    folder: Path


def opened(name: str | Path, kind: str) -> Opened:
    """The picture settings of a folder or a published name. Weights need not be there."""
    folder = Path(name) if Path(name).is_dir() else find(str(name)).folder
    if (folder / SETTINGS_FILE).is_file():
        return Opened(OwnProcessor.load(folder).image, folder)
    for file in PICTURE_FILES:
        if (folder / file).is_file():
            try:
                settings = json.loads((folder / file).read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{folder / file} is not JSON: {error}") from error
            return Opened(ImagePipeline(**read_settings(settings, kind)), folder)
    raise InputError(f"{folder} holds no picture settings, expected {' or '.join(PICTURE_FILES)}")


def open_words(folder: Path, segments: bool, longest: int | None) -> Words:
    """The tokenizer of a folder."""
    return Words(open_tokenizer(folder, "transformers"), segments, longest)


def save_words(words: Words, source: Path | None, folder: Path) -> None:
    """The files of the folder that the tokenizer came from, or one tokenizer.json that says all."""
    folder.mkdir(parents=True, exist_ok=True)
    if source is None:
        words.rules.save(folder / TOKENIZER_FILE)
        return
    for name in TOKENIZER_FILES:
        if (source / name).is_file() and source.resolve() != folder.resolve():
            shutil.copyfile(source / name, folder / name)


def tensors(rows: Any, kind: str | None) -> Any:
    """Rows of numbers as a tensor ("pt"), an array ("np") or as they are. UsageError where their lengths differ."""
    if kind is None:
        return rows
    if kind not in ("pt", "np"):
        raise UsageError(f"return_tensors is {kind!r}, expected 'pt' or 'np'")
    if len({np.shape(row) for row in rows}) > 1:
        raise UsageError(
            "rows of different lengths make no tensor: pass padding=True, or truncation=True and max_length"
        )
    return torch.tensor(np.asarray(rows)) if kind == "pt" else np.asarray(rows)


def _halves(texts: list[Any], pair: str | Sequence[str] | None) -> tuple[list[str], list[str] | None]:
    if pair is not None:
        return texts, [pair] if isinstance(pair, str) else list(pair)
    if texts and all(isinstance(text, list | tuple) and len(text) == 2 for text in texts):
        return [one for one, _ in texts], [other for _, other in texts]
    return texts, None


class Prepared:
    """Parent of the published processors: a tokenizer and an image processor, and what both families' do alike."""

    def __init__(self, image_processor: Any, tokenizer: Words, source: Path | None = None) -> None:
        """source: the folder whose tokenizer files are copied when this is saved."""
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.source = source

    def encoded(self, text: Any, images: Any, return_tensors: str | None, options: Mapping[str, Any]) -> Encoding:
        """What the model takes of texts, of pictures, or of both; options are those of `Words`."""
        if text is None and images is None:
            raise UsageError("neither text nor images: pass one of them, or both")
        encoding = Encoding() if text is None else self.tokenizer(text, return_tensors=return_tensors, **options)
        if images is not None:
            encoding.update(self.image_processor(images, return_tensors))
        return encoding

    def decode(self, token_ids: Any, **options: bool) -> str:
        """Ids -> text; see `Words.decode`."""
        return self.tokenizer.decode(token_ids, **options)

    def batch_decode(self, sequences: Iterable[Any], **options: bool) -> list[str]:
        """Rows of ids -> texts."""
        return self.tokenizer.batch_decode(sequences, **options)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write the tokenizer's files and preprocessor_config.json into a folder, made if it does not exist."""
        save_words(self.tokenizer, self.source, Path(save_directory))
        self.image_processor.save_pretrained(save_directory)
