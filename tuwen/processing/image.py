"""Resize, crop and normalise pictures exactly as the published models' own pipelines do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.processing import opencv
from tuwen.processing.decode import MAX_PIXELS, decode, decode_array, header, label_of
from tuwen.processing.published import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET,
    ernie_settings,
    read_settings,
    transform_settings,
    write_settings,
)
from tuwen.processing.resize import (
    Floats,
    Pixels,
    Size,
    covering_size,
    limited_size,
    resize_exact,
    resize_fast,
    resize_floats,
    shorter_edge_size,
)

if TYPE_CHECKING:
    from tuwen.types import Picture

__all__ = ["CLIP_MEAN", "CLIP_STD", "ImagePipeline", "decode"]

# Settings that folders of the first release do not have. They are written only where they are not at their default, so
# that a folder keeps its fingerprint.
LATER = ("divisor", "crop_offset", "width_first", "pad", "longer", "truncated")

# Resampling of RGB arrays, beside Pillow's of its pictures.
OF_ARRAYS: dict[str, Callable[[Pixels, Size], Pixels | Floats]] = {
    "opencv": opencv.resize_bilinear,
    "tensor": resize_floats,
}


@dataclass(frozen=True)
class ImagePipeline:
    """The way of a picture into a model.

    size: (height, width), the aspect ratio not kept; or one number, the length of the shorter edge; or None, no resize.
    divisor: with a shorter edge as `size`, the longer is at most 1333/800 of it and both are cut down to a multiple of
    `divisor`, as ViLT, METER and BridgeTower do; a picture is never less than one divisor high and wide.
    crop: (height, width) cut from the middle after resizing, black where the picture is smaller.
    longer: the longer edge that goes with a shorter one as `size`: "floor" cut to a whole pixel, "next" the next one,
    as ERNIE-ViL 2.0 has it.
    crop_offset: which middle, where it is not a whole pixel: "floor" as transformers, "round" as torchvision, "ceil".
    rgb: "after" resizes a picture in its file's own mode and converts it to RGB then, as cn_clip does, so palette
    pictures are resized to the nearest pixel and transparency is dropped; "before" converts first and puts transparent
    pictures on white, as transformers 5 does; "opaque" converts first and drops transparency; "alpha" resizes with
    transparency, which weighs the colours, and drops it then. For RGB and grey files all four give the same pixels.
    "opencv" is as "opaque", but for what OpenCV decodes otherwise: EXIF turns the picture, CMYK JPEG and 16-bit grey.
    resample: a filter of Pillow's; or "opencv", OpenCV's bilinear of bytes; or "tensor", torch's bilinear of floats.
    These two take what is RGB before the resize, and average nothing when a picture is made smaller.
    width_first: resize horizontally before vertically, as Pillow until version 12 did; otherwise as version 13 does.
    truncated: a file that ends too early gives the part that is there; otherwise it is refused.
    pad: a batch of pictures that come out in different sizes is padded, and has a mask; otherwise it is refused.
    resize: "exact" is Pillow's resize, which the reference numbers were made with. "fast" is torch's uint8 kernel, ten
    times as fast on a 12-megapixel picture, and spares a JPEG the way through a PIL picture: of the 256 levels of RGB
    and grey pictures one value in 200 differs by 1, seldom by 2. Other modes and other resampling than bicubic stay
    exact.
    """

    size: tuple[int, int] | int | None
    crop: tuple[int, int] | None = None
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    rgb: str = "after"
    resample: str = "bicubic"
    resize: str = "exact"
    max_pixels: int = MAX_PIXELS
    divisor: int | None = None
    crop_offset: str = "floor"
    width_first: bool = False
    pad: bool = False
    longer: str = "floor"
    truncated: bool = False

    def __post_init__(self) -> None:
        if self.rgb not in MODES:
            raise UsageError(f"rgb is {self.rgb!r}, expected one of {', '.join(MODES)}")
        if self.crop_offset not in ("floor", "round", "ceil"):
            raise UsageError(f"crop_offset is {self.crop_offset!r}, expected 'floor', 'round' or 'ceil'")
        if self.longer not in ("floor", "next"):
            raise UsageError(f"longer is {self.longer!r}, expected 'floor' or 'next'")
        if self.resize not in ("exact", "fast"):
            raise UsageError(f"resize is {self.resize!r}, expected 'exact' or 'fast'")
        if self.resample not in OF_ARRAYS and self.resample.upper() not in Image.Resampling.__members__:
            names = ", ".join([*(name.lower() for name in Image.Resampling.__members__), *OF_ARRAYS])
            raise UsageError(f"resample is {self.resample!r}, expected one of {names}")
        if self.resample in OF_ARRAYS and self.rgb in ("after", "alpha"):
            raise UsageError(f"resample is {self.resample!r}, which needs rgb before it, not rgb {self.rgb!r}")
        edges = [self.size] if isinstance(self.size, int) else [*(self.size or ())]
        if any(edge < 1 for edge in [*edges, *(self.crop or ())]):
            raise UsageError(f"size is {self.size} and crop is {self.crop}, expected at least one pixel")
        if self.divisor is not None and (self.divisor < 1 or not isinstance(self.size, int)):
            raise UsageError(f"divisor is {self.divisor}, expected at least 1, and one number as size, not {self.size}")

    def pixels(self, picture: Picture, name: str | None = None) -> Pixels | Floats:
        """uint8 (H, W, 3) of one picture, or float32 from 0 to 1 where the resampling is "tensor".

        InputError, with `name` or the path, if it cannot be decoded.
        """
        label = name or label_of(picture)
        if self._takes_arrays(picture, label):
            array = decode_array(picture, self.max_pixels, label)
            if array is not None:
                return self._resized(array, label)
        image = decode(picture, self.max_pixels, label, self.truncated)
        try:
            return self._pixels(image, label)
        except InputError as error:
            raise InputError(str(error) if label in str(error) else f"{label}: {error}") from error
        except ValueError as error:  # a mode that has no way to RGB, such as LAB
            raise InputError(f"{label} is in mode {image.mode}, which has no conversion to RGB: {error}") from error

    def _takes_arrays(self, picture: Picture, label: str) -> bool:
        """Whether an array does as well as a PIL picture, if it is to be had faster."""
        fast = self.resize == "fast" and self.resample == "bicubic"
        if self.size is None or not (fast or self.resample in OF_ARRAYS):
            return False
        return self.rgb != "opencv" or hasattr(picture, "__array__") or opencv.turn_of(header(picture, label)) is None

    def _pixels(self, image: Image.Image, label: str) -> Pixels | Floats:
        image = MODES[self.rgb](image)
        if self.size is not None:
            if self.resample in OF_ARRAYS:
                return self._resized(np.array(_opaque(image)), label)
            if self.resize == "fast" and self.resample == "bicubic" and image.mode in ("RGB", "L"):
                return self._resized(np.array(image).reshape(image.height, image.width, -1), label)
            target = self.resized_size(image.height, image.width, label)
            image = resize_exact(image, target, Image.Resampling[self.resample.upper()], self.width_first)
        return self._cropped(np.array(_opaque(image)))

    def _resized(self, array: Pixels, label: str) -> Pixels | Floats:
        """uint8 (H, W, 1 or 3) -> (H', W', 3), by the resampling of arrays or fast."""
        target = self.resized_size(array.shape[0], array.shape[1], label)
        of_arrays = OF_ARRAYS.get(self.resample)
        resized = of_arrays(array, target) if of_arrays else resize_fast(array, target, self.width_first)
        return self._cropped(resized if resized.shape[2] == 3 else resized.repeat(3, axis=2))

    def resized_size(self, height: int, width: int, label: str = "the picture") -> tuple[int, int]:
        """(height, width) of a picture of this size after resizing. InputError, with `label`, if that is absurd."""
        if self.size is None:
            return height, width
        if isinstance(self.size, tuple):
            return self.size
        if self.divisor is not None:
            return limited_size(height, width, self.size, self.divisor)
        rule = covering_size if self.longer == "next" else shorter_edge_size
        target = rule(height, width, self.size)
        if max(target) * self.size > max(self.max_pixels, self.size**2):
            raise InputError(
                f"{label} is {height} x {width} pixels, with a shorter edge of {self.size} that is {target[0]} x "
                f"{target[1]}, and at most {self.max_pixels} pixels are made: crop the picture, or raise max_pixels"
            )
        return target

    def _cropped(self, pixels: Pixels | Floats) -> Pixels | Floats:
        if self.crop is None:
            return pixels
        top, left = (self.crop_start(have, want) for have, want in zip(pixels.shape[:2], self.crop, strict=True))
        cropped = np.zeros((*self.crop, 3), dtype=pixels.dtype)
        found = pixels[max(top, 0) : top + self.crop[0], max(left, 0) : left + self.crop[1]]
        cropped[max(-top, 0) :, max(-left, 0) :][: found.shape[0], : found.shape[1]] = found
        return cropped

    def crop_start(self, have: int, want: int) -> int:
        """Where a crop of `want` pixels begins in `have`; below zero the picture begins so far inside the crop."""
        if self.crop_offset == "round":  # .5 to the even number; of an odd padding the larger part is below and right
            return round((have - want) / 2) if have > want else -((want - have) // 2)
        if self.crop_offset == "ceil":
            return -((want - have) // 2)
        return (have - want) // 2  # floor, so that of an odd padding the larger part is above and left

    def normalise(self, pixels: Tensor) -> Tensor:
        """pixels (B, H, W, 3) uint8 -> (B, 3, H, W) float32 on the same device: the original's / 255, - mean, / std.

        Where the resampling is "tensor", float32 pixels from 0 to 1 too, which are divided already.
        """
        whole = pixels.dtype == torch.uint8
        known = whole or (pixels.dtype == torch.float32 and self.resample == "tensor")
        if not known or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise UsageError(f"pixels are {pixels.dtype} {tuple(pixels.shape)}, expected uint8 (B, H, W, 3)")
        # Tensors, because dividing by a number on a GPU multiplies by its rounded inverse: one bit off.
        numbers = torch.tensor([[255.0] * 3, self.mean, self.std], dtype=torch.float32).to(pixels.device)
        white, mean, std = numbers.view(3, 3, 1, 1)  # (3, 1, 1) each
        floats = pixels.permute(0, 3, 1, 2)
        if not whole:
            return floats.contiguous().sub(mean).div_(std)
        return floats.to(torch.float32, memory_format=torch.contiguous_format).div_(white).sub_(mean).div_(std)

    def at_size(self, image_size: int) -> ImagePipeline:
        """The same for pictures of `image_size` pixels on a side, or on the shorter one where nothing is cropped."""
        if self.crop is None:
            return replace(self, size=(image_size, image_size) if isinstance(self.size, tuple) else image_size)
        height, width = self.crop
        size: tuple[int, int] | int | None = self.size
        if isinstance(size, tuple):
            size = round(size[0] * image_size / height), round(size[1] * image_size / width)
        elif size is not None:
            size = round(size * image_size / min(self.crop))
        return replace(self, size=size, crop=(image_size, image_size))

    def uncropped(self) -> ImagePipeline:
        """The same with all of every picture; batches of several sizes are padded."""
        return replace(self, crop=None, pad=True)

    @classmethod
    def from_transformers(cls, settings: Mapping[str, Any]) -> ImagePipeline:
        """From the content of Chinese-CLIP's `preprocessor_config.json`; missing keys as its image processor has them.

        Like its two siblings it takes a `processor_config.json` too, and raises InputError for a setting that cannot be
        followed.
        """
        return cls(**read_settings(settings, "chinese_clip"))

    @classmethod
    def from_bridgetower(cls, settings: Mapping[str, Any]) -> ImagePipeline:
        """The same of BridgeTower. Without crop_size it crops to `size`, as transformers 4 does."""
        return cls(**read_settings(settings, "bridgetower"))

    @classmethod
    def from_clip(cls, settings: Mapping[str, Any]) -> ImagePipeline:
        """The same of OpenAI's CLIP, which VLE uses too."""
        return cls(**read_settings(settings, "clip"))

    @classmethod
    def from_paddlenlp(cls, settings: Mapping[str, Any]) -> ImagePipeline:
        """The same of PaddleNLP's ERNIE-ViL 2.0."""
        return cls(**read_settings(settings, "paddlenlp"))

    @classmethod
    def ernie(cls, image_size: int, rule: str = "crop") -> ImagePipeline:
        """As ERNIE-ViL 2.0's research release reads pictures.

        rule: "crop" with its default setting; "square" with its straight resize; "finetuned" as the fine-tuning example
        of PaddleNLP evaluates.
        """
        return cls(**ernie_settings(rule, image_size))

    @classmethod
    def brivl(cls, image_size: int) -> ImagePipeline:
        """As every published code of BriVL reads pictures."""
        mean, std = IMAGENET
        size = (image_size, image_size)
        return cls(size, mean=mean, std=std, rgb="opaque", resample="tensor", truncated=True)

    def to_transformers(self, kind: str = "chinese_clip") -> dict[str, Any]:
        """The content of a `preprocessor_config.json` that means the same to transformers.

        kind: the family whose image processor reads it, "chinese_clip", "bridgetower", "clip" or "paddlenlp".
        UsageError if that cannot do what this pipeline does.
        """
        return write_settings(self, kind)

    @classmethod
    def transform(cls, key: str, size: int) -> ImagePipeline:
        """What BridgeTower's repository calls a transform: "clip", "blip", "imagenet", "vit" or "pixelbert"."""
        return cls(**transform_settings(key, size))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        defaults = {field.name: field.default for field in fields(self)}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key not in LATER or value != defaults[key]
        }

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> ImagePipeline:
        """The way back from `to_dict`. InputError for a setting that does not exist."""
        unknown = sorted(set(settings) - set(cls.__dataclass_fields__))
        if unknown or "size" not in settings:
            raise InputError(f"image settings {', '.join(sorted(settings))}: unknown {unknown}, size is needed")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
        }
        return cls(**values)


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


def _is_transparent(image: Image.Image) -> bool:
    return "A" in image.getbands() or "a" in image.getbands() or image.info.get("transparency") is not None


def _on_white(image: Image.Image) -> Image.Image:
    """RGB; where the picture is transparent, white shows through."""
    if not _is_transparent(image):
        return image if image.mode == "RGB" else image.convert("RGB")  # `convert` copies even where nothing changes
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer).convert("RGB")


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; transparency is dropped, and the colours below it show."""
    if image.mode == "RGB":
        return image
    if "transparency" in image.info:
        image = image.copy()
        del image.info["transparency"]  # Pillow warns about it and does nothing with it
    return image.convert("RGB")


def _with_alpha(image: Image.Image) -> Image.Image:
    """RGBA where anything is transparent, else RGB, which comes out the same."""
    return image.convert("RGBA") if _is_transparent(image) else _opaque(image)


MODES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "after": _as_it_is,
    "before": _on_white,
    "opaque": _opaque,
    "alpha": _with_alpha,
    "opencv": lambda image: _opaque(opencv.as_decoded(image)),
}
