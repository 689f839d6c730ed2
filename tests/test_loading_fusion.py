"""Models that fuse pictures and texts, from whatever files, at other sizes and with new heads; and bad files."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import fusing
from tests.fusing import BRIDGETOWER, PRETRAINED, TEXTS, VLE_ANSWERING, VLE_PRETRAINED, pictures
from tuwen import checkpoint
from tuwen.errors import CheckpointError, InputError, TuwenError, UsageError
from tuwen.loading import load
from tuwen.model import Model

ROBERTA = PRETRAINED.parent / "roberta"
EVERY_FORM = ("bridgetower", "original", "vle", "vqa", "original vqa")


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def copied(place: Path, folder: Path) -> Path:
    """A folder that a test may change."""
    return shutil.copytree(place, folder)


def change_json(path: Path, **settings: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | settings), encoding="utf-8")


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """A folder's weights with some tensors changed, as safetensors."""
    weights = checkpoint.find_weights(folder)
    assert weights is not None
    tensors = change({name: tensor.clone() for name, tensor in checkpoint.read(weights).tensors.items()})
    weights.unlink()
    checkpoint.write_safetensors(folder / "model.safetensors", tensors)


# -- saved and loaded -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_FORM)
def test_saved_and_loaded_is_the_same_model_with_its_heads_and_answers(name: str, tmp_path: Path) -> None:
    model = fusing.opened(name, answers=list("abcdef") if name == "original vqa" else None)
    model.save(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert checkpoint.digest(loaded.module.state_dict()) == checkpoint.digest(model.module.state_dict())
    assert loaded.towers.config == model.towers.config
    assert loaded.processor.fingerprint() == model.processor.fingerprint()
    assert loaded.fingerprint == model.fingerprint
    assert (loaded.tasks, loaded.languages, loaded.variant) == (model.tasks, ("en",), model.variant)
    if "match" in model.tasks:
        assert torch.equal(loaded.match(pictures(), TEXTS), model.match(pictures(), TEXTS))
        (words,), (expected,) = (of.fill(pictures(1)[0], "a <mask>") for of in (loaded, model))
        assert [word.text for word in words] == [word.text for word in expected]
        assert [word.probability for word in words] == pytest.approx([word.probability for word in expected])
    else:
        assert loaded.answer(pictures(), "what?") == model.answer(pictures(), "what?")


@pytest.mark.parametrize("name", EVERY_FORM)
def test_a_fingerprint_is_that_of_the_model_wherever_it_lies(name: str, tmp_path: Path) -> None:
    assert fusing.opened(name).fingerprint == fusing.model(name).fingerprint
    fusing.opened(name).save(tmp_path)
    assert load(tmp_path / "model.safetensors", device="cpu").fingerprint == fusing.model(name).fingerprint


def test_a_weight_file_is_read_with_what_lies_beside_it() -> None:
    for place, file in ((BRIDGETOWER, "model.safetensors"), (VLE_ANSWERING, "pytorch_model.bin")):
        assert load(place / file, device="cpu").fingerprint == load(place, device="cpu").fingerprint


def test_an_original_checkpoint_finds_the_files_of_its_roberta_beside_it(tmp_path: Path) -> None:
    shutil.copy(PRETRAINED, tmp_path)
    for file in ROBERTA.iterdir():
        shutil.copy(file, tmp_path)
    model = load(tmp_path / PRETRAINED.name, device="cpu")
    assert model.fingerprint == fusing.model("original").fingerprint
    assert load(tmp_path, device="cpu").fingerprint == model.fingerprint


# -- pictures of other sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size"), [("bridgetower", 64), ("original", 40), ("vle", 64), ("vqa", 24)])
def test_pictures_of_another_size_are_taken_when_asked(name: str, size: int, tmp_path: Path) -> None:
    model = fusing.opened(name, image_size=size)
    images = model.processor.images(pictures(2)).pixels
    assert images.shape[2:] == (size, size)
    assert len(model.module.get_parameter("image.positions")) == 1 + (size // model.towers.config.image.patch_size) ** 2
    assert model.fingerprint != fusing.model(name).fingerprint
    model.save(tmp_path)
    again = load(tmp_path, device="cpu")
    assert again.fingerprint == model.fingerprint
    assert torch.equal(again.image_state(pictures(2)).rows, model.image_state(pictures(2)).rows)


def test_the_models_own_size_changes_nothing() -> None:
    assert fusing.opened("vle", image_size=24).fingerprint == fusing.model("vle").fingerprint


def test_pictures_of_any_size_are_scored_each_as_if_alone() -> None:
    model, images = fusing.opened("bridgetower", image_size="any"), pictures(4)
    shapes = {model.processor.images([image]).pixels.shape for image in images}
    assert len(shapes) > 1
    scores = model.match(images, TEXTS, batch_tokens=150)
    for row, image in enumerate(images):
        close(scores[row], model.match(image, TEXTS)[0])
        logits = fusing.pair_by_pair(model, "match", image, TEXTS[2])
        close(scores[row, 2], logits.softmax(0)[1])
    close(model.match(images[::-1], TEXTS), scores.flip(0))
    close(model.match(model.image_state(images), TEXTS), scores)
    assert len(set(model.image_state(images).lengths)) > 1


def test_pictures_of_any_size_are_embedded_each_as_if_alone() -> None:
    model, images = fusing.opened("bridgetower", image_size="any"), pictures(4)
    together = model.encode_image(images, batch_size=3)
    for row, image in enumerate(images):
        close(together[row], model.encode_image(image)[0])


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("vle", 4, "image_size is 4: it must be at least 8 pixels$"),
        ("bridgetower", "all", "image_size is 'all': it must be at least 8 pixels, or 'any'"),
        ("vle", "any", "image_size is 'any', but the models of this family take one size"),
    ],
)
def test_sizes_that_cannot_be_are_refused(name: str, size: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fusing.opened(name, image_size=size)


# -- new heads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "head", "held"),
    [
        ("bridgetower", "answer", "mlm_score, itm_score, itc_text_head, itc_image_head, itc_cross_modal_head"),
        ("bridgetower", "entail", "itm_score"),
        ("original", "rank", "mlm_score, itm_score"),
        ("vle", "answer", "itm_score, pbc_classifier, mlm_score"),
        ("vle", "choose", "itm_score"),
        ("vqa", "match", "vqa_classifier"),
    ],
)
def test_a_new_head_is_warned_of_with_those_that_the_file_holds(
    name: str, head: str, held: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.WARNING):
        model = fusing.opened(name, heads=(head,))
    said = [record.getMessage() for record in caplog.records if "starts from random numbers" in record.getMessage()]
    assert len(said) == 1
    assert f"holds no head for {head}, which" in said[0]
    assert held in said[0]
    assert head in model.towers.config.heads
    model.save(tmp_path)
    assert load(tmp_path, device="cpu").fingerprint == model.fingerprint


def test_new_heads_work_at_once() -> None:
    names = list("abcde")
    model = fusing.opened("vle", heads=["answer"], answers=names)
    assert {answer.text for answer in model.answer(pictures(1), "what?")[0]} == set(names)
    model = fusing.opened("vqa", heads="match")  # one name is one head
    assert model.match(pictures(2), TEXTS).isfinite().all()


def test_a_head_that_the_file_holds_is_not_new(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model = fusing.opened("bridgetower", heads=("match", "fill"))
    assert not caplog.records
    assert model.fingerprint == fusing.model("bridgetower").fingerprint


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bridgetower", r"BridgeTower has no heads \['caption'\]: it knows match, fill, contrast"),
        ("vle", r"VLE has no heads \['caption'\]: it knows match, fill, ground"),
    ],
)
def test_a_head_that_the_family_does_not_know_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fusing.opened(name, heads=("match", "caption"))


# -- files that are not right -----------------------------------------------------------------------------------------


def without(*starts: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith(starts)}


def more_types(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors | {"vle.token_type_embeddings.weight": torch.zeros(83, 24)}


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        (VLE_ANSWERING, more_types, r"types\.weight \(83, 24\) instead of \(2, 24\)"),
        (VLE_ANSWERING, without("vle.cross_modal_text_layers.1."), r"missing: fusion\.text_layers\.1\."),
        (VLE_ANSWERING, without("vqa_classifier.3.weight"), r"the file has no tensor vqa_classifier\.3\.weight"),
        (BRIDGETOWER, without("itm_score.fc.weight"), r"the file has no tensor itm_score\.fc\.weight: it is not compl"),
        (BRIDGETOWER, without("bridgetower.cross_modal_image_pooler"), r"missing: fusion\.image_pooler\.dense\.weight"),
    ],
)
def test_tensors_that_are_missing_or_of_another_shape_are_named(
    place: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], said: str, tmp_path: Path
) -> None:
    folder = copied(place, tmp_path / "model")
    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=said) as caught:
        load(folder, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "settings", "said"),
    [
        (VLE_ANSWERING, {"num_token_types": 5}, r"types\.weight \(2, 24\) instead of \(5, 24\)"),
        (VLE_ANSWERING, {"num_hidden_layers": 3}, r"missing: fusion\.text_layers\.2\."),
        (VLE_ANSWERING, {"num_attention_heads": 5}, "the config of pytorch_model.bin makes no model: width 24 cannot"),
        (VLE_ANSWERING, {"hidden_act": "swish"}, "hidden_act is 'swish', expected one of quick_gelu, gelu, relu"),
        (VLE_ANSWERING, {"id2label": {"0": "a", "2": "b"}}, "id2label names 2 answers, but not the numbers 0 to 1"),
        (VLE_ANSWERING, {"id2label": {"yes": "a"}}, "id2label of the config has a key that is no number"),
        (BRIDGETOWER, {"num_hidden_layers": 4}, "4 fusion layers need 3 layers in each tower, these have 2"),
        (BRIDGETOWER, {"link_tower_type": "gate"}, "link_tower_type is 'gate', expected one of add, scaled_add"),
        (BRIDGETOWER, {"share_link_tower_layers": True}, "share_link_tower_layers is on"),
        (BRIDGETOWER, {"hidden_size": 48}, "hidden_size 48 and the text tower's 64 must be equal"),
    ],
)
def test_a_config_that_is_wrong_is_said_to_be(place: Path, settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = copied(place, tmp_path / "model")
    change_json(folder / "config.json", **settings)
    with pytest.raises(TuwenError, match=said):
        load(folder, device="cpu")


@pytest.mark.parametrize("place", [BRIDGETOWER, VLE_ANSWERING])
def test_a_folder_without_config_says_that_it_needs_one(place: Path, tmp_path: Path) -> None:
    folder = copied(place, tmp_path / "model")
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"need the config\.json beside them, or config="):
        load(folder, device="cpu")
    assert load(folder, config=place / "config.json", device="cpu").family in ("bridgetower", "vle")


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "special_tokens_map.json"])
def test_a_folder_with_broken_json_names_the_file(file: str, tmp_path: Path) -> None:
    folder = copied(VLE_ANSWERING, tmp_path / "model")
    (folder / file).write_text('{"a": ', encoding="utf-8")
    with pytest.raises(InputError, match=rf"{file.replace('.', '[.]')} (cannot be read as|is not) JSON"):
        load(folder, device="cpu")


def test_a_folder_without_a_tokenizer_says_what_to_pass(tmp_path: Path) -> None:
    folder = copied(VLE_ANSWERING, tmp_path / "model")
    (folder / "spm.model").unlink()
    with pytest.raises(InputError, match=r"comes without a tokenizer: pass tokenizer=.*spm\.model"):
        load(folder, device="cpu")


def test_an_original_checkpoint_without_its_roberta_says_what_to_pass() -> None:
    with pytest.raises(CheckpointError, match="a RoBERTa of width 32 is none of the published ones: pass the folder"):
        load(PRETRAINED, device="cpu")


def test_a_roberta_of_another_width_is_not_the_checkpoints(tmp_path: Path) -> None:
    folder = copied(ROBERTA, tmp_path / "roberta")
    change_json(folder / "config.json", hidden_size=64, num_attention_heads=8)
    with pytest.raises(CheckpointError, match="is not the checkpoint's: it has hidden_size 64 instead of 32; pass the"):
        load(PRETRAINED, tokenizer=folder, device="cpu")


def test_an_original_checkpoint_without_its_settings_asks_for_them(tmp_path: Path) -> None:
    read = checkpoint.read(PRETRAINED)
    torch.save({"state_dict": dict(read.tensors)}, tmp_path / "bare.pt")
    with pytest.raises(CheckpointError, match="holds no configuration of its run: pass it as config="):
        load(tmp_path / "bare.pt", tokenizer=ROBERTA, device="cpu")
    settings = read.extra["hyper_parameters"]["config"]
    again = load(tmp_path / "bare.pt", tokenizer=ROBERTA, config=settings, device="cpu")
    assert again.module.state_dict().keys() == fusing.model("original").module.state_dict().keys()
    with pytest.raises(UsageError, match="the checkpoint's own configuration lacks 'image_size'"):
        few = {name: value for name, value in settings.items() if name != "image_size"}
        load(tmp_path / "bare.pt", tokenizer=ROBERTA, config=few, device="cpu")


def test_a_vocabulary_of_another_model_is_refused() -> None:
    with pytest.raises(InputError, match="the tokenizer has 381 entries but the model's word table only 311 rows"):
        load(VLE_PRETRAINED, tokenizer=BRIDGETOWER, device="cpu")


def test_half_rounding_is_for_another_family() -> None:
    with pytest.raises(UsageError, match="rounding is 'half', which is for Chinese-CLIP"):
        load(BRIDGETOWER, rounding="half", device="cpu")


def test_what_a_saved_folder_holds_is_not_passed_again(tmp_path: Path) -> None:
    fusing.opened("vle").save(tmp_path)
    with pytest.raises(UsageError, match=r"has its own config\.json: leave out config="):
        load(tmp_path, config=VLE_PRETRAINED / "config.json")
    with pytest.raises(UsageError, match="has its own tokenizer: leave out tokenizer="):
        load(tmp_path, tokenizer=VLE_PRETRAINED)


def test_unknown_heads_of_a_file_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model = fusing.opened("vle")
    assert "2 tensors have no place in the model and are left out: extra_pretraining_head.0.weight" in caplog.text
    assert model.tasks == ("match", "ground", "fill")


def test_what_needs_a_contrastive_head_says_which_models_have_one() -> None:
    model: Model = fusing.model("vle")
    for call in (lambda: model.encode_text("a"), lambda: model.logit_scale, lambda: model.embedding):
        with pytest.raises(
            TypeError, match="vle cannot embed: its tasks are match, ground, fill; these can: chinese-clip"
        ):
            call()
    assert fusing.model("bridgetower").embedding == 24
    assert fusing.model("bridgetower").similarity(pictures(2), TEXTS).shape == (2, 5)


def test_a_picture_without_rows_is_no_picture() -> None:
    with pytest.raises(InputError, match="at least one pixel high and wide"):
        fusing.model("vle").image_state(np.zeros((0, 32, 3), dtype=np.uint8))
