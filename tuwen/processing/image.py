"""Resize, crop and normalise pictures exactly as the published models' own pipelines do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tuwen.errors import InputError, UsageError
from tuwen.processing.decode import MAX_PIXELS, decode, decode_array, label_of
from tuwen.processing.resize import Pixels, resize_exact, resize_fast

if TYPE_CHECKING:
    from tuwen.types import Picture

__all__ = ["CLIP_MEAN", "CLIP_STD", "ImagePipeline", "decode"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class ImagePipeline:
    """The way of a picture into a model.

    size: (height, width), the aspect ratio not kept; or one number, the length of the shorter edge; or None, no resize.
    crop: (height, width) cut from the middle after resizing, black where the picture is smaller.
    rgb: "after" resizes a picture in its file's own mode and converts it to RGB then, as cn_clip does, so palette
    pictures are resized to the nearest pixel and transparency is dropped; "before" converts first and puts transparent
    pictures on white, as transformers 5 does. For RGB and grey files both give the same pixels.
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

    def __post_init__(self) -> None:
        if self.rgb not in ("after", "before"):
            raise UsageError(f"rgb is {self.rgb!r}, expected 'after' or 'before' the resize")
        if self.resize not in ("exact", "fast"):
            raise UsageError(f"resize is {self.resize!r}, expected 'exact' or 'fast'")
        if self.resample.upper() not in Image.Resampling.__members__:
            names = ", ".join(name.lower() for name in Image.Resampling.__members__)
            raise UsageError(f"resample is {self.resample!r}, expected one of {names}")
        edges = [self.size] if isinstance(self.size, int) else [*(self.size or ())]
        if any(edge < 1 for edge in [*edges, *(self.crop or ())]):
            raise UsageError(f"size is {self.size} and crop is {self.crop}, expected at least one pixel")

    def pixels(self, picture: Picture, name: str | None = None) -> Pixels:
        """uint8 (H, W, 3) of one picture. InputError, with `name` or the path, if it cannot be decoded."""
        label = name or label_of(picture)
        if self.resize == "fast" and self.resample == "bicubic" and self.size is not None:
            array = decode_array(picture, self.max_pixels, label)
            if array is not None:
                return self._fast(array)
        image = decode(picture, self.max_pixels, label)
        try:
            return self._pixels(image)
        except ValueError as error:  # a mode that has no way to RGB, such as LAB
            raise InputError(f"{label} is in mode {image.mode}, which has no conversion to RGB: {error}") from error

    def _pixels(self, image: Image.Image) -> Pixels:
        if self.rgb == "before":
            image = _on_white(image)
        if self.size is not None:
            if self.resize == "fast" and self.resample == "bicubic" and image.mode in ("RGB", "L"):
                return self._fast(np.array(image).reshape(image.height, image.width, -1))
            target = self._target(image.height, image.width)
            image = resize_exact(image, target, Image.Resampling[self.resample.upper()])
        if image.mode != "RGB":
            image = image.copy()
            image.info.pop("transparency", None)  # Pillow warns about it and does nothing with it
            image = image.convert("RGB")
        return self._cropped(np.array(image))

    def _fast(self, array: Pixels) -> Pixels:
        """uint8 (H, W, 1 or 3) -> (H', W', 3)."""
        resized = resize_fast(array, self._target(array.shape[0], array.shape[1]))
        return self._cropped(resized if resized.shape[2] == 3 else np.repeat(resized, 3, axis=2))

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.size, tuple):
            return self.size
        assert self.size is not None
        longer = int(self.size * max(height, width) / min(height, width))
        return (self.size, longer) if height < width else (longer, self.size)

    def _cropped(self, pixels: Pixels) -> Pixels:
        if self.crop is None:
            return pixels
        # Floor division also below zero, where it pads: an odd remainder goes to the top and left, as in transformers.
        top, left = ((have - want) // 2 for have, want in zip(pixels.shape[:2], self.crop, strict=True))
        cropped = np.zeros((*self.crop, 3), dtype=np.uint8)
        found = pixels[max(top, 0) : top + self.crop[0], max(left, 0) : left + self.crop[1]]
        cropped[max(-top, 0) :, max(-left, 0) :][: found.shape[0], : found.shape[1]] = found
        return cropped

    def normalise(self, pixels: Tensor) -> Tensor:
        """pixels (B, H, W, 3) uint8 -> (B, 3, H, W) float32 on the same device: the original's / 255, - mean, / std."""
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise UsageError(f"pixels are {pixels.dtype} {tuple(pixels.shape)}, expected uint8 (B, H, W, 3)")
        # Tensors, because dividing by a number on a GPU multiplies by its rounded inverse: one bit off.
        numbers = torch.tensor([[255.0] * 3, self.mean, self.std], dtype=torch.float32).to(pixels.device)
        white, mean, std = numbers.view(3, 3, 1, 1)  # (3, 1, 1) each
        floats = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return floats.div_(white).sub_(mean).div_(std)

    @classmethod
    def from_transformers(cls, settings: dict[str, Any]) -> ImagePipeline:
        """From the content of a `preprocessor_config.json`; missing keys as `ChineseCLIPImageProcessorPil` has them."""
        if not settings.get("do_rescale", True) or abs(settings.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
            raise InputError(f"rescaling by {settings.get('rescale_factor')} is not supported, expected 1/255")
        if settings.get("do_pad"):
            raise InputError("do_pad is not supported: pictures are resized and cropped, not padded")
        normalised = settings.get("do_normalize", True)
        crop = (
            _height_width(settings.get("crop_size", 224), "crop_size") if settings.get("do_center_crop", True) else None
        )
        return cls(
            size=_resize_target(settings.get("size", {"shortest_edge": 224}))
            if settings.get("do_resize", True)
            else None,
            crop=crop,
            mean=_three(settings.get("image_mean", CLIP_MEAN)) if normalised else (0.0, 0.0, 0.0),
            std=_three(settings.get("image_std", CLIP_STD)) if normalised else (1.0, 1.0, 1.0),
            rgb="before",
            resample=Image.Resampling(settings.get("resample", Image.Resampling.BICUBIC)).name.lower(),
        )

    def to_transformers(self) -> dict[str, Any]:
        """The content of a `preprocessor_config.json` that means the same to transformers' Chinese-CLIP processor."""
        size = {"shortest_edge": self.size} if isinstance(self.size, int) else None
        if isinstance(self.size, tuple):
            size = dict(zip(("height", "width"), self.size, strict=True))
        settings: dict[str, Any] = {
            "image_processor_type": "ChineseCLIPImageProcessor",
            "do_resize": size is not None,
            "do_center_crop": self.crop is not None,
            "do_normalize": True,
            "resample": int(Image.Resampling[self.resample.upper()]),
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        if size is not None:
            settings["size"] = size
        if self.crop is not None:
            settings["crop_size"] = dict(zip(("height", "width"), self.crop, strict=True))
        return settings

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

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


def _on_white(image: Image.Image) -> Image.Image:
    """RGB; where the picture is transparent, white shows through."""
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return image if image.mode == "RGB" else image.convert("RGB")  # `convert` copies even where nothing changes
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer).convert("RGB")


def _height_width(size: Any, name: str) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    if isinstance(size, dict) and {"height", "width"} <= set(size):
        return int(size["height"]), int(size["width"])
    raise InputError(f"{name} is {size}, expected a number or height and width")


def _resize_target(size: Any) -> tuple[int, int] | int:
    if isinstance(size, int):
        return size
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        return int(size["shortest_edge"])
    return _height_width(size, "size")


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = [float(values)] * 3 if isinstance(values, int | float) else map(float, values)
    return red, green, blue
