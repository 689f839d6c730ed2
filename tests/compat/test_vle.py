"""The snippets of VLE's README with their import lines changed, and what else scripts written for it rely on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.compat.originals import opened, prepared, settled
from tests.golden.case import Case, Expected
from tuwen.compat.vle import (
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
from tuwen.errors import InputError, TuwenError, UsageError

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
