"""VLE's published classes and their files: the processor, folders of several heads, saving, models of two towers."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from tests.compat.originals import opened, prepared, settled
from tuwen import checkpoint
from tuwen.compat.vle import (
    VLEConfig,
    VLEForITM,
    VLEForMLM,
    VLEForPBC,
    VLEForVCRQA2R,
    VLEForVQA,
    VLEModel,
    VLEProcessor,
)
from tuwen.errors import CheckpointError, UsageError

# -- the processor ---------------------------------------------------------------------------------------------------


def test_the_processor_gives_the_recorded_ids_and_pixels() -> None:
    case, expected = opened("vle/processor")
    processor = VLEProcessor.from_pretrained(case.path / "checkpoint")
    for row in expected.value("texts"):
        encoding = processor(text=row["text"])
        assert encoding["input_ids"] == row["input_ids"]
        assert encoding.token_type_ids == row["token_type_ids"]
        assert processor.tokenizer.tokenize(row["text"]) == row["tokens"]
        if "decoded" in row:
            assert processor.decode(row["input_ids"]) == row["decoded"]
            assert processor.decode(row["input_ids"], skip_special_tokens=True) == row["decoded_skip_special"]
    for row in expected.value("pairs"):
        encoding = processor(text=row["pair"][0], text_pair=row["pair"][1])
        assert {name: encoding[name] for name in row if name != "pair"} == {
            name: value for name, value in row.items() if name != "pair"
        }
        assert processor(text=[row["pair"]])["input_ids"] == [row["input_ids"]]
    cut = processor(text=case.texts, padding="max_length", truncation=True, max_length=12)
    expected.equal("truncated", dict(cut))
    whole = [len(processor(text=text, padding="max_length", max_length=12)["input_ids"]) for text in case.texts]
    expected.equal("padded_no_truncation_lengths", whole)
    for path in case.images:
        pixels = processor(images=Image.open(path), return_tensors="pt")["pixel_values"]
        expected.close(f"pixel_values.{path.name}", pixels[0])
    kept = {
        "images_only": [*processor(images=Image.open(case.images[0]))],
        "text_only": [*processor(text="a")],
        "both": [*processor(text="a", images=Image.open(case.images[0]))],
    }
    expected.equal("keys", kept)
    expected.equal("model_input_names", list(processor.model_input_names))
    special = expected.value("special_ids")
    assert {name: getattr(processor.tokenizer, f"{name}_token_id") for name in special} == special
    assert len(processor.tokenizer) == expected.value("len")
    settled(expected)


def test_a_processor_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    case, _ = opened("vle/vqa_base")
    processor = VLEProcessor.from_pretrained(case.path / "checkpoint")
    processor.save_pretrained(tmp_path / "copied")
    processor.source = None  # as of a processor that did not come from files
    processor.save_pretrained(tmp_path / "written")
    for name in ("copied", "written"):
        again = VLEProcessor.from_pretrained(tmp_path / name)
        assert again(text=case.texts)["input_ids"] == processor(text=case.texts)["input_ids"]
        assert again.image_processor.pipeline == processor.image_processor.pipeline
    assert (tmp_path / "copied" / "spm.model").is_file()


def test_rows_of_different_lengths_make_no_tensor_without_padding() -> None:
    case, _ = opened("vle/vqa_base")
    processor = VLEProcessor.from_pretrained(case.path / "checkpoint")
    with pytest.raises(UsageError, match="padding=True"):
        processor(text=case.texts, return_tensors="pt")
    with pytest.raises(UsageError, match="neither text nor images"):
        processor()
    with pytest.raises(UsageError, match="max_length"):
        processor(text=case.texts, padding="max_length")
    with pytest.raises(UsageError, match="truncation"):
        processor(text=case.texts, truncation="only_second")
    moved = processor(text=case.texts, images=case.images, padding=True, return_tensors="pt").to("cpu", torch.float64)
    assert moved.pixel_values.dtype == torch.float64
    assert moved.input_ids.dtype == torch.int64


# -- files -----------------------------------------------------------------------------------------------------------

HEADS: dict[str, Any] = {"VLEForITM": VLEForITM, "VLEForPBC": VLEForPBC, "VLEForMLM": VLEForMLM, "VLEModel": VLEModel}


@pytest.mark.parametrize("name", HEADS)
def test_a_file_with_several_heads_opens_for_each_of_them(name: str) -> None:
    case, expected = opened("vle/pretrain_checkpoint")
    model = HEADS[name].from_pretrained(case.path / "checkpoint")
    with torch.no_grad():
        expected.close(name, model(**prepared(case))[0])
    published = checkpoint.read(case.path / "checkpoint" / "pytorch_model.bin").tensors
    own = model.state_dict()
    prefix = "" if name == "VLEModel" else "vle."
    body = {key.removeprefix("vle.") for key in published if key.startswith("vle.") and "position_ids" not in key}
    assert {key.removeprefix(prefix) for key in own if key.startswith((prefix, *HEADS[name].HEADS))} == {
        key.removeprefix(prefix) for key in own
    }
    assert {prefix + key for key in body} <= own.keys()
    for key, tensor in own.items():
        assert torch.equal(tensor, published[key if prefix else f"vle.{key}"].float()), key
    settled(expected)


def test_a_head_that_the_file_lacks_starts_new_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    case, expected = opened("vle/pretrain_checkpoint")
    with caplog.at_level(logging.WARNING):
        model = VLEForVQA.from_pretrained(case.path / "checkpoint", num_labels=7)
    for name in expected.value("vqa_head_new"):
        assert name in caplog.text
    assert model.num_vqa_labels == 7
    body = model.fused("all", *(prepared(case)[name] for name in ("input_ids", "pixel_values", "attention_mask")))
    assert body.pooled is not None
    expected.close("VLEForVQA.pooler_output", body.pooled)
    settled(expected)


def test_the_head_for_answers_is_not_taken_for_that_of_reasons(caplog: pytest.LogCaptureFixture) -> None:
    case, _ = opened("vle/vcr_q2a")
    with caplog.at_level(logging.WARNING):
        model = VLEForVCRQA2R.from_pretrained(case.path / "checkpoint")
    assert "vcr_qa2r_logit.0.weight" in caplog.text
    assert next(name for name in model.state_dict() if not name.startswith("vle.")) == "vcr_qa2r_logit.0.weight"


@pytest.mark.parametrize("safe", [True, False])
def test_a_model_saved_and_loaded_is_the_same(tmp_path: Path, safe: bool) -> None:
    case, _ = opened("vle/vqa_base")
    model = VLEForVQA.from_pretrained(case.path / "checkpoint")
    (tmp_path / "model.safetensors").write_text("of an earlier model")
    model.save_pretrained(tmp_path, safe_serialization=safe)
    again = VLEForVQA.from_pretrained(tmp_path)
    assert again.config == model.config
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert len([path for path in tmp_path.iterdir() if "model" in path.name]) == 1


def test_a_state_dict_keeps_its_published_names_inside_another_module() -> None:
    case, _ = opened("vle/vqa_base")
    model = VLEForVQA.from_pretrained(case.path / "checkpoint")
    published = checkpoint.read(case.path / "checkpoint" / "pytorch_model.bin").tensors
    outer = torch.nn.ModuleDict({"model": model})
    tensors = outer.state_dict()
    assert {name.removeprefix("model.") for name in tensors} == model.state_dict().keys() == set(published)
    fresh = VLEForVQA(model.config)
    torch.nn.ModuleDict({"model": fresh}).load_state_dict(tensors)
    assert all(torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert {name for name, _ in model.named_parameters()} <= set(published)
    assert {id(parameter) for parameter in model.parameters()} == {id(p) for p in model.towers.parameters()}
    with pytest.raises(RuntimeError, match=r"have no place: unheard\.of"):
        fresh.load_state_dict({**model.state_dict(), "unheard.of": torch.zeros(1)})


def test_a_model_opens_at_another_picture_size() -> None:
    case, expected = opened("vle/vqa_base")
    model = VLEForVQA.from_pretrained(case.path / "checkpoint", image_size=48)
    assert model.config.vision_config.image_size == 48
    inputs = prepared(case)
    inputs["pixel_values"] = torch.nn.functional.interpolate(inputs["pixel_values"], (48, 48))
    assert model(**inputs).logits.shape == expected.tensor("logits").shape


def test_other_models_and_sizes_are_refused(tmp_path: Path) -> None:
    case, _ = opened("vle/vqa_base")
    other, _ = opened("bridgetower/hf_all_heads")
    with pytest.raises(CheckpointError, match="needs vle"):
        VLEModel.from_pretrained(other.path / "checkpoint")
    with pytest.raises(CheckpointError, match="of another shape"):
        VLEForVQA.from_pretrained(case.path / "checkpoint", num_token_types=83)


# -- from two towers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vision", ["clip_full", "clip_vision"])
def test_two_towers_keep_their_weights_and_the_rest_is_new(
    vision: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case, expected = opened("vle/towers")
    settings = case.settings["variants"][0]["kwargs"]
    with caplog.at_level(logging.WARNING):
        model = VLEModel.from_vision_text_pretrained(str(case.path / vision), str(case.path / "text"), **settings)
    assert "random numbers" in caplog.text
    ids, mask = expected.tensor("input_ids"), expected.tensor("attention_mask")
    with torch.no_grad():
        expected.close("clip_full.image_features", model.get_image_features(expected.tensor("pixel_values")))
        expected.close("clip_full.text_features", model.get_text_features(ids, mask))
    settled(expected)
    assert model.config.hidden_size == settings["hidden_size"]
    assert model.towers.types.weight.std() < 0.04  # new parts start small, as published
    assert model.state_dict()["cross_modal_text_layers.0.output.LayerNorm.weight"].eq(1).all()
    model.save_pretrained(tmp_path)
    again = VLEModel.from_pretrained(tmp_path)
    assert torch.equal(again.get_text_features(ids, mask), model.get_text_features(ids, mask))


def test_the_first_blocks_of_the_picture_tower_can_be_kept_alone() -> None:
    case, _ = opened("vle/towers")
    sizes: dict[str, Any] = case.settings["variants"][0]["kwargs"]
    towers = str(case.path / "clip_full"), str(case.path / "text")
    whole = VLEModel.from_vision_text_pretrained(*towers, **sizes)
    count = whole.config.vision_config.num_hidden_layers
    part = VLEModel.from_vision_text_pretrained(*towers, vision_num_hidden_layers=count - 1, **sizes)
    assert part.config.vision_config.num_hidden_layers == count - 1
    assert torch.equal(part.towers.image.norm_out.weight, whole.towers.image.norm_out.weight)
    assert len(part.state_dict()) == len(whole.state_dict()) - 16
    with pytest.raises(UsageError, match="picture tower has"):
        VLEModel.from_vision_text_pretrained(*towers, vision_num_hidden_layers=count + 1, **sizes)
    with pytest.raises(CheckpointError, match="no tower for VLE"):
        VLEModel.from_vision_text_pretrained(towers[1], towers[1], **sizes)
    with pytest.raises(UsageError, match="a tower is missing"):
        VLEModel.from_vision_text_pretrained(towers[0])


def test_a_configuration_says_what_its_file_says(tmp_path: Path) -> None:
    case, _ = opened("vle/vqa_base")
    path = case.path / "checkpoint" / "config.json"
    config = VLEConfig.from_pretrained(path.parent)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert config.hidden_size == told["hidden_size"]
    assert config.vision_config.image_size == told["vision_config"]["image_size"]
    assert config.id2label[12] == "don't know"
    assert config.label2id == told["label2id"]
    config.save_pretrained(tmp_path)
    assert VLEConfig.from_pretrained(tmp_path) == config
    assert VLEConfig.from_pretrained(tmp_path, num_labels=3).num_labels == 3
    with pytest.raises(AttributeError, match="no setting 'nothing'"):
        _ = config.nothing
    with pytest.raises(UsageError, match="vision_model and text_model"):
        VLEModel()


def test_towers_may_be_modules_of_transformers() -> None:
    case, expected = opened("vle/towers")
    vision = transformers.CLIPVisionModel.from_pretrained(case.path / "clip_vision")
    text = transformers.DebertaV2Model.from_pretrained(case.path / "text")
    sizes: dict[str, Any] = case.settings["variants"][0]["kwargs"]
    config = VLEConfig(text.config, vision.config, id2label={0: "no", 1: "yes", 2: "2"}, **sizes)
    model = VLEForVQA(config, vision, text).eval()
    assert model.num_vqa_labels == 3
    inputs = {name: expected.tensor(name) for name in ("input_ids", "attention_mask", "pixel_values")}
    assert model(**inputs).logits.shape == (2, 3)
    body = VLEModel.from_vision_text_pretrained(vision_model=vision, text_model=text, **sizes)
    with torch.no_grad():
        expected.close("clip_full.image_features", body.get_image_features(inputs["pixel_values"]))
        expected.close("clip_full.text_features", body.get_text_features(inputs["input_ids"], inputs["attention_mask"]))
    settled(expected)


def test_positions_are_resized_as_recorded() -> None:
    case, expected = opened("vle/pos_resize")
    for size in case.settings["new_sizes"]:
        model = VLEForVQA.from_pretrained(case.path / "checkpoint", image_size=size)
        table = model.state_dict()["vle.vision_model.vision_model.embeddings.position_embedding.weight"]
        expected.close(f"{size}.position_embedding", table)
        ids = expected.tensor(f"{size}.input_ids")
        with torch.no_grad():
            output = model(ids, expected.tensor(f"{size}.pixel_values"), torch.ones_like(ids))
        expected.close(f"{size}.logits", output.logits)
    settled(expected)
