"""What files of transformers and names of transforms mean."""

from __future__ import annotations

from typing import Any

import pytest

from tuwen.errors import InputError, UsageError
from tuwen.processing.image import ImagePipeline

READERS = {
    "chinese_clip": ImagePipeline.from_transformers,
    "bridgetower": ImagePipeline.from_bridgetower,
    "clip": ImagePipeline.from_clip,
    "paddlenlp": ImagePipeline.from_paddlenlp,
}


def test_bridgetower_without_a_crop_size_crops_to_its_size() -> None:
    published = {"max_text_len": 50, "size": 294, "tokenizer": "roberta-large", "vocab_size": 50265}
    for settings in (published, {"size": {"shortest_edge": 294}, "crop_size": None}):
        pipeline = ImagePipeline.from_bridgetower(settings)
        assert (pipeline.size, pipeline.divisor, pipeline.crop) == (294, 32, (294, 294))
    assert ImagePipeline.from_bridgetower({}).crop == (288, 288)
    assert ImagePipeline.from_bridgetower({"size": 64, "crop_size": 48}).crop == (48, 48)
    assert ImagePipeline.from_bridgetower({"size": 64, "do_center_crop": False}).crop is None


@pytest.mark.parametrize("kind", READERS)
def test_settings_may_lie_within_those_of_the_whole_processor(kind: str) -> None:
    settings = {"size": {"shortest_edge": 40}, "crop_size": 32}
    nested = {"image_processor": settings, "processor_class": "BridgeTowerProcessor"}
    assert READERS[kind](nested) == READERS[kind](settings)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("chinese_clip", {"size": {"height": 24, "width": 32}, "do_center_crop": False}),
        ("bridgetower", {}),
        ("bridgetower", {"size": 64, "size_divisor": 8, "do_center_crop": False, "do_pad": False}),
        ("bridgetower", {"do_resize": False, "crop_size": 48}),
        ("paddlenlp", {}),
        ("paddlenlp", {"size": 40, "crop_size": 32, "image_mean": None}),
        ("clip", {"size": 40, "crop_size": {"height": 32, "width": 24}, "resample": 2, "image_mean": 0.5}),
    ],
    ids=str,
)
def test_what_is_written_is_read_again(kind: str, settings: dict[str, Any]) -> None:
    pipeline = READERS[kind](settings)
    assert READERS[kind](pipeline.to_transformers(kind)) == pipeline


@pytest.mark.parametrize(
    ("pipeline", "kind", "message"),
    [
        (ImagePipeline((8, 8)), "bridgetower", "cannot resize to"),
        (ImagePipeline(8, divisor=4, crop=(4, 8)), "bridgetower", "squares only"),
        (ImagePipeline(8, divisor=4), "clip", "cannot round"),
        (ImagePipeline.ernie(8), "paddlenlp", "cannot resize as 'opencv'"),
        (ImagePipeline.brivl(8), "chinese_clip", "cannot resize as 'tensor'"),
        (ImagePipeline(8), "vilt", "kind is 'vilt', expected one of"),
    ],
    ids=str,
)
def test_what_a_processor_of_transformers_cannot_do_is_not_written(
    pipeline: ImagePipeline, kind: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pipeline.to_transformers(kind)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("chinese_clip", {"do_rescale": False}, "rescaling"),
        ("chinese_clip", {"rescale_factor": 1.0}, "rescaling by 1.0"),
        ("chinese_clip", {"do_pad": True}, "do_pad"),
        ("chinese_clip", {"size": {"longest_edge": 9}}, "size is"),
        ("chinese_clip", {"crop_size": "big"}, "crop_size is big"),
        ("chinese_clip", {"resample": 17}, "resample is 17"),
        ("clip", {"do_pad": True}, "do_pad"),
        ("bridgetower", {"size": {"height": 9, "width": 9}}, "size is .* expected a number or a shortest_edge"),
        ("bridgetower", {"crop_size": {"longest_edge": 9}}, "crop_size is"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_followed_are_refused(kind: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        READERS[kind](settings)


def test_paddlenlp_normalises_with_imagenets_numbers_unless_told_otherwise() -> None:
    pipeline = ImagePipeline.from_paddlenlp({"do_convert_rgb": True})
    assert (pipeline.size, pipeline.crop, pipeline.rgb, pipeline.resample) == (224, (224, 224), "opaque", "bicubic")
    assert pipeline.mean == (0.485, 0.456, 0.406) == ImagePipeline.ernie(224).mean == ImagePipeline.brivl(380).mean
    assert ImagePipeline.from_paddlenlp({"image_mean": [0.1, 0.2, 0.3]}).mean == (0.1, 0.2, 0.3)


def test_an_unknown_rule_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="'resize' does not exist, expected one of crop, square, finetuned"):
        ImagePipeline.ernie(224, "resize")


def test_an_unknown_transform_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="'clip_pure' does not exist, expected one of clip, blip"):
        ImagePipeline.transform("clip_pure", 24)
