"""The image pipeline against the two published ones."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.processing.pictures import PILLOW_RESIZES_ALIKE, encoded, in_every_mode, noise, smooth
from tuwen.errors import InputError, UsageError
from tuwen.processing.image import CLIP_MEAN, CLIP_STD, ImagePipeline

SIZES = [(37, 61), (64, 24), (1, 40), (40, 1), (1, 1)]
TRANSFORMERS: list[dict[str, Any]] = [
    {"size": {"height": 40, "width": 40}, "do_center_crop": False},
    {},
    {"size": {"shortest_edge": 33}, "crop_size": {"height": 21, "width": 28}},
    {"size": 30, "crop_size": 37},
    {"size": {"shortest_edge": 20}, "crop_size": {"height": 31, "width": 64}},
    {"size": [20, 50], "do_center_crop": False},
    {"do_resize": False, "crop_size": {"height": 50, "width": 25}},
    {"do_normalize": False, "size": {"height": 16, "width": 24}, "do_center_crop": False, "resample": 2},
    {
        "size": {"height": 24, "width": 24},
        "crop_size": 17,
        "resample": 1,
        "image_mean": 0.5,
        "image_std": [0.5, 0.4, 0.3],
    },
]


def prepared(pipeline: ImagePipeline, content: bytes) -> Tensor:
    return pipeline.normalise(torch.from_numpy(pipeline.pixels(content))[None])[0]


def cn_clip(content: bytes, size: int) -> Tensor:
    """The published pipeline, in the order of its steps: resize, RGB, / 255, - mean, / std."""
    with Image.open(io.BytesIO(content)) as picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about transparency in palettes
        resized = picture.resize((size, size), Image.Resampling.BICUBIC).convert("RGB")
    floats = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float().div(255)
    return (floats - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]


@pytest.mark.skipif(not PILLOW_RESIZES_ALIKE, reason="this Pillow resizes in another order")
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_equal_cn_clip_in_every_mode(size: tuple[int, int]) -> None:
    pipeline = ImagePipeline((32, 32))
    for mode, content in in_every_mode(*size).items():
        assert torch.equal(prepared(pipeline, content), cn_clip(content, 32)), mode


@pytest.mark.skipif(not PILLOW_RESIZES_ALIKE, reason="this Pillow resizes in another order")
@pytest.mark.parametrize("settings", TRANSFORMERS, ids=str)
def test_pixels_equal_transformers_in_every_mode(settings: dict[str, Any]) -> None:
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil

    theirs, pipeline = ChineseCLIPImageProcessorPil(**settings), ImagePipeline.from_transformers(settings)
    for size in SIZES[:2]:
        for mode, content in in_every_mode(*size).items():
            with Image.open(io.BytesIO(content)) as picture:
                expected = theirs(picture, return_tensors="pt")["pixel_values"][0]
            assert torch.equal(prepared(pipeline, content), expected), mode


def test_where_the_conversion_to_rgb_happens_matters_only_for_other_modes() -> None:
    after, before = ImagePipeline((24, 24)), ImagePipeline((24, 24), rgb="before")
    same = {
        mode: np.array_equal(after.pixels(content), before.pixels(content))
        for mode, content in in_every_mode(37, 61).items()
    }
    assert same["RGB"] and same["L"]
    assert not any(same[mode] for mode in ("RGBA", "LA", "P", "1", "CMYK", "RGB with a key"))


@pytest.mark.parametrize("rgb", ["after", "before"])
def test_fast_differs_by_two_levels_at_most_and_only_for_rgb_and_grey(rgb: str) -> None:
    exact, fast = ImagePipeline((24, 24), rgb=rgb), ImagePipeline((24, 24), rgb=rgb, resize="fast")
    contents = in_every_mode(61, 37) | {
        "JPEG": encoded(smooth(61, 97), "JPEG"),
        "grey JPEG": encoded(smooth(61, 97).convert("L"), "JPEG"),
    }
    for mode, content in contents.items():
        difference = np.abs(exact.pixels(content).astype(int) - fast.pixels(content).astype(int)).max()
        stays_exact = rgb == "after" and mode in ("RGBA", "LA", "P", "1", "CMYK", "I;16", "F")
        assert difference <= (0 if stays_exact else 2), mode


def test_fast_without_the_accelerator_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, content = ImagePipeline((24, 24), resize="fast"), encoded(smooth(97, 61), "JPEG")
    pixels = pipeline.pixels(content)
    monkeypatch.setattr("tuwen.processing.decode.simplejpeg", None)
    assert np.array_equal(pipeline.pixels(content), pixels)


def test_normalising_is_divide_subtract_divide_bit_for_bit() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(2, 16, 16, 3)
    normalised = ImagePipeline((16, 16)).normalise(levels)
    assert normalised.shape == (2, 3, 16, 16) and normalised.dtype == torch.float32 and normalised.is_contiguous()
    for channel in range(3):
        expected = (np.arange(256, dtype=np.float32) / np.float32(255) - np.float32(CLIP_MEAN[channel])) / np.float32(
            CLIP_STD[channel]
        )
        assert np.array_equal(normalised[1, channel].flatten().numpy(), expected)


def test_normalising_wants_whole_numbers_with_channels_last() -> None:
    for wrong in (torch.zeros(1, 8, 8, 3), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(UsageError, match=r"expected uint8 \(B, H, W, 3\)"):
            ImagePipeline((8, 8)).normalise(wrong)


def test_arrays_and_pictures_are_pictures_too() -> None:
    pipeline = ImagePipeline((16, 16))
    array = noise(20, 30)
    assert np.array_equal(pipeline.pixels(array), pipeline.pixels(Image.fromarray(array)))
    assert np.array_equal(pipeline.pixels(array[..., 0]), pipeline.pixels(np.repeat(array[..., :1], 3, axis=2)))


def test_a_picture_that_is_passed_is_not_changed() -> None:
    palette = Image.fromarray(noise(16, 16)).quantize(8)
    palette.info["transparency"] = bytes(8)
    ImagePipeline((16, 16)).pixels(palette)
    assert palette.mode == "P" and palette.info["transparency"] == bytes(8)


def test_a_shorter_edge_keeps_the_aspect_ratio() -> None:
    assert ImagePipeline(20).pixels(noise(30, 60)).shape == (40, 20, 3)
    assert ImagePipeline(20).pixels(noise(61, 30)).shape == (20, 40, 3)
    assert ImagePipeline(None).pixels(noise(31, 17)).shape == (17, 31, 3)


def test_settings_survive_json() -> None:
    for pipeline in (
        ImagePipeline((8, 9), crop=(4, 5), rgb="before", resize="fast"),
        ImagePipeline(7),
        ImagePipeline(None),
    ):
        assert ImagePipeline.from_dict(pipeline.to_dict()) == pipeline
    with pytest.raises(InputError, match=r"unknown \['colour'\]"):
        ImagePipeline.from_dict({"size": [8, 8], "colour": "blue"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rgb": "never"}, "rgb is 'never'"),
        ({"resize": "quick"}, "resize is 'quick'"),
        ({"resample": "cubic"}, "resample is 'cubic', expected one of"),
        ({"crop": (0, 8)}, "at least one pixel"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ImagePipeline((8, 8), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_rescale": False}, "rescaling"),
        ({"rescale_factor": 1.0}, "rescaling by 1.0"),
        ({"do_pad": True}, "do_pad"),
        ({"size": {"longest_edge": 9}}, "size is"),
        ({"crop_size": "big"}, "crop_size is big"),
    ],
    ids=str,
)
def test_settings_of_transformers_that_cannot_be_followed_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImagePipeline.from_transformers(settings)
