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
from tuwen.processing.image import CLIP_MEAN, CLIP_STD, MODES, ImagePipeline

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


BRIDGETOWER: list[dict[str, Any]] = [
    {"size": {"shortest_edge": 32}, "crop_size": {"shortest_edge": 32}, "size_divisor": 8},
    {"size": {"shortest_edge": 36}, "crop_size": {"shortest_edge": 43}, "size_divisor": 32},
    {"size": {"shortest_edge": 40}, "size_divisor": 16, "do_center_crop": False},
    {"size": {"shortest_edge": 64}, "crop_size": {"shortest_edge": 21}, "size_divisor": 7, "resample": 2},
    {"do_resize": False, "crop_size": {"shortest_edge": 50}, "do_normalize": False},
]


@pytest.mark.skipif(not PILLOW_RESIZES_ALIKE, reason="this Pillow resizes in another order")
@pytest.mark.parametrize("settings", BRIDGETOWER, ids=str)
def test_pixels_equal_transformers_bridgetower(settings: dict[str, Any]) -> None:
    from transformers.models.bridgetower.image_processing_pil_bridgetower import BridgeTowerImageProcessorPil

    theirs, pipeline = BridgeTowerImageProcessorPil(**settings), ImagePipeline.from_bridgetower(settings)
    for width, height in [(37, 61), (61, 37), (40, 40), (50, 41)]:
        picture = Image.fromarray(noise(width, height))
        expected = theirs(picture, return_tensors="pt")["pixel_values"][0]
        assert torch.equal(prepared(pipeline, encoded(picture, "PNG")), expected), (width, height)


@pytest.mark.parametrize("settings", [{}, {"size": {"shortest_edge": 33}, "crop_size": {"height": 40, "width": 21}}])
def test_pixels_equal_transformers_clip(settings: dict[str, Any]) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    theirs, pipeline = CLIPImageProcessorPil(**settings), ImagePipeline.from_clip(settings)
    for width, height in [(37, 61), (64, 24), (40, 40)]:  # none for which versions of Pillow disagree
        picture = Image.fromarray(noise(width, height))
        expected = theirs(picture, return_tensors="pt")["pixel_values"][0]
        assert torch.equal(prepared(pipeline, encoded(picture, "PNG")), expected), (width, height)


def test_transparency_is_dropped_or_put_on_white_or_weighs_the_colours() -> None:
    clear = noise(8, 8, 4)
    clear[..., :3], clear[:, :4, :3], clear[..., 3] = 200, 40, 255
    clear[:, :4, 3] = 0  # dark on the left, which nobody sees, and bright on the right
    levels = {rgb: int(ImagePipeline((1, 1), rgb=rgb).pixels(Image.fromarray(clear))[0, 0, 0]) for rgb in MODES}
    assert levels == pytest.approx({"opaque": 120, "opencv": 120, "before": 227.5, "after": 200, "alpha": 200}, abs=1)


def test_with_alpha_every_transparent_mode_is_resized_as_rgba() -> None:
    pipeline = ImagePipeline((24, 24), rgb="alpha", width_first=True)
    for mode, content in in_every_mode(37, 61).items():
        with Image.open(io.BytesIO(content)) as picture, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about transparency in palettes
            clear = picture.convert("RGBA").convert("RGBa").resize((24, 61), Image.Resampling.BICUBIC)
        resized = clear.resize((24, 24), Image.Resampling.BICUBIC).convert("RGBA").convert("RGB")
        assert np.array_equal(pipeline.pixels(content), np.asarray(resized)), mode


def test_every_mode_becomes_rgb_first_where_published_processors_take_rgb_only() -> None:
    pipeline = ImagePipeline.from_bridgetower({"size": 32, "size_divisor": 8})
    for mode, content in in_every_mode(37, 61).items():
        with Image.open(io.BytesIO(content)) as picture, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = pipeline.pixels(np.array(picture.convert("RGB")))
        assert np.array_equal(pipeline.pixels(content), expected), mode


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 400), (400, 1), (3, 50), (50, 3), (3, 3)])
def test_thin_pictures_are_what_they_are(width: int, height: int) -> None:
    array = noise(width, height)
    for pipeline in (
        ImagePipeline.from_bridgetower({"size": 32, "size_divisor": 8}),
        ImagePipeline.from_clip({"size": 24, "crop_size": 24}),
        ImagePipeline.transform("clip", 24),
        ImagePipeline.transform("pixelbert", 64),
    ):
        assert np.array_equal(pipeline.pixels(array), pipeline.pixels(Image.fromarray(array)))


def test_no_edge_is_cut_down_to_nothing() -> None:
    pipeline = ImagePipeline(288, divisor=32)
    assert pipeline.pixels(noise(640, 2)).shape == (32, 448, 3)
    assert pipeline.pixels(noise(2, 640)).shape == (448, 32, 3)
    assert ImagePipeline(8, divisor=32).pixels(noise(20, 20)).shape == (32, 32, 3)


@pytest.mark.parametrize("resize", ["exact", "fast"])
def test_a_picture_that_would_become_absurdly_long_is_refused_by_name(resize: str) -> None:
    pipeline = ImagePipeline(224, crop=(224, 224), resize=resize)
    with pytest.raises(InputError, match=r"banner is 1 x 9000 pixels, .* that is 224 x 2016000, and at most"):
        pipeline.pixels(noise(9000, 1), name="banner")


def test_the_middle_is_rounded_as_the_published_pipeline_does() -> None:
    rows = np.repeat(np.arange(7, dtype=np.uint8)[:, None, None], 3, axis=2)  # (7, 1, 3): the number of each row
    for offset, first, padded in (("floor", 1, 2), ("round", 2, 1), ("ceil", 2, 1)):
        cropped = ImagePipeline(None, crop=(4, 1), crop_offset=offset).pixels(rows)
        assert cropped[0, 0, 0] == first  # 1.5 rows above the middle
        larger = ImagePipeline(None, crop=(10, 1), crop_offset=offset).pixels(rows + 1)
        assert np.flatnonzero(larger[:, 0, 0])[0] == padded


def test_pictures_of_another_size_keep_what_the_settings_mean() -> None:
    assert ImagePipeline(256, crop=(224, 224)).at_size(112) == ImagePipeline(128, crop=(112, 112))
    assert ImagePipeline((32, 32)).at_size(48) == ImagePipeline((48, 48))
    large = ImagePipeline.from_bridgetower({"size": 294})
    assert large.at_size(384) == ImagePipeline.from_bridgetower({"size": 384})
    assert large.uncropped() == ImagePipeline.from_bridgetower({"size": 294, "do_center_crop": False})


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


def test_pixels_that_are_floats_already_are_not_divided_again() -> None:
    pipeline = ImagePipeline.brivl(16)
    pixels = pipeline.pixels(noise(16, 16, seed=3))  # nothing is resized
    assert pixels.dtype == np.float32 and pixels.shape == (16, 16, 3) and 0 <= pixels.min() < pixels.max() <= 1
    floats, kept = torch.from_numpy(pixels)[None], pixels.copy()
    whole = torch.from_numpy(noise(16, 16, seed=3))[None]
    assert torch.equal(pipeline.normalise(floats), pipeline.normalise(whole))
    assert np.array_equal(pixels, kept)
    with pytest.raises(UsageError, match=r"pixels are torch\.float32"):
        ImagePipeline.ernie(16).normalise(floats)


@pytest.mark.parametrize(
    "pipeline", [ImagePipeline.ernie(24), ImagePipeline.ernie(24, "square"), ImagePipeline.brivl(24)]
)
def test_resampling_of_arrays_is_the_same_by_the_fast_road(
    pipeline: ImagePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = smooth(97, 61)
    contents = [encoded(picture, "JPEG"), encoded(picture.convert("L"), "JPEG"), encoded(picture, "JPEG", exif=turned)]
    contents += in_every_mode(37, 61).values()
    pixels = [pipeline.pixels(content) for content in contents]
    monkeypatch.setattr("tuwen.processing.decode.simplejpeg", None)
    for content, found in zip(contents, pixels, strict=True):
        assert found.shape == (24, 24, 3)
        assert np.array_equal(pipeline.pixels(content), found)


def test_the_research_release_turns_pictures_as_their_exif_says_and_the_others_do_not() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways, plain = (encoded(smooth(40, 60), "PNG", **options) for options in ({"exif": exif}, {}))
    same = {
        name: np.array_equal(pipeline.pixels(sideways), pipeline.pixels(plain))
        for name, pipeline in {
            "release": ImagePipeline.ernie(24),
            "port": ImagePipeline.from_paddlenlp({"size": 24, "crop_size": 24}),
            "example": ImagePipeline.ernie(24, "finetuned"),
            "brivl": ImagePipeline.brivl(24),
        }.items()
    }
    assert same == {"release": False, "port": True, "example": True, "brivl": True}


def test_brivl_takes_a_truncated_file_and_ernie_refuses_it_by_name() -> None:
    content = encoded(smooth(97, 61), "JPEG")[:-300]
    assert ImagePipeline.brivl(24).pixels(content).shape == (24, 24, 3)
    with pytest.raises(InputError, match="row 7 is damaged or cut short"):
        ImagePipeline.ernie(24).pixels(content, "row 7")


def test_a_square_that_comes_out_wider_loses_its_first_column() -> None:
    pipeline = ImagePipeline.ernie(24)
    assert pipeline.resized_size(50, 50) == (24, 25)
    assert pipeline.crop_start(25, 24) == 1 and pipeline.crop_start(26, 24) == 1 and pipeline.crop_start(27, 24) == 2
    assert np.array_equal(pipeline.pixels(noise(24, 30)), noise(24, 30)[3:27])  # the shorter edge is right already


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
        ImagePipeline.transform("clip", 24),
        ImagePipeline.from_bridgetower({}),
        ImagePipeline.from_clip({}),
        ImagePipeline.ernie(24),
        ImagePipeline.brivl(24),
    ):
        assert ImagePipeline.from_dict(pipeline.to_dict()) == pipeline
    with pytest.raises(InputError, match=r"unknown \['colour'\]"):
        ImagePipeline.from_dict({"size": [8, 8], "colour": "blue"})


def test_settings_of_the_first_release_are_read_and_written_as_they_were() -> None:
    first = ["size", "crop", "mean", "std", "rgb", "resample", "resize", "max_pixels"]
    assert list(ImagePipeline((8, 8)).to_dict()) == first
    assert list(ImagePipeline(8, divisor=4).to_dict()) == [*first, "divisor"]
    described = {"size": [8, 8], "crop": None, "rgb": "before", "resize": "exact"}
    assert ImagePipeline.from_dict(described) == ImagePipeline((8, 8), rgb="before")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rgb": "never"}, "rgb is 'never'"),
        ({"resize": "quick"}, "resize is 'quick'"),
        ({"resample": "cubic"}, "resample is 'cubic', expected one of"),
        ({"crop": (0, 8)}, "at least one pixel"),
        ({"crop_offset": "left"}, "crop_offset is 'left'"),
        ({"longer": "ceil"}, "longer is 'ceil'"),
        ({"resample": "opencv"}, "needs rgb before it, not rgb 'after'"),
        ({"resample": "tensor", "rgb": "alpha"}, "needs rgb before it"),
        ({"divisor": 8}, "one number as size"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ImagePipeline((8, 8), **settings)
