"""The snippets of VLE's README with their import lines changed, and what else scripts written for it rely on."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from tests.compat.originals import opened, settled
from tests.golden.case import Case, Expected
from tuwen import checkpoint
from tuwen.compat.vle import (
    VLEConfig,
    VLEForITM,
    VLEForITMPipeline,
    VLEForMLM,
    VLEForPBC,
    VLEForPBCPipeline,
    VLEForVCRQ2A,
    VLEForVCRQ2APipeline,
    VLEForVCRQA2R,
    VLEForVCRQA2RPipeline,
    VLEForVQA,
    VLEForVQAPipeline,
    VLEModel,
    VLEProcessor,
)
from tuwen.errors import CheckpointError, InputError, TuwenError, UsageError


def prepared(case: Case, **options: Any) -> Any:
    """What the processor makes of all texts and pictures of a case."""
    processor = VLEProcessor.from_pretrained(case.path / "checkpoint")
    options = {"padding": True, "return_tensors": "pt", **options}
    return processor(text=case.texts, images=[Image.open(path) for path in case.images], **options)


# -- the snippets ----------------------------------------------------------------------------------------------------


def test_the_bare_model_gives_the_recorded_states_by_name_key_and_place() -> None:
    case, expected = opened("vle/model_base")
    run = case.settings["runs"][0]

    model_name = str(case.path / "checkpoint")
    images = [Image.open(case.path / "images" / name) for name in run["images"]]
    text = run["texts"]

    model = VLEModel.from_pretrained(model_name)
    vle_processor = VLEProcessor.from_pretrained(model_name)
    multimodal_inputs = vle_processor(text=text, images=images, return_tensors="pt", padding=True)
    with torch.no_grad():
        vle_output = model(**multimodal_inputs)
        as_tuple = model(**multimodal_inputs, return_dict=False)
        text_features = model.get_text_features(multimodal_inputs.input_ids, multimodal_inputs["attention_mask"])
        image_features = model.get_image_features(multimodal_inputs.pixel_values)

    for place, name in enumerate(("pooler_output", "text_embeds", "image_embeds")):
        expected.close(f"batch.{name}", vle_output[name])
        assert vle_output[place] is as_tuple[place] or torch.equal(vle_output[place], as_tuple[place])
        assert vle_output[name] is getattr(vle_output, name)
    expected.close("batch.text.features", text_features)
    expected.close("batch.vision.post_norm", image_features)
    settled(expected)


def test_questions_are_answered_as_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, expected = opened("vle/vqa_base")
    shutil.copytree(case.path / "checkpoint", tmp_path / "hfl" / "vle-base-for-vqa")
    shutil.copytree(case.path / "images", tmp_path / "pics")
    monkeypatch.chdir(tmp_path)

    model_name = "hfl/vle-base-for-vqa"
    text = "What is the color of the floor?"
    image = Image.open("pics/door.png")

    model = VLEForVQA.from_pretrained(model_name)
    vle_processor = VLEProcessor.from_pretrained(model_name)
    vqa_pipeline = VLEForVQAPipeline(model=model, device="cpu", vle_processor=vle_processor)

    vqa_answers = vqa_pipeline(image=image, question=text, top_k=5)
    assert len(vqa_answers) == 5
    assert vqa_answers[0] == vqa_pipeline(image="pics/door.png", question=text)[0]

    found = []
    for call in case.settings["pipeline_calls"]:
        rows = [
            {"image": Image.open(f"pics/{image}"), "question": question}
            for image, question in zip(call["images"], call["texts"], strict=True)
        ]
        form = {"keywords": rows[0], "dict": {"image": rows[0]}, "list": {"image": rows}}[call["form"]]
        found.append(vqa_pipeline(**form) if call["top_k"] is None else vqa_pipeline(**form, top_k=call["top_k"]))
    expected.close_value("pipeline", found)
    assert vqa_pipeline(image=image, question=text, top_k=0) == []
    settled(expected)


def test_answers_have_the_recorded_logits_loss_and_gradients() -> None:
    case, expected = opened("vle/vqa_base")
    model = VLEForVQA.from_pretrained(case.path / "checkpoint")
    inputs = prepared(case)
    for name in ("input_ids", "token_type_ids", "attention_mask", "pixel_values"):
        expected.close(name, inputs[name])
    labels = {"vqa_labels": case.settings["labels"], "vqa_scores": case.settings["scores"]}
    output = model(**inputs, **labels, return_loss=True)
    expected.close("logits", output.logits)
    expected.close("loss", output.loss)
    output.loss.backward()
    norms = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    recorded = dict(zip(expected.value("grad_norm_names"), expected.tensor("grad_norms"), strict=True))
    assert norms.keys() <= recorded.keys()
    alone = [name for name in norms if not any(part in name for part in ("query", "key.", "q_proj"))]  # not stacked
    for name in alone:
        expected.compare(name, norms[name], recorded[name], expected.atol, expected.rtol)
    assert model(**inputs, **labels).loss is None
    assert len(model(**inputs, return_dict=False)) == 1
    assert len(model(**inputs, **labels, return_loss=True, return_dict=False)) == 2
    settled(expected)


def test_matches_are_as_recorded_for_every_form_of_input() -> None:
    case, expected = opened("vle/itm_base")
    model_dir = str(case.path / "checkpoint")
    model = VLEForITM.from_pretrained(model_dir)
    vle_processor = VLEProcessor.from_pretrained(model_dir)
    itm_pipeline = VLEForITMPipeline(model=model, device="cpu", vle_processor=vle_processor)
    rows: list[dict[str, Any]] = [
        {"image": Image.open(path), "text": text} for path, text in zip(case.images, case.texts, strict=True)
    ]
    itm_pred = itm_pipeline(rows)
    expected.close_value("pipeline_list", itm_pred)
    expected.close_value("pipeline_keywords", itm_pipeline(image=rows[0]["image"], text=rows[0]["text"]))
    expected.close_value("pipeline_dict", itm_pipeline(rows[-1]))
    output = model(**prepared(case), itm_labels=case.settings["labels"], return_loss=True)
    expected.close("logits", output["logits"])
    expected.close("loss", output["loss"])
    settled(expected)


def test_patches_and_their_pictures_are_as_recorded() -> None:
    case, expected = opened("vle/pbc_base")
    model_dir = str(case.path / "checkpoint")
    model = VLEForPBC.from_pretrained(model_dir)
    pbc_pipeline = VLEForPBCPipeline(model=model, device="cpu", vle_processor=VLEProcessor.from_pretrained(model_dir))
    found = []
    for number, (path, pbc_text) in enumerate(zip(case.images, case.texts, strict=True)):
        pbc_pred = pbc_pipeline(image=Image.open(path), text=pbc_text)
        picture = pbc_pred["image"]
        found.append(
            {"score": pbc_pred["score"], "image_mode": picture.mode, "image_size": list(picture.size)},
        )
        with Image.open(case.path / f"expected_heat_{number}.png") as theirs:
            apart = np.abs(np.asarray(picture, np.float64) - np.asarray(theirs, np.float64)).mean()
        assert apart <= case.settings["heat_tolerance"]["mean_abs_pixel_difference"]
    expected.close_value("pipeline", found)
    expected.close("logits", model(**prepared(case)).logits)
    settled(expected)


def test_masked_words_are_scored_as_recorded() -> None:
    case, expected = opened("vle/mlm_base")
    model = VLEForMLM.from_pretrained(case.path / "checkpoint")
    output = model(**prepared(case), mlm_labels=torch.tensor(case.settings["labels"]), return_loss=True)
    expected.close("logits", output.logits)
    expected.close("loss", output.loss)
    settled(expected)


def test_right_answers_are_chosen_as_recorded() -> None:
    case, expected = opened("vle/vcr_q2a")
    folder = case.path / "checkpoint"
    model = VLEForVCRQ2A.from_pretrained(folder)
    processor = VLEProcessor.from_pretrained(folder)
    pipeline = VLEForVCRQ2APipeline(model=model, device="cpu", vle_processor=processor)
    check_choices(case, expected, model, pipeline, VLEForVCRQ2APipeline(model=model, vle_processor=processor), False)


def test_right_reasons_are_chosen_as_recorded() -> None:
    case, expected = opened("vle/vcr_qa2r")
    folder = case.path / "checkpoint"
    model = VLEForVCRQA2R.from_pretrained(folder)
    processor = VLEProcessor.from_pretrained(folder)
    pipeline = VLEForVCRQA2RPipeline(model=model, device="cpu", vle_processor=processor)
    check_choices(case, expected, model, pipeline, VLEForVCRQA2RPipeline(model=model, vle_processor=processor), True)


def check_choices(case: Case, expected: Expected, model: Any, pipeline: Any, other: Any, reasons: bool) -> None:
    """Calls in order on one pipeline, whose names go on from call to call; `other` shows what the model is given."""
    lines = (case.path / case.settings["annotations"]).read_text(encoding="utf-8").splitlines()
    for number, (line, theirs) in enumerate(zip(lines, expected.value("calls"), strict=True)):
        meta_data = json.loads(line)
        vcr_outputs = pipeline(vcr_image_root=str(case.path / "images"), meta_inputs=meta_data)
        assert len(vcr_outputs) == theirs["result_length"]
        assert vcr_outputs[0]["pred"].tolist() == theirs["pred"]
        expected.compare("score", vcr_outputs[0]["score"], torch.tensor(theirs["score"]), expected.atol, expected.rtol)
        inputs = other.items.prepared(case.path / "images", meta_data, reasons)
        assert inputs["patch_ids"] == theirs["patch_ids"]
        assert [[*map(list, pair)] for pair in inputs["extend_token_type_ids"]] == theirs["extend_token_type_ids"]
        assert inputs["vcr_labels"] == theirs["vcr_labels"]
        assert other.items.names.given == theirs["person_name_id_after"]
        expected.equal(f"{number}.input_ids", inputs["input_ids"])
        expected.equal(f"{number}.attention_mask", inputs["attention_mask"])
        output = model(**inputs)
        expected.close(f"{number}.logits", output.logits)
        expected.close(f"{number}.loss", output.loss)
    settled(expected)


def test_objects_join_the_picture_as_recorded() -> None:
    case, expected = opened("vle/boxes_forward")
    model = VLEModel.from_pretrained(case.path / "checkpoint")
    types = case.settings["image_token_type_ids"], case.settings["text_token_type_ids"]
    with torch.no_grad():
        output = model(**prepared(case), patch_ids=case.settings["patch_ids"], extend_token_type_ids=types)
        alone = model(**prepared(case), extend_token_type_ids=types)
        plain = model(**prepared(case))
    for name in ("pooler_output", "text_embeds", "image_embeds"):
        expected.close(name, output[name])
        assert torch.equal(alone[name], plain[name])  # types without boxes mean nothing
    settled(expected)


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


# -- pipelines -------------------------------------------------------------------------------------------------------


def test_pipelines_take_batches_paths_and_generators() -> None:
    case, _ = opened("vle/vqa_base")
    folder = case.path / "checkpoint"
    pipeline = VLEForVQAPipeline(
        model=VLEForVQA.from_pretrained(folder), device=-1, vle_processor=VLEProcessor.from_pretrained(folder)
    )
    rows = [{"image": path, "question": text} for path, text in zip(case.images, case.texts, strict=True)]
    one_by_one = pipeline(rows, top_k=3)
    together = pipeline(rows, top_k=3, batch_size=2)
    for alone, batched in zip(one_by_one, together, strict=True):
        assert [row["answer"] for row in alone] == [row["answer"] for row in batched]
        assert [row["score"] for row in alone] == pytest.approx([row["score"] for row in batched], abs=1e-6)
    read = []

    def stream() -> Any:
        for row in rows:
            read.append(row)
            yield row

    found = pipeline(stream(), top_k=3)
    assert next(found) == one_by_one[0]
    assert len(read) == 1  # nothing is read ahead
    assert [*found] == one_by_one[1:]


def test_the_painted_picture_keeps_the_mode_of_a_palette_picture() -> None:
    case, _ = opened("vle/pbc_base")
    folder = case.path / "checkpoint"
    pipeline = VLEForPBCPipeline(VLEProcessor.from_pretrained(folder), VLEForPBC.from_pretrained(folder))
    picture = Image.open(case.images[0]).convert("P")
    painted = pipeline(image=picture, text="pink tongues")["image"]
    assert (painted.mode, painted.size) == ("P", picture.size)
    assert np.asarray(painted.convert("L")).mean() < np.asarray(picture.convert("L")).mean()


def test_unusable_inputs_are_explained() -> None:
    case, _ = opened("vle/vqa_base")
    folder = case.path / "checkpoint"
    model = VLEForVQA.from_pretrained(folder)
    pipeline = VLEForVQAPipeline(model=model, vle_processor=VLEProcessor.from_pretrained(folder))
    with pytest.raises(UsageError, match="no question, only image, text"):
        pipeline({"image": case.images[0], "text": "?"})
    with pytest.raises(UsageError, match="a dict of both"):
        pipeline(str(case.images[0]))
    with pytest.raises(UsageError, match="batch_size"):
        pipeline([], batch_size=0)
    with pytest.raises(InputError, match="does not exist"):
        pipeline(image="nowhere.png", question="?")
    inputs = prepared(case)
    with pytest.raises(UsageError, match="attention_mask"):
        model(inputs["input_ids"], inputs["pixel_values"])
    with pytest.raises(UsageError, match="extend_token_type_ids"):
        model(**inputs, patch_ids=[[[0]]] * 3)
    model.config.id2label = {0: "no", 1: "yes"}
    with pytest.raises(UsageError, match="names 2"):
        pipeline(image=case.images[0], question="?")


def test_an_item_of_vcr_needs_the_boxes_of_its_objects(tmp_path: Path) -> None:
    case, _ = opened("vle/vcr_q2a")
    folder = case.path / "checkpoint"
    pipeline = VLEForVCRQ2APipeline(VLEProcessor.from_pretrained(folder), VLEForVCRQ2A.from_pretrained(folder))
    item = json.loads((case.path / "annotations.jsonl").read_text(encoding="utf-8").splitlines()[0])
    shutil.copytree(case.path / "images", tmp_path / "images")
    unlabelled = {name: value for name, value in item.items() if not name.endswith("label")}
    assert pipeline(tmp_path / "images", unlabelled)[0]["score"].shape == (4,)
    several = pipeline(tmp_path / "images", [unlabelled, unlabelled])
    assert [len(result) for result in several] == [1, 1]
    metadata = tmp_path / "images" / item["metadata_fn"]
    content = json.loads(metadata.read_text(encoding="utf-8"))
    metadata.write_text(json.dumps({**content, "boxes": content["boxes"][:1]}), encoding="utf-8")
    with pytest.raises(InputError, match="1 boxes for 4 objects"):
        pipeline(tmp_path / "images", item)
    metadata.unlink()
    with pytest.raises(TuwenError, match="boxes of its objects"):
        pipeline(tmp_path / "images", item)


# -- losses and training ---------------------------------------------------------------------------------------------


def test_the_loss_of_patches_takes_a_label_for_every_patch() -> None:
    case, expected = opened("vle/pbc_base")
    model = VLEForPBC.from_pretrained(case.path / "checkpoint")
    inputs, logits = prepared(case), expected.tensor("logits")
    labels = torch.arange(logits.shape[0] * logits.shape[1]).reshape(logits.shape[:2]) % 2
    loss = model(**inputs, pbc_labels=labels.tolist(), return_loss=True).loss
    right = -logits.log_softmax(-1).gather(-1, labels[..., None]).mean()
    torch.testing.assert_close(loss, right, atol=2e-5, rtol=1e-4)
    with pytest.raises(UsageError, match="for every patch"):
        model(**inputs, pbc_labels=case.settings["labels"], return_loss=True)


def test_a_step_of_training_lowers_the_loss() -> None:
    case, _ = opened("vle/pretrain_checkpoint")
    torch.manual_seed(0)
    model = VLEForITM.from_pretrained(case.path / "checkpoint").train()
    assert model.towers.training
    model.eval()  # without dropout the step is the same every time
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    inputs = prepared(case)
    losses = []
    for _ in range(2):
        loss = model(**inputs, itm_labels=[0, 1], return_loss=True).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]


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


def test_a_batch_of_items_with_choices_is_scored_as_recorded() -> None:
    case, expected = opened("vle/vcr_batch_q2a")
    model = VLEForVCRQ2A.from_pretrained(case.path / "checkpoint")
    inputs = {name: expected.tensor(name) for name in ("input_ids", "attention_mask", "pixel_values")}
    types = [(kinds["image"], kinds["text"]) for kinds in case.settings["types"]]
    objects = {"patch_ids": case.settings["patch_ids"], "extend_token_type_ids": types}
    output = model(**inputs, **objects, vcr_labels=case.settings["labels"], return_loss=True)
    expected.close("logits", output.logits)
    expected.close("loss", output.loss)
    assert not torch.allclose(model(**inputs).logits, output.logits)  # without objects
    settled(expected)
