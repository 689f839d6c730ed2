"""The published snippets of BridgeTower with their import lines changed, and what else scripts rely on."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.compat.originals import opened, settled
from tests.golden.case import Case
from tuwen import checkpoint
from tuwen.compat.bridgetower import (
    BridgeTowerConfig,
    BridgeTowerForContrastiveLearning,
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForMaskedLM,
    BridgeTowerImageProcessor,
    BridgeTowerModel,
    BridgeTowerProcessor,
    BridgeTowerTextConfig,
    BridgeTowerVisionConfig,
)
from tuwen.compat.preparing import open_words
from tuwen.errors import CheckpointError, InputError, UsageError

HEADS = "bridgetower/hf_all_heads"


def pictures(case: Case) -> list[Any]:
    return [Image.open(path).convert("RGB") for path in case.images]


def encoded(case: Case, count: int = 3) -> Any:
    """The case's batch."""
    processor = BridgeTowerProcessor.from_pretrained(case.path / "checkpoint")
    return processor(pictures(case)[:count], case.texts[:count], padding=True, return_tensors="pt")


# -- the snippets ----------------------------------------------------------------------------------------------------


def test_one_picture_and_one_text_give_three_vectors() -> None:
    case, expected = opened(HEADS)
    name = str(case.path / "checkpoint")
    image, text = pictures(case)[0], case.texts[0]

    processor = BridgeTowerProcessor.from_pretrained(name)
    model = BridgeTowerForContrastiveLearning.from_pretrained(name)

    encoding = processor(image, text, return_tensors="pt")
    outputs = model(**encoding)

    assert outputs.loss is None
    assert "loss" not in outputs
    assert outputs.logits.shape == (1, 3, 24)
    assert outputs.text_embeds.shape == outputs.image_embeds.shape == outputs.cross_embeds.shape == (1, 24)
    for part in ("input_ids", "attention_mask", "pixel_values", "pixel_mask"):
        expected.close(f"single.{part}", encoding[part])
    assert [*encoding] == list(processor.model_input_names)
    settled(expected)


def test_the_contrastive_loss_is_as_recorded_for_pairs_and_swapped_pairs() -> None:
    case, expected = opened(HEADS)
    images, texts = pictures(case)[:3], case.texts[:3]
    processor = BridgeTowerProcessor.from_pretrained(case.path / "checkpoint")
    model = BridgeTowerForContrastiveLearning.from_pretrained(case.path / "checkpoint")

    inputs = processor(images, texts, padding=True, return_tensors="pt")
    outputs = model(**inputs, return_loss=True)
    inputs = processor(images, texts[::-1], padding=True, return_tensors="pt")
    loss_swapped = model(**inputs, return_loss=True).loss

    for part in ("loss", "logits", "text_embeds", "image_embeds", "cross_embeds"):
        expected.close(f"itc.{part}", outputs[part])
    expected.close("itc.swapped_loss", loss_swapped)
    expected.close("itc.logit_scale_exp", model.logit_scale.exp())
    check_gradients(expected, model, outputs.loss, "grad.itc.")
    settled(expected)


def test_every_text_is_matched_with_every_picture_as_recorded() -> None:
    case, expected = opened(HEADS)
    processor = BridgeTowerProcessor.from_pretrained(case.path / "checkpoint")
    model = BridgeTowerForImageAndTextRetrieval.from_pretrained(case.path / "checkpoint")
    rows = []
    for image in pictures(case):
        scores = {}
        with torch.no_grad():
            for text in case.texts:
                encoding = processor(image, text, return_tensors="pt")
                outputs = model(**encoding)
                scores[text] = outputs.logits[0]
        rows.append(torch.stack(list(scores.values())))
    expected.close("itm.matrix", torch.stack(rows, dim=1))
    outputs = model(**encoded(case), labels=expected.tensor("itm.labels"))
    expected.close("itm.logits", outputs.logits)
    expected.close("itm.loss", outputs.loss)
    check_gradients(expected, model, outputs.loss, "grad.itm.")
    settled(expected)


def check_gradients(expected: Any, model: Any, loss: torch.Tensor, start: str) -> None:
    loss.backward()
    norms = {name: parameter.grad for name, parameter in model.named_parameters()}
    for key in expected.keys(start):
        name = key.removeprefix(start)
        stacked = "self.query" in name  # lies in one parameter with keys and values
        gradient = norms[name].tensor_split(3)[0] if stacked else norms[name]
        expected.compare(key, gradient.norm(), expected.tensor(key), expected.atol, expected.tolerance["grad_rtol"])


@pytest.mark.parametrize("name", [HEADS, "bridgetower/hf_published_layout"])
def test_masked_words_are_filled_and_decoded_as_recorded(name: str) -> None:
    case, expected = opened(name)
    processor = BridgeTowerProcessor.from_pretrained(case.path / "checkpoint")
    model = BridgeTowerForMaskedLM.from_pretrained(case.path / "checkpoint")
    for number, row in enumerate(expected.value("mlm_decode")):
        image = Image.open(case.path / "images" / row["image"]).convert("RGB")

        encoding = processor(image, row["text"], return_tensors="pt")
        with torch.no_grad():
            outputs = model(**encoding)
        results = processor.decode(outputs.logits.argmax(dim=-1).squeeze(0).tolist())

        assert outputs.logits.argmax(dim=-1)[0].tolist() == row["argmax_ids"]
        assert results == row["decode"]
        if "decode_clean" in row:
            assert processor.decode(row["argmax_ids"], clean_up_tokenization_spaces=True) == row["decode_clean"]
        if f"mlm.logits.{number}" in expected:
            expected.close(f"mlm.logits.{number}", outputs.logits)
            expected.close(f"pixel_values.{number}", encoding.pixel_values)
            expected.close(f"pixel_mask.{number}", encoding.pixel_mask)
    settled(expected)


def test_the_loss_of_masked_words_is_as_recorded() -> None:
    case, expected = opened(HEADS)
    processor = BridgeTowerProcessor.from_pretrained(case.path / "checkpoint")
    model = BridgeTowerForMaskedLM.from_pretrained(case.path / "checkpoint")
    encoding = processor(pictures(case)[:3], case.settings["mask_texts"], padding=True, return_tensors="pt")
    outputs = model(**encoding, labels=expected.tensor("mlm.labels"))
    expected.close("mlm.logits", outputs.logits)
    expected.close("mlm.loss", outputs.loss)
    check_gradients(expected, model, outputs.loss, "grad.mlm.")
    settled(expected)


# -- the bare model --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bridgetower/hf_link_scaled_add", "bridgetower/hf_link_interpolate", HEADS])
def test_all_states_are_as_recorded(name: str) -> None:
    case, expected = opened(name)
    start = "batch." if name == HEADS else ""
    model = BridgeTowerModel.from_pretrained(case.path / "checkpoint")
    parts = ("input_ids", "attention_mask", "pixel_values")
    inputs = {part: expected.tensor(start + part) for part in parts}
    with torch.no_grad():
        plain = model(**inputs)
        outputs = model(**inputs, output_hidden_states=True, output_attentions=True)
    assert [*plain] == ["text_features", "image_features", "pooler_output"]
    for part in plain:
        expected.close(start + part, plain[part])
        expected.close(start + part, outputs[part], "with states")
    texts, images, pairs = outputs.hidden_states
    assert len(texts) == len(images) == model.config.text_config.num_hidden_layers + 1
    for kind, states in (("text", texts), ("image", images)):  # of pictures: tokens first, before the last norm
        for number, state in enumerate(states):
            expected.close(f"hidden.{kind}.{number}", state)
    for number, (text, image) in enumerate(pairs):
        expected.close(f"hidden.cross.{number}.text", text)
        expected.close(f"hidden.cross.{number}.image", image)
    assert len(outputs.attentions) == model.config.num_hidden_layers
    for number, (text, image) in enumerate(outputs.attentions):
        if f"self_attention.{number}.text" in expected:
            expected.close(f"self_attention.{number}.text", text)
            expected.close(f"self_attention.{number}.image", image)
    settled(expected)


def test_embedded_pictures_and_texts_without_a_mask_are_taken() -> None:
    case, expected = opened(HEADS)
    model = BridgeTowerModel.from_pretrained(case.path / "checkpoint")
    inputs = encoded(case)
    embedded = {**inputs, "pixel_values": None, "image_embeds": expected.tensor("batch.image_embeds")}
    unmasked = {name: part for name, part in inputs.items() if name != "attention_mask"}
    with torch.no_grad():
        expected.close("batch.from_image_embeds.pooler_output", model(**embedded).pooler_output)
        expected.close("batch.no_attention_mask.pooler_output", model(**unmasked).pooler_output)
        first = model(**inputs)
        zeros = torch.zeros_like(inputs["pixel_mask"])
        other = model(**{**inputs, "pixel_mask": zeros, "token_type_ids": zeros[:, 0], "image_token_type_idx": 0})
    assert torch.equal(first.pooler_output, other.pooler_output)  # neither mask nor types mean anything, as published
    as_tuple = model(**inputs, return_dict=False)
    assert isinstance(as_tuple, tuple)
    torch.testing.assert_close(as_tuple[2], first.pooler_output)
    settled(expected)


def test_pictures_of_several_sizes_need_interpolated_positions() -> None:
    case, expected = opened("bridgetower/hf_mixed_sizes")
    folder = case.path / "checkpoint"
    processor = BridgeTowerProcessor.from_pretrained(folder)
    bare = BridgeTowerModel.from_pretrained(folder)
    model = BridgeTowerForImageAndTextRetrieval.from_pretrained(folder)
    encoding = processor(pictures(case), case.texts, padding=True, return_tensors="pt")
    for part in encoding:
        expected.close(f"batch.{part}", encoding[part])
    with torch.no_grad():
        outputs = bare(**encoding, interpolate_pos_encoding=True)
        for part in outputs:
            expected.close(f"batch.{part}", outputs[part])
        expected.close("batch.itm_logits", model(**encoding, interpolate_pos_encoding=True).logits)
        for number, (image, text) in enumerate(zip(pictures(case), case.texts, strict=True)):
            alone = processor(image, text, return_tensors="pt")
            expected.close(f"alone.{number}.itm_logits", model(**alone, interpolate_pos_encoding=True).logits)
    settled(expected)
    with pytest.raises(ValueError, match=r"Input image size \(48\*48\) doesn't match model \(32\*32\)"):
        model(**encoding)


def test_unusable_inputs_are_explained() -> None:
    case, _ = opened(HEADS)
    model = BridgeTowerModel.from_pretrained(case.path / "checkpoint")
    inputs = encoded(case)
    with pytest.raises(NotImplementedError, match="input_ids"):
        model(inputs_embeds=torch.zeros(1, 2, 64), pixel_values=inputs["pixel_values"])
    with pytest.raises(UsageError, match="input_ids are needed"):
        model(pixel_values=inputs["pixel_values"])
    with pytest.raises(UsageError, match="pixel_values or image_embeds"):
        model(inputs["input_ids"])
    with pytest.raises(UsageError, match="token type 2"):
        model(**inputs, image_token_type_idx=2)
    with pytest.raises(UsageError, match="3 texts and 1 pictures"):
        model(**{**inputs, "pixel_values": inputs["pixel_values"][:1]})
    with pytest.raises(UsageError, match="takes no head_mask"):
        model(**inputs, head_mask=None)
    with pytest.raises(InputError, match="truncation=True"):
        model(torch.ones(3, 60, dtype=torch.long), pixel_values=inputs["pixel_values"])
    with pytest.raises(AttributeError, match="no 'nothing'"):
        _ = inputs.nothing
    with pytest.raises(KeyError, match="hidden_states"):
        _ = model(**inputs)["hidden_states"]


# -- processors ------------------------------------------------------------------------------------------------------


def test_texts_become_the_recorded_ids_and_texts_again() -> None:
    case, expected = opened("bridgetower/tokenizer")
    words = open_words(case.path / "checkpoint", segments=False, longest=None)
    for row in expected.value("records"):
        assert words(row["text"])["input_ids"] == row["ids"]
        options: dict[str, Any] = {"padding": "max_length", "truncation": True, "max_length": 12}
        assert dict(words(row["text"], **options, return_special_tokens_mask=True)) == row["max12"]
        pair = words(row["text"], row["pair_with"], truncation=True, max_length=20)
        assert pair["input_ids"] == row["pair20"]
        assert words.convert_ids_to_tokens(row["ids"]) == row["tokens"]
        assert words.convert_tokens_to_ids(row["tokens"]) == row["ids"]
        assert words.decode(torch.tensor(row["ids"])) == row["decode"]
        assert words.decode(row["ids"], skip_special_tokens=True) == row["decode_raw"]
        clean = words.decode(row["ids"], skip_special_tokens=True, clean_up_tokenization_spaces=True)
        assert clean == row["decode_clean"]


def test_the_image_processor_follows_its_settings() -> None:
    case, expected = opened("bridgetower/hf_preprocess")
    processors = [BridgeTowerImageProcessor(**settings) for settings in case.settings["settings"]]
    for row in expected.value("records"):
        key = f"{row['setting']}.{row['image']}"
        if key not in expected or "mask_sum" not in row:
            continue
        encoding = processors[row["setting"]].preprocess(case.path / "images" / row["image"], return_tensors="pt")
        expected.close(key, encoding.pixel_values[0])
        assert int(encoding.pixel_mask.sum()) == row["mask_sum"]
    settled(expected)


def test_an_image_processor_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    case, _ = opened("bridgetower/hf_published_layout")
    processor = BridgeTowerImageProcessor.from_pretrained(case.path / "checkpoint")
    assert processor.pipeline.crop == (42, 42)  # no crop_size is given: the size
    processor.save_pretrained(tmp_path)
    assert BridgeTowerImageProcessor.from_pretrained(tmp_path).pipeline == processor.pipeline
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"preprocessor_config\.json or processor_config\.json"):
        BridgeTowerImageProcessor.from_pretrained(tmp_path)


def test_lists_without_tensors_and_truncation_to_what_the_model_takes() -> None:
    case, _ = opened(HEADS)
    processor = BridgeTowerProcessor.from_pretrained(case.path / "checkpoint")
    plain = processor(text="a cat")
    assert plain["input_ids"][0] == 0
    longest = BridgeTowerConfig.from_pretrained(case.path / "checkpoint").text_config.max_position_embeddings - 2
    assert len(processor(text="cat " * 100, truncation=True)["input_ids"]) == longest
    arrays = processor(pictures(case)[:2], return_tensors="np")
    assert arrays["pixel_values"].shape == (2, 3, 48, 48)
    assert processor.batch_decode([[0, 2], [0, 2]], skip_special_tokens=True) == ["", ""]


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BridgeTowerModel, BridgeTowerForContrastiveLearning, BridgeTowerForMaskedLM])
@pytest.mark.parametrize("safe", [True, False])
def test_a_model_saved_and_loaded_is_the_same(kind: Any, safe: bool, tmp_path: Path) -> None:
    case, _ = opened(HEADS)
    folder = case.path / "checkpoint"
    model = kind.from_pretrained(folder)
    model.save_pretrained(tmp_path, safe_serialization=safe)
    BridgeTowerProcessor.from_pretrained(folder).save_pretrained(tmp_path)
    published = checkpoint.read(folder / "model.safetensors").tensors
    prefix = "bridgetower." if kind is BridgeTowerModel else ""
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, published[prefix + name].float()), name
    again, processor = kind.from_pretrained(tmp_path), BridgeTowerProcessor.from_pretrained(tmp_path)
    inputs = processor(pictures(case)[:3], case.texts[:3], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(again(**inputs)[0], model(**encoded(case))[0])
    assert again.config == model.config


def test_a_head_that_the_file_lacks_starts_new_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    case, _ = opened("bridgetower/hf_published_layout")
    with caplog.at_level(logging.WARNING):
        model = BridgeTowerForContrastiveLearning.from_pretrained(case.path / "checkpoint", contrastive_hidden_size=6)
    for name in ("itc_cross_modal_head.fc.bias", "itc_text_head.fc.weight", "logit_scale"):
        assert name in caplog.text
    assert model.state_dict()["itc_text_head.fc.weight"].shape == (6, 32)


def test_a_model_of_the_original_code_is_refused_with_the_way_out() -> None:
    case, _ = opened("bridgetower/orig_pretrain")
    (file,) = case.path.rglob("*.ckpt")
    with pytest.raises(CheckpointError, match=r"in the format original.*tuwen\.load"):
        BridgeTowerForMaskedLM.from_pretrained(file)


def test_a_model_made_from_sizes_is_trained_and_half_precision_is_kept() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96}
    text = BridgeTowerTextConfig(**sizes, vocab_size=30, num_attention_heads=4, max_position_embeddings=20)
    vision = BridgeTowerVisionConfig(hidden_size=64, num_hidden_layers=2, patch_size=8, image_size=16)
    config = BridgeTowerConfig(
        text_config=text,
        vision_config=vision.to_dict(),
        hidden_size=64,
        num_hidden_layers=2,
        contrastive_hidden_size=12,
        logit_scale_init_value=1.5,
    )
    model = BridgeTowerForContrastiveLearning(config).train()
    assert model.logit_scale.item() == 1.5
    inputs = {"input_ids": torch.tensor([[0, 5, 2], [0, 7, 2]]), "pixel_values": torch.randn(2, 3, 16, 16)}
    model(**inputs, return_loss=True).loss.backward()
    unused = {"text_model.pooler.dense.weight", "text_model.pooler.dense.bias"}
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert {name.removeprefix("bridgetower.") for name in without} <= unused
    half = model.to(torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.device.type == "cpu"
    assert {tensor.dtype for tensor in half.state_dict().values()} == {torch.bfloat16}


def test_a_configuration_keeps_what_its_file_says(tmp_path: Path) -> None:
    case, _ = opened("bridgetower/hf_published_layout")
    told = json.loads((case.path / "checkpoint" / "config.json").read_text(encoding="utf-8"))
    config = BridgeTowerConfig.from_pretrained(case.path / "checkpoint")
    assert config.vision_config.image_size == told["vision_config"]["image_size"]
    assert config.to_dict()["drop_rate"] == told["drop_rate"]  # extra keys are of no use, and stay
    assert config.text_config.model_type == "bridgetower_text_model"
    config.save_pretrained(tmp_path)
    assert BridgeTowerConfig.from_pretrained(tmp_path) == config
    assert BridgeTowerConfig().text_config.vocab_size == 50265
