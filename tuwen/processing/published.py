"""What published picture settings mean as settings of `ImagePipeline`: files of transformers, transforms by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from PIL import Image

from tuwen.errors import InputError, UsageError

if TYPE_CHECKING:
    from tuwen.processing.image import ImagePipeline

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

Fields = dict[str, Any]
TRANSFORMS = ("clip", "blip", "imagenet", "vit", "pixelbert")


def read_settings(settings: Mapping[str, Any], kind: str) -> Fields:
    """Fields of `ImagePipeline` from a `preprocessor_config.json`, or from a `processor_config.json` that nests it.

    kind: whose image processor the file is for, "chinese_clip", "bridgetower", "clip" (VLE's too) or "paddlenlp"
    (ERNIE-ViL 2.0's there); each has its own defaults for missing keys. InputError for a setting that cannot be
    followed.
    """
    if kind not in READERS:
        raise UsageError(f"kind is {kind!r}, expected one of {', '.join(READERS)}")
    settings = settings.get("image_processor", settings)
    if not settings.get("do_rescale", True) or abs(settings.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise InputError(f"rescaling by {settings.get('rescale_factor')} is not supported, expected 1/255")
    try:
        resample = Image.Resampling(settings.get("resample", Image.Resampling.BICUBIC)).name.lower()
    except ValueError as error:
        raise InputError(f"resample is {settings['resample']}, expected a number that Pillow knows") from error
    normalised = settings.get("do_normalize", True)
    mean, std = IMAGENET if kind == "paddlenlp" else (CLIP_MEAN, CLIP_STD)
    return READERS[kind](settings) | {
        "mean": _three(settings.get("image_mean") or mean) if normalised else (0.0, 0.0, 0.0),
        "std": _three(settings.get("image_std") or std) if normalised else (1.0, 1.0, 1.0),
        "resample": resample,
    }


def _chinese_clip(settings: Mapping[str, Any]) -> Fields:
    """As `ChineseCLIPImageProcessorPil`: transparent pictures on white."""
    return _resized_and_cropped(settings) | {"rgb": "before"}


def _clip(settings: Mapping[str, Any]) -> Fields:
    """As `CLIPFeatureExtractor` of transformers 4.26, which VLE was published with, on the Pillow of its time."""
    return _resized_and_cropped(settings) | {"rgb": "opaque", "width_first": True}


def _paddlenlp(settings: Mapping[str, Any]) -> Fields:
    """As `ErnieViLImageProcessor` of PaddleNLP: EXIF is not looked at."""
    return _resized_and_cropped(settings) | {"rgb": "opaque"}


def _resized_and_cropped(settings: Mapping[str, Any]) -> Fields:
    if settings.get("do_pad"):
        raise InputError("do_pad is not supported: pictures are resized and cropped, not padded")
    size = _resize_target(settings.get("size", {"shortest_edge": 224}))
    crop = _height_width(settings.get("crop_size", 224), "crop_size") if settings.get("do_center_crop", True) else None
    return {"size": size if settings.get("do_resize", True) else None, "crop": crop}


def _bridgetower(settings: Mapping[str, Any]) -> Fields:
    """As `BridgeTowerImageProcessor` behind the processor of transformers 4, which the published files are for.

    Without crop_size it crops to `size`; version 5 then crops to 288 instead, which the large models refuse.
    """
    size = _shortest_edge(settings.get("size") or 288, "size")
    crop = settings.get("crop_size") or size
    if not isinstance(crop, dict) or "shortest_edge" in crop:
        crop = _shortest_edge(crop, "crop_size")
    resized = settings.get("do_resize", True)
    return {
        "size": size if resized else None,
        "divisor": int(settings.get("size_divisor") or 32) if resized else None,
        "crop": _height_width(crop, "crop_size") if settings.get("do_center_crop", True) else None,
        "pad": bool(settings.get("do_pad", True)),
        "rgb": "opaque",
    }


READERS: dict[str, Callable[[Mapping[str, Any]], Fields]] = {
    "chinese_clip": _chinese_clip,
    "bridgetower": _bridgetower,
    "clip": _clip,
    "paddlenlp": _paddlenlp,
}


def write_settings(pipeline: ImagePipeline, kind: str) -> dict[str, Any]:
    """The content of a `preprocessor_config.json` that means the same to transformers' image processor of that kind.

    UsageError if that processor cannot do what the pipeline does.
    """
    names = {"chinese_clip": "ChineseCLIP", "bridgetower": "BridgeTower", "clip": "CLIP", "paddlenlp": "ErnieViL"}
    if kind not in names:
        raise UsageError(f"kind is {kind!r}, expected one of {', '.join(names)}")
    if pipeline.resample.upper() not in Image.Resampling.__members__ or pipeline.longer != "floor":
        raise UsageError(f"{names[kind]}ImageProcessor cannot resize as {pipeline.resample!r}: Pillow does it there")
    settings: dict[str, Any] = {
        "image_processor_type": f"{names[kind]}ImageProcessor",
        "do_resize": pipeline.size is not None,
        "do_center_crop": pipeline.crop is not None,
        "do_normalize": True,
        "resample": int(Image.Resampling[pipeline.resample.upper()]),
        "image_mean": list(pipeline.mean),
        "image_std": list(pipeline.std),
    }
    if isinstance(pipeline.size, tuple):
        settings["size"] = dict(zip(("height", "width"), pipeline.size, strict=True))
    elif pipeline.size is not None:
        settings["size"] = {"shortest_edge": pipeline.size}
    if pipeline.crop is not None:
        settings["crop_size"] = dict(zip(("height", "width"), pipeline.crop, strict=True))
    if kind == "bridgetower":
        settings |= _only_bridgetower(pipeline)
    elif kind == "paddlenlp":
        settings |= {"do_convert_rgb": True, "do_rescale": True, "rescale_factor": 1 / 255}
    elif kind == "clip":  # readers of the 4.2x series look for the older name
        settings |= {"feature_extractor_type": "CLIPFeatureExtractor", "do_convert_rgb": True}
    if kind != "bridgetower" and (pipeline.divisor is not None or pipeline.pad):
        raise UsageError(f"{names[kind]}ImageProcessor cannot round edges to {pipeline.divisor} or pad batches")
    return settings


def _only_bridgetower(pipeline: ImagePipeline) -> dict[str, Any]:
    if isinstance(pipeline.size, tuple) or (pipeline.size is not None and pipeline.divisor is None):
        raise UsageError(f"BridgeTowerImageProcessor cannot resize to {pipeline.size} exactly: it rounds to a divisor")
    settings: dict[str, Any] = {"do_pad": pipeline.pad, "do_rescale": True, "rescale_factor": 1 / 255}
    if pipeline.divisor is not None:
        settings["size_divisor"] = pipeline.divisor
    if pipeline.crop is not None:
        height, width = pipeline.crop
        if height != width:
            raise UsageError(f"BridgeTowerImageProcessor crops squares only, not {pipeline.crop}")
        settings["crop_size"] = {"shortest_edge": height}
    return settings


def transform_settings(key: str, size: int) -> Fields:
    """Fields of `ImagePipeline` for a transform of BridgeTower's repository without augmentation, by its key there.

    "clip" opens pictures with their transparency and drops it after the crop; the others drop it first. The original
    ran on a Pillow that resized horizontally first, and on torchvision's centre crop.
    """
    if key not in TRANSFORMS:
        raise UsageError(f"the transform {key!r} does not exist, expected one of {', '.join(TRANSFORMS)}")
    fields: Fields = {"size": size, "rgb": "alpha" if key == "clip" else "opaque", "width_first": True}
    if key == "blip":
        return fields | {"size": (size, size)}
    if key == "pixelbert":
        return fields | {"divisor": 32, "pad": True, "mean": HALF[0], "std": HALF[1]}
    mean, std = {"clip": (CLIP_MEAN, CLIP_STD), "imagenet": IMAGENET, "vit": HALF}[key]
    return fields | {"crop": (size, size), "crop_offset": "round", "mean": mean, "std": std}


def ernie_settings(rule: str, size: int) -> Fields:
    """Fields of `ImagePipeline` for a rule of ERNIE-ViL 2.0.

    "crop": how the research release reads pictures: the shorter edge to `size`, the middle; "square": its straight
    resize; "finetuned": how PaddleNLP's fine-tuning example evaluates, with Pillow.
    """
    mean, std = IMAGENET
    opencv: Fields = {"rgb": "opencv", "resample": "opencv", "mean": mean, "std": std}
    rules: dict[str, Fields] = {
        "crop": {"size": size, "longer": "next", "crop": (size, size), "crop_offset": "ceil"} | opencv,
        "square": {"size": (size, size)} | opencv,
        "finetuned": {"size": (size, size), "rgb": "after", "mean": mean, "std": std},
    }
    if rule not in rules:
        raise UsageError(f"the rule {rule!r} does not exist, expected one of {', '.join(rules)}")
    return rules[rule]


def _height_width(size: Any, name: str) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    if isinstance(size, dict) and {"height", "width"} <= set(size):
        return int(size["height"]), int(size["width"])
    raise InputError(f"{name} is {size}, expected a number or height and width")


def _shortest_edge(size: Any, name: str) -> int:
    if isinstance(size, dict) and set(size) == {"shortest_edge"}:
        size = size["shortest_edge"]
    if not isinstance(size, int):
        raise InputError(f"{name} is {size}, expected a number or a shortest_edge")
    return size


def _resize_target(size: Any) -> tuple[int, int] | int:
    if isinstance(size, int) or (isinstance(size, dict) and set(size) == {"shortest_edge"}):
        return _shortest_edge(size, "size")
    return _height_width(size, "size")


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = [float(values)] * 3 if isinstance(values, int | float) else map(float, values)
    return red, green, blue
